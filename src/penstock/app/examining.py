"""`penstock doctor`: looks at what Penstock stands on here, and says of each thing whether it will do and what to do where it
will not.

Each thing is measured by one function and judged by another; the judges are pure. What is measured leaves nothing behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.app.places import project_settings
from penstock.base.errors import InvalidInput
from penstock.base.sizes import size_text
from penstock.settings import STATE_FOLDER, Settings

OK, WARN, BAD = "ok", "warn", "bad"

PYTHON_MIN, PYTHON_TESTED_MAX = (3, 11), (3, 13)
FREE_BYTES_BAD, FREE_BYTES_WARN = 256 << 20, 5 << 30
# Every commit waits for the disk once.
SYNC_MS_WARN = 25.0
WRITE_MB_S_WARN = 30.0
DRIFT_MS_WARN = 50.0
# No clock of a machine that this was written for shows an earlier time.
EARLIEST_S = 1_763_000_000
FILES_WARN = 512
# The service is not there yet; it will take the first of these that is free.
SERVICE_PORTS = range(4870, 4880)

MEMORY_TYPES = frozenset({"tmpfs", "ramfs"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing. `verdict`: ok, warn (it works, with this drawback), bad (it does not). `fix` says what
    to do, `facts` are the figures."""

    name: str
    verdict: str
    text: str
    fix: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "text": self.text,
            "fix": self.fix or None,
            "facts": dict(self.facts),
        }


def examine(start: Path) -> Iterator[Finding]:
    """Every finding, as it is made: some take a moment."""
    from penstock.app import measuring

    try:
        settings = project_settings(start)
        yield Finding("settings", OK, f"project {settings.project}, state in {settings.state}")
    except InvalidInput as error:
        settings = Settings(start, start / STATE_FOLDER)
        yield Finding("settings", BAD, error.message, error.fix)
    yield judge_platform(sys.platform)
    yield judge_python(tuple(sys.version_info[:3]), sys.implementation.name)
    yield judge_versions(measuring.dependencies())
    place = measuring.existing_at_or_above(settings.state)
    examined: list[Callable[[], Finding]] = [
        lambda: judge_disk(measuring.disk(place)),
        lambda: judge_wal(*measuring.file_system(place)),
        lambda: judge_machine(measuring.machine()),
        lambda: judge_limits(measuring.limits_by()),
        lambda: judge_gpus(*measuring.gpus(settings)),
        lambda: judge_clock(measuring.clock(settings)),
        lambda: judge_ports(measuring.free_ports(SERVICE_PORTS)),
    ]
    names = ("disk", "journal", "machine", "limits", "gpus", "clock", "ports")
    for name, one in zip(names, examined, strict=True):
        try:
            yield one()
        except OSError as error:
            yield Finding(name, BAD, f"it could not be looked at: {error.strerror or error}", _place_fix(settings))


def _place_fix(settings: Settings) -> str:
    return f"Is {settings.state} a folder that you may write to? PENSTOCK_STATE names another one."


# -- judges: values in, a finding out ----------------------------------------------------------------------------------


def judge_platform(platform: str) -> Finding:
    if platform == "linux":
        return Finding("platform", OK, f"Linux {os.uname().release}, {os.uname().machine}")
    if platform == "darwin":
        from penstock.app import versions

        lost = "; ".join(versions()["degradations"]) or "macOS"
        return Finding("platform", WARN, lost, "For work that has to be held to its limits, use Linux.")
    return Finding("platform", BAD, f"{platform} is not supported", "Use Linux or macOS; on Windows, WSL 2.")


def judge_python(version: tuple[int, ...], implementation: str) -> Finding:
    text = f"{'.'.join(map(str, version))} ({implementation})"
    if version[:2] < PYTHON_MIN:
        return Finding("python", BAD, text, f"Use Python {_dotted(PYTHON_MIN)} to {_dotted(PYTHON_TESTED_MAX)}.")
    if implementation != "cpython":
        return Finding("python", WARN, text, "Only CPython is tested.")
    if version[:2] > PYTHON_TESTED_MAX:
        tested = f"{_dotted(PYTHON_MIN)} to {_dotted(PYTHON_TESTED_MAX)}"
        return Finding("python", WARN, text, f"Tested are {tested}: should something fail, try with one of these.")
    return Finding("python", OK, text)


