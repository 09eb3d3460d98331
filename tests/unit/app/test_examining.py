"""What `doctor` makes of what it measures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.app.examining import (
    EARLIEST_S,
    Clocks,
    Disk,
    Machine,
    judge_clock,
    judge_disk,
    judge_gpus,
    judge_limits,
    judge_machine,
    judge_platform,
    judge_ports,
    judge_python,
    judge_versions,
    judge_wal,
)

DISK = Disk("here", 100 << 30, sync_ms=1.5, write_mb_s=400.0)
CLOCKS = Clocks(wall_s=EARLIEST_S + 1e6, drift_ms=0.2, newest_ms=None, zone="UTC +0000")


def test_a_good_machine() -> None:
    found = [
        judge_platform("linux"),
        judge_python((3, 12, 1), "cpython"),
        judge_versions({"penstock": ("0.1.0", ""), "blake3": ("1.0.8", "1.0")}),
        judge_disk(DISK),
        judge_wal("ext4", True),
        judge_machine(Machine(4_000, 8 << 30, 1024)),
        judge_limits("groups"),
        judge_limits("watcher"),
        judge_gpus((("H200", 139 << 30),), True),
        judge_gpus((), False),
        judge_clock(CLOCKS),
        judge_ports({4870: True, 4871: False}),
    ]
    assert {finding.verdict for finding in found} == {"ok"}
    assert [finding.text for finding in found if finding.name in ("disk", "gpus", "ports")] == [
        "a commit waits 1.50 ms, 400 MB/s, 100.0 GiB free",
        "H200, 139.0 GiB",
        "none found",
        "127.0.0.1:4870 is free for the service that is to come (taken: 4871)",
    ]


@pytest.mark.parametrize(
    ("finding", "verdict", "says", "fix"),
    [
        (judge_platform("darwin"), "warn", "", "Linux"),
        (judge_platform("win32"), "bad", "not supported", "WSL 2"),
        (judge_python((3, 10, 4), "cpython"), "bad", "3.10.4", "3.11"),
        (judge_python((3, 14, 0), "cpython"), "warn", "3.14.0", "Tested are 3.11 to 3.13"),
        (judge_python((3, 11, 0), "pypy"), "warn", "pypy", "CPython"),
        (judge_versions({"blake3": (None, "1.0")}), "bad", "blake3 is missing", "Install"),
        (judge_versions({"psutil": ("5.9.1", "6")}), "bad", "psutil 5.9.1 (needs 6)", "Install"),
        (judge_disk(replace(DISK, free_bytes=100 << 20)), "bad", "100.0 MiB free", "gc"),
        (judge_disk(replace(DISK, free_bytes=1 << 30)), "warn", "1.0 GiB free", "gc"),
        (judge_disk(replace(DISK, sync_ms=40)), "warn", "40.00 ms", "SSD"),
        (judge_disk(replace(DISK, write_mb_s=12)), "warn", "12 MB/s", "faster"),
        (judge_wal("nfs4", True), "bad", "network file system (nfs4)", "PENSTOCK_STATE"),
        (judge_wal("fuse.sshfs", True), "bad", "fuse.sshfs", "PENSTOCK_STATE"),
        (judge_wal("ext4", False), "bad", "cannot keep its journal", "PENSTOCK_STATE"),
        (judge_wal("tmpfs", True), "warn", "in memory", "PENSTOCK_STATE"),
        (judge_wal("", True), "warn", "does not say", "disk of this machine"),
        (judge_machine(Machine(1_000, 1 << 30, 64)), "warn", "64 files", "ulimit -n"),
        (judge_limits("none"), "warn", "less closely", "Linux"),
        (judge_gpus((), True), "warn", "no GPU", "nvidia-smi"),
        (judge_clock(replace(CLOCKS, wall_s=0.0)), "bad", "years behind", "time"),
        (
            judge_clock(replace(CLOCKS, newest_ms=round(1000 * CLOCKS.wall_s) + 60_000)),
            "warn",
            "60 s in the future",
            "NTP",
        ),
        (judge_clock(replace(CLOCKS, drift_ms=900)), "warn", "900 ms", "setting the clock"),
        (judge_clock(replace(CLOCKS, zone_given="Mars/Base", zone_is_known=False)), "warn", "Mars/Base", "TZ"),
        (judge_ports({4870: False, 4871: False}), "warn", "all taken", "another"),
    ],
    ids=lambda value: value.name if hasattr(value, "verdict") else "",
)
def test_what_is_wrong_is_named_with_what_to_do(finding, verdict: str, says: str, fix: str) -> None:
    assert finding.verdict == verdict
    assert says in finding.text
    assert fix in finding.fix
