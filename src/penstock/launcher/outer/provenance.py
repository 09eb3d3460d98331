"""What a run is made of: interpreter, distributions, git commit, hardware. All of it is read without importing
anything, and what cannot be found out is left out."""

from __future__ import annotations

import os
import sys
from typing import Any

GIT_TIMEOUT_S = 5.0
CHANGED_FILES_MAX = 50
_DIST_INFO = ".dist-info"


def collect(project: str) -> dict[str, Any]:
    """`{"python", "penstock", "distributions": {name: version}, "git": {"commit", "branch", "dirty", "changed"} or
    None, "hardware": {"cpu_count", "cpu_model", "memory_bytes", "platform"}}`."""
    return Inquiry(project).answer()


class Inquiry:
    """Asks git at once and collects the rest when the answer is wanted: git works while something else does."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._git = _ask_git(project) if _repository_of(project) else None

    def answer(self) -> dict[str, Any]:
        installed = distributions()
        return {
            "python": ".".join(map(str, sys.version_info[:3])),
            "implementation": sys.implementation.name,
            "penstock": installed.get("penstock", ""),
            "distributions": installed,
            "git": _git_answer(self._git) if self._git is not None else None,
            "hardware": hardware(),
        }


def distributions() -> dict[str, str]:
    """Name → version of every installed distribution, read from the names of their folders: opening each one's
    metadata takes thirty times as long."""
    found: dict[str, str] = {}
    for folder in sys.path:
        if not folder.rstrip(os.sep).endswith(("site-packages", "dist-packages")):
            continue
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for entry in names:
            if entry.endswith(_DIST_INFO):
                name, dash, version = entry.removesuffix(_DIST_INFO).rpartition("-")
                if dash:
                    found.setdefault(name.lower().replace("_", "-"), version)
    return dict(sorted(found.items()))


def hardware() -> dict[str, Any]:
    facts: dict[str, Any] = {"platform": f"{sys.platform} {os.uname().release} {os.uname().machine}"}
    affinity = getattr(os, "sched_getaffinity", None)
    facts["cpu_count"] = len(affinity(0)) if affinity is not None else os.cpu_count()
    try:
        facts["memory_bytes"] = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(4_096)
        facts["cpu_model"] = next(line.split(":", 1)[1].strip() for line in text.split("\n") if "model name" in line)
    except (OSError, ValueError, StopIteration, IndexError):
        pass
    return facts


def _repository_of(project: str) -> str | None:
    folder = os.path.abspath(project)
    while True:
        if os.path.exists(os.path.join(folder, ".git")):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _ask_git(project: str) -> Any:
    import subprocess

    command = ["git", "--no-optional-locks", "-C", project, "status", "--porcelain=v2", "--branch", "-z"]
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:  # there is no git here
        return None


def _git_answer(process: Any) -> dict[str, Any] | None:
    import subprocess

    try:
        output, _ = process.communicate(timeout=GIT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return None
    if process.returncode:
        return None
    facts: dict[str, Any] = {"commit": None, "branch": None}
    changed: list[str] = []
    fields = iter(output.decode(errors="replace").split("\0"))
    for line in fields:
        if line.startswith("# branch.oid ") and not line.endswith("(initial)"):
            facts["commit"] = line.split(" ", 2)[2]
        elif line.startswith("# branch.head "):
            facts["branch"] = line.split(" ", 2)[2]
        elif line[:2] in ("1 ", "u ", "2 ", "? "):
            changed.append(line.split(" ", {"1": 8, "u": 10, "2": 9, "?": 1}[line[0]])[-1])
            if line.startswith("2 "):
                next(fields, None)  # where a renamed file was before
    return {**facts, "dirty": bool(changed), "changed": changed[:CHANGED_FILES_MAX]}
