"""What a run is made of, beside its code and inputs: the git commit and whether the tree is dirty, the hardware, the
interpreter. Recorded for people; nothing is decided by it. What cannot be told is left out."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import Any

import penstock
from penstock.settings import Settings

# A huge work tree may take git long; the run must not wait for it.
GIT_WAIT_S = 2.0


class Commit:
    """Asks git while the target is being imported, so that nobody waits for it."""

    def __init__(self, project: Path) -> None:
        self._asked: Popen[bytes] | None = None
        if any((folder / ".git").exists() for folder in (project, *project.parents)):
            command = ["git", "-C", str(project), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
            try:
                environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
                self._asked = Popen(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environment)
            except OSError:
                self._asked = None

    def answer(self) -> dict[str, Any]:
        """`{"commit", "branch", "dirty"}`, or nothing where there is no git, no commit, or no answer in time."""
        if self._asked is None:
            return {}
        asked, self._asked = self._asked, None
        try:
            output, _ = asked.communicate(timeout=GIT_WAIT_S)
        except TimeoutExpired:
            asked.kill()
            asked.communicate()
            return {}
        head, dirty = {}, False
        for line in output.decode(errors="replace").splitlines():
            if line.startswith("# "):
                key, _, text = line[2:].partition(" ")
                head[key] = text
            else:
                dirty = True
        oid = head.get("branch.oid", "")
        if not oid or oid.startswith("("):
            return {}
        return {"commit": oid, "branch": head.get("branch.head", ""), "dirty": dirty}

    def close(self) -> None:
        if self._asked is not None:
            self._asked.kill()
            self._asked.communicate()
            self._asked = None


def hardware(settings: Settings) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "cpu": settings.cpu,
        "memory_bytes": settings.memory_bytes,
        **({"gpus": gpus} if (gpus := _gpus()) else {}),
    }


def made_of(
    settings: Settings, *, target: str, commit: Mapping[str, Any], described: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Everything together; `described` is what the worker that imported the target knows (distributions,
    interpreter)."""
    return {
        "target": target,
        "penstock": penstock.__version__,
        "python": platform.python_version(),
        **({"git": dict(commit)} if commit else {}),
        "hardware": hardware(settings),
        "system": f"{platform.system()} {platform.release()}",
        "seed": seed,
        "command": " ".join(sys.argv[:1] and [Path(sys.argv[0]).name, *sys.argv[1:]]),
        **described,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def _gpus() -> list[str]:
    """The names of NVIDIA devices, as their driver says them."""
    found = []
    for information in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            lines = information.read_text().splitlines()
        except OSError:
            continue
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    return found
