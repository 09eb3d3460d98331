"""Opening what a project's settings name: the state store, the artifacts, the executor. Private to the owner, refused where
another user may have written to it, and nothing is made by a verb that only reads."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.base.errors import InvalidInput, PassedOver, StoreUnavailable
from penstock.base.limits import set_limits
from penstock.base.ownership import is_below, why_foreign
from penstock.settings import STATE_FOLDER, Settings, load

if TYPE_CHECKING:
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor
    from penstock.values.store import ArtifactStore

DATABASE = "state.db"
ARTIFACTS = "artifacts"
SCRATCH = "scratch"
ENVIRONMENTS = "environments"
KEPT = ("code", "compiled")
"""Folders of the scratch folder that keep what was worked out about sources."""


def project_settings(start: Path) -> Settings:
    """The settings of the project that `start` lies in; the limits among them hold in this process from then on. Warns
    with PassedOver."""
    settings = load(start)
    for line in settings.warnings:
        warnings.warn(line, PassedOver, stacklevel=2)
    set_limits(**_limits_of(settings))
    return settings


def refuse_foreign(settings: Settings) -> None:
    """Raises StoreUnavailable for a state folder that another user may have made or changed: what it holds is taken for
    this user's own, and some of it runs as code."""
    if is_below(settings.state, settings.trusted):
        return
    held = [settings.state / name for name in ("", DATABASE, ARTIFACTS, SCRATCH, ENVIRONMENTS)]
    for place in held:
        why = why_foreign(place)
        if why:
            raise _foreign(place, why)
    if os.path.lexists(settings.state):
        above = settings.state.resolve().parent
        why = why_foreign(above, may_add=True)
        if why:
            raise _foreign(above, why)


def _foreign(place: Path, why: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"{place} is not safe to use as state: {why}",
        fix="Make it your own (chown, chmod go-w), name another folder in PENSTOCK_STATE, or put this one into "
        "PENSTOCK_TRUSTED if you trust everyone who may write to it.",
    )


def _limits_of(settings: Settings) -> dict[str, int]:
    """What `set_limits` is given, here and in workers."""
    return {
        "parameter_bytes_max": settings.parameter_bytes_max,
        "items_max": settings.items_max,
        "yaml_bytes_max": settings.yaml_bytes_max,
        "yaml_parts_max": settings.yaml_parts_max,
    }


def make_state_folder(settings: Settings) -> bool:
    """Make the state folder, private to its owner, with a note for version control; answers whether it was not there
    before. Raises StoreUnavailable when that is not possible."""
    refuse_foreign(settings)
    try:
        made = not settings.state.exists()
        settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if made:
            (settings.state / ".gitignore").write_text("*\n")
    except OSError as error:
        raise StoreUnavailable(
            f"the state folder {settings.state} cannot be made: {error.strerror}",
            fix="Give it another place: PENSTOCK_STATE, or `state` below [tool.penstock] in pyproject.toml.",
        ) from None
    return made


def aside(settings: Settings, folder: Path) -> Settings:
    """The same settings with their state in another, empty folder, for what must leave nothing in the project. What is
    known there of sources that have not changed is lent: such files are replaced, never written to."""
    import shutil

    refuse_foreign(settings)
    from penstock.code.kept import lend_secret

    with contextlib.suppress(OSError):
        lend_secret(settings.state / SCRATCH, folder / SCRATCH)
    for name in KEPT:
        lent = settings.state / SCRATCH / name
        if lent.is_dir():
            with contextlib.suppress(
                OSError, shutil.Error
            ):  # a run may be at it; without them it takes longer, no more
                shutil.copytree(lent, folder / SCRATCH / name, copy_function=_link)
    return replace(settings, state=folder)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        with contextlib.suppress(FileNotFoundError):
            import shutil

            shutil.copyfile(source, target)


def remove_if_unused(settings: Settings) -> None:
    """Remove a state folder that this call made for input that proved invalid: nothing is left half-created."""
    if not (settings.state / DATABASE).exists():
        import shutil

        shutil.rmtree(settings.state, ignore_errors=True)


def open_store(settings: Settings) -> StateStore:
    from penstock.stores.sql import open_state

    refuse_foreign(settings)
    return open_state(settings.state / DATABASE)


def open_store_to_read(settings: Settings) -> StateStore:
    """The state store, for those who only read: it may be a copy, where the state folder may not be written to."""
    from penstock.app.copies import database_to_read
    from penstock.stores.sql import open_state

    refuse_foreign(settings)
    return open_state(database_to_read(settings.state / DATABASE))


def scratch_to_read(settings: Settings) -> Path:
    """The scratch folder, for those who only read."""
    from penstock.app import copies

    return copies.scratch_to_read(settings.state / SCRATCH)


def open_existing_store(settings: Settings) -> StateStore:
    """For verbs that write. Raises InvalidInput when this project has no runs yet."""
    require_runs(settings)
    return open_store(settings)


def open_existing_store_to_read(settings: Settings) -> StateStore:
    """For verbs that only read. Raises InvalidInput when this project has no runs yet."""
    require_runs(settings)
    return open_store_to_read(settings)


def require_runs(settings: Settings) -> None:
    """Raises InvalidInput when this project has no runs yet."""
    if not (settings.state / DATABASE).exists():
        above = (folder for folder in settings.project.parents if os.path.exists(folder / STATE_FOLDER / DATABASE))
        others = "".join(f" {folder} has runs of its own." for folder in above)
        raise InvalidInput(
            f"no run has been made here yet ({settings.state})", fix=f"`penstock run TARGET` makes one.{others}"
        )


def open_artifacts(settings: Settings) -> ArtifactStore:
    from penstock.app_artifacts import open_artifacts

    refuse_foreign(settings)
    return open_artifacts(artifacts_arguments(settings))


def open_executor(settings: Settings) -> LocalExecutor:
    """Start the local executor: its keeper process is on its way when this returns."""
    from penstock.executors.local.executor import LocalExecutor, LocalSettings

    refuse_foreign(settings)
    return LocalExecutor(
        LocalSettings(
            project=settings.project,
            state=settings.state,
            cpu=settings.cpu,
            memory_bytes=settings.memory_bytes,
            resources=settings.resources,
            gpus=settings.gpus,
            gpu_source=gpu_source(),
            artifacts_arguments=artifacts_arguments(settings),
            limits=_limits_of(settings),
        )
    )


def gpu_source() -> str:
    """Names the function that opens the source of GPUs: NVML, but where tests ask for devices that are not there."""
    from penstock.executors.local.gpus import NVML

    return "penstock.testing.gpus:open_fake" if os.environ.get("PENSTOCK_TEST_GPUS") else NVML


def artifacts_arguments(settings: Settings) -> dict[str, str]:
    return {"root": str(settings.state / ARTIFACTS)}
