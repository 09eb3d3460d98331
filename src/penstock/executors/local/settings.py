"""What a local executor is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.executors.local import machine
from penstock.executors.local.gpus import NVML
from penstock.executors.local.incarnation import Incarnation
from penstock.launcher.outer.worker import WorkerSettings


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """`state` is the project's state folder, made if need be. `cpu` (processors) and `memory_bytes` None: what the
    machine has. `artifacts` names a function, `module:name`, that opens the artifact store when called with
    `artifacts_arguments` (JSON). `ahead_max`: how many short attempts are taken beyond what fits. `launcher` names what
    runs an attempt in a worker."""

    project: Path
    state: Path
    cpu: float | None = None
    memory_bytes: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    artifacts: str = "penstock.app_artifacts:open_artifacts"
    artifacts_arguments: Mapping[str, Any] = field(default_factory=dict)
    ahead_max: int = 256
    workers_max: int = 64
    ledger: Path | None = None
    """Folder of the host's ledger; None: the user's own."""
    gpus: str = "auto"
    """Which GPUs may be leased (`gpus.chosen`)."""
    gpu_source: str = NVML
    """Names the function that opens a `GpuSource`."""
    launcher: str = "penstock.launcher.outer.attempt:Launcher"
    limits: Mapping[str, int] = field(default_factory=dict)
    """What `base.limits.set_limits` is given in workers."""


def machine_amounts(settings: LocalSettings) -> dict[str, int]:
    """The processors and the memory that the settings leave, or that the machine has."""
    return {
        "cpu": machine.cpu_thousandths() if settings.cpu is None else round(settings.cpu * 1000),
        "memory": settings.memory_bytes or machine.memory_bytes_total(),
    }


def worker_settings(settings: LocalSettings, own: Incarnation, *, hides_gpus: bool) -> WorkerSettings:
    """What the workers of one incarnation are told of it."""
    return WorkerSettings(
        incarnation=own.name,
        folder=str(own.folder.absolute()),
        logs=str(own.logs.absolute()),
        state=str(settings.state.absolute()),
        project=str(settings.project.absolute()),
        artifacts=settings.artifacts,
        artifacts_arguments=dict(settings.artifacts_arguments),
        launcher=settings.launcher,
        limits=dict(settings.limits),
        hides_gpus=hides_gpus,
    )