def judge_versions(found: Mapping[str, tuple[str | None, str]]) -> Finding:
    """`found`: of each distribution, the installed version (None: none) and the least one that is asked for."""
    facts = {name: version for name, (version, _) in found.items()}
    missing = [name for name, (version, _) in found.items() if version is None]
    old = [
        f"{name} {version} (needs {least})"
        for name, (version, least) in found.items()
        if version is not None and least and _numbers(version) < _numbers(least)
    ]
    if missing or old:
        text = ", ".join([*(f"{name} is missing" for name in missing), *(f"{each}" for each in old)])
        return Finding("versions", BAD, text, "Install Penstock again: its dependencies come with it.", facts)
    known = ", ".join(f"{name} {version}" for name, version in facts.items())
    return Finding("versions", OK, known, "", facts)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: enough to compare with a least one."""
    found = []
    for part in version.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Disk:
    """`sync_ms`: the median of writing 4 KiB at the end of a file and synchronising it; `write_mb_s`: a large file,
    synchronised at its end, in millions of bytes per second."""

    folder: str
    free_bytes: int
    sync_ms: float
    write_mb_s: float


def judge_disk(disk: Disk) -> Finding:
    facts = {"free_bytes": disk.free_bytes, "sync_ms": disk.sync_ms, "write_mb_s": disk.write_mb_s}
    text = f"a commit waits {disk.sync_ms:.2f} ms, {disk.write_mb_s:,.0f} MB/s, {size_text(disk.free_bytes)} free"
    if disk.free_bytes < FREE_BYTES_BAD:
        return Finding("disk", BAD, text, "Make room: `penstock gc` frees what nothing needs.", facts)
    fixes = []
    if disk.free_bytes < FREE_BYTES_WARN:
        fixes.append("Little room is left: `penstock gc` frees what nothing needs.")
    if disk.sync_ms > SYNC_MS_WARN:
        fixes.append("Every task's end waits for the disk that long: `state` on a faster disk (an SSD) would help.")
    if disk.write_mb_s < WRITE_MB_S_WARN:
        fixes.append("Large results will be slow to write: `state` on a faster disk would help.")
    return Finding("disk", WARN if fixes else OK, text, " ".join(fixes), facts)


def judge_wal(file_system: str, works: bool) -> Finding:
    """`file_system` is "" where the system does not tell; `works`: a database in WAL mode could be made and read."""
    from penstock.stores.sql.place import is_network_type

    facts = {"file_system": file_system or None, "wal": works}
    fix = "Set `state` below [tool.penstock], or PENSTOCK_STATE, to a folder on a local disk."
    if is_network_type(file_system):
        text = f"the state folder lies on a network file system ({file_system}), where the journal is not safe"
        return Finding("journal", BAD, text, fix, facts)
    if not works:
        return Finding("journal", BAD, f"SQLite cannot keep its journal here ({file_system or 'unknown'})", fix, facts)
    if file_system in MEMORY_TYPES:
        text = f"the state folder lies in memory ({file_system}): nothing of it outlives the machine's next start"
        return Finding("journal", WARN, text, fix, facts)
    if not file_system:
        text = "SQLite's journal works; this system does not say whether the file system is a local one"
        return Finding("journal", WARN, text, "Keep the state folder on a disk of this machine.", facts)
    return Finding("journal", OK, f"SQLite's write-ahead log is safe on {file_system}", "", facts)


@dataclass(frozen=True, slots=True)
class Machine:
    cpu_thousandths: int
    memory_bytes: int
    files_max: int


def judge_machine(machine: Machine) -> Finding:
    facts = {
        "cpu": machine.cpu_thousandths / 1000,
        "memory_bytes": machine.memory_bytes,
        "files_max": machine.files_max,
    }
    text = f"{machine.cpu_thousandths / 1000:g} cores, {size_text(machine.memory_bytes)} of memory for tasks"
    if machine.files_max < FILES_WARN:
        text += f"; a process may open {machine.files_max} files"
        return Finding(
            "machine", WARN, text, f"`ulimit -n {4 * FILES_WARN}` allows more: workers take some each.", facts
        )
    return Finding("machine", OK, text, "", facts)


def judge_limits(by: str) -> Finding:
    """`by`: what holds tasks to their memory, "groups" (with the watcher before them), "watcher", "none"."""
    facts = {"by": by}
    if by == "groups":
        return Finding("limits", OK, "a watcher, and control groups of the kernel behind it", "", facts)
    if by == "watcher":
        text = "a watcher that reads what tasks have taken; control groups cannot be written here"
        fix = "That will do but for what takes gigabytes in an instant; for both: `systemd-run --user --scope -p Delegate=yes`."
        return Finding("limits", OK, text, fix, facts)
    text = "declared memory is watched less closely on this system"
    return Finding("limits", WARN, text, "Use Linux for tasks that have to be held to their limits.", facts)


def judge_gpus(devices: tuple[tuple[str, int], ...], has_driver: bool) -> Finding:
    """`devices`: name and bytes of each GPU that tasks may be given."""
    facts = {"devices": [{"name": name, "memory_bytes": size} for name, size in devices], "driver": has_driver}
    if devices:
        return Finding("gpus", OK, ", ".join(f"{name}, {size_text(size)}" for name, size in devices), "", facts)
    if has_driver:
        text = "a driver is there, and no GPU that tasks may be given"
        fix = "`nvidia-smi` says more; the setting `gpus` and CUDA_VISIBLE_DEVICES choose."
        return Finding("gpus", WARN, text, fix, facts)
    return Finding("gpus", OK, "none found", "", facts)


@dataclass(frozen=True, slots=True)
class Clocks:
    """`drift_ms`: by how much the wall clock and the monotonic clock differed over a moment; `newest_ms`: when the newest
    run of the project was created, if there is any; `zone`: name and offset of the local time; `zone_given`: what TZ says,
    and whether it is known."""

    wall_s: float
    drift_ms: float
    newest_ms: int | None
    zone: str
    zone_given: str | None = None
    zone_is_known: bool = True


def judge_clock(clocks: Clocks) -> Finding:
    facts = {"drift_ms": clocks.drift_ms, "zone": clocks.zone}
    text = f"wall and monotonic clock agree within {clocks.drift_ms:.1f} ms; time zone {clocks.zone}"
    if clocks.wall_s < EARLIEST_S:
        return Finding(
            "clock", BAD, f"the clock is years behind; time zone {clocks.zone}", "Set the machine's time.", facts
        )
    if clocks.newest_ms is not None and clocks.newest_ms > clocks.wall_s * 1000 + 1_000:
        ahead_s = clocks.newest_ms / 1000 - clocks.wall_s
        text = f"the newest run was made {ahead_s:,.0f} s in the future: the clock has gone back"
        return Finding("clock", WARN, text, "Let the machine keep its time by NTP; leases and expiry go by it.", facts)
    if clocks.drift_ms > DRIFT_MS_WARN:
        text = f"wall and monotonic clock differ by {clocks.drift_ms:,.0f} ms over a moment; time zone {clocks.zone}"
        return Finding("clock", WARN, text, "Is something setting the clock just now?", facts)
    if not clocks.zone_is_known:
        text = f"TZ={clocks.zone_given} names no time zone that is known here: times are shown as UTC"
        return Finding("clock", WARN, text, "Unset TZ, or install the system's time zone data.", facts)
    return Finding("clock", OK, text, "", facts)


def judge_ports(free: Mapping[int, bool]) -> Finding:
    left = [port for port, is_free in free.items() if is_free]
    taken = [port for port, is_free in free.items() if not is_free]
    facts = {"free": left, "taken": taken}
    if not left:
        text = f"127.0.0.1:{min(free)} to {max(free)} are all taken"
        return Finding("ports", WARN, text, "The service that is to come will have to be told another one.", facts)
    also = f" (taken: {', '.join(map(str, taken))})" if taken else ""
    return Finding("ports", OK, f"127.0.0.1:{left[0]} is free for the service that is to come{also}", "", facts)
