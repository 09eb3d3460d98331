"""What the machine has: processors and memory. Control groups count, so a container's limits are the machine's."""

from __future__ import annotations

import os

from penstock.launcher.outer.groups import cgroup_files


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


def _physical_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits(controller: str, name: str) -> list[str]:
    texts = []
    for path in cgroup_files(controller, name):
        try:
            texts.append(path.read_text().strip())
        except OSError:
            continue
    return texts
