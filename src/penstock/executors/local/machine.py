"""What the machine has: processors, memory, and whether its kernel has killed for want of memory. Control groups count,
so a container's limits are the machine's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cpu_thousandths() -> int:
    """Processors that this process may use, in thousandths; at least one whole."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    thousandths = count * 1000
    for limit in _limits("cpu", "cpu.max"):
        quota, _, period = limit.partition(" ")
        if quota != "max":
            thousandths = min(thousandths, int(quota) * 1000 // int(period))
    for quota, period in zip(_limits("cpu", "cpu.cfs_quota_us"), _limits("cpu", "cpu.cfs_period_us"), strict=False):
        if int(quota) > 0:
            thousandths = min(thousandths, int(quota) * 1000 // int(period))
    return max(1000, thousandths)


def memory_bytes_total() -> int:
    """Memory that the processes of this machine, or of this control group, may use together."""
    total = _physical_bytes()
    for limit in (*_limits("memory", "memory.max"), *_limits("memory", "memory.limit_in_bytes")):
        if limit != "max":
            total = min(total, int(limit))
    return total


def oom_kill_count() -> int:
    """How often the kernel has killed a process of this control group, or of this machine, for want of memory."""
    for name in ("memory.events", "memory.oom_control"):
        for path in _cgroup_files("memory", name):
            count = _counter(path, "oom_kill")
            if count is not None:
                return count
    return _counter(Path("/proc/vmstat"), "oom_kill") or 0


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _counter(path: Path, name: str) -> int | None:
    try:
        for line in path.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except OSError:
        return None
    return None


def _limits(controller: str, name: str) -> list[str]:
    texts = []
    for path in _cgroup_files(controller, name):
        try:
            texts.append(path.read_text().strip())
        except OSError:
            continue
    return texts


def _cgroup_files(controller: str, name: str) -> list[Path]:
    """Files of that name in this process's control group and the groups above it, innermost first, in either
    hierarchy."""
    if sys.platform != "linux":
        return []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS if not controllers else CGROUPS / controller
        inner = root / group.lstrip("/")
        folders = [inner, *inner.parents] if inner.is_relative_to(root) else [root]
        found.extend(folder / name for folder in folders if folder.is_relative_to(root))
    return [path for path in found if path.exists()]
