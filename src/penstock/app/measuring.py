"""What `doctor` measures: each function looks at one thing of this machine and leaves nothing behind. Raises OSError where
it cannot look."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.app.examining import Clocks, Disk, Machine
from penstock.app.places import DATABASE, gpu_source, open_store_to_read
from penstock.base.errors import PenstockError

if TYPE_CHECKING:
    from penstock.settings import Settings

SYNCS = 20
SYNC_BYTES = 4_096
WRITE_BYTES = 32 << 20
DRIFT_S = 0.2


def existing_at_or_above(folder: Path) -> Path:
    """The nearest folder that is there: a state folder that is still to be made lies on its disk."""
    return next(each for each in (folder, *folder.parents) if each.is_dir())


def dependencies() -> dict[str, tuple[str | None, str]]:
    """Of Penstock and each distribution that it needs, the installed version and the least one it asks for."""
    from importlib.metadata import PackageNotFoundError, requires, version

    import penstock

    found: dict[str, tuple[str | None, str]] = {"penstock": (penstock.__version__, "")}
    try:
        wanted = requires("penstock") or []
    except PackageNotFoundError:  # run from its sources
        wanted = []
    for line in wanted:
        name, _, least = line.partition(";")[0].strip().partition(">=")
        if "extra ==" in line:
            continue
        try:
            found[name.strip()] = (version(name.strip()), least.strip())
        except PackageNotFoundError:
            found[name.strip()] = (None, least.strip())
    return found


def disk(folder: Path) -> Disk:
    """Writes some megabytes into a folder, and removes them."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".penstock-doctor-") as file:
        at = os.statvfs(folder)
        free = at.f_bavail * at.f_frsize
        if free < 4 * WRITE_BYTES:
            return Disk(str(folder), free, 0.0, 0.0)
        syncs = []
        for _ in range(SYNCS):
            file.write(os.urandom(SYNC_BYTES))
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            syncs.append(1000 * (time.perf_counter() - begun))
        piece = os.urandom(1 << 20)
        begun = time.perf_counter()
        for _ in range(WRITE_BYTES // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        took = time.perf_counter() - begun
    return Disk(str(folder), free, statistics.median(syncs), WRITE_BYTES / took / 1e6)


def file_system(folder: Path) -> tuple[str, bool]:
    """The type of the file system ("" where it is not told), and whether a database can keep its journal on it: one is
    made, written to, and read through a second connection while the first is open."""
    from penstock.stores.sql.place import MOUNTS, file_system_of

    try:
        kind = file_system_of(os.path.realpath(folder), MOUNTS.read_bytes())
    except OSError:
        kind = ""
    return kind, _keeps_journal(folder)


def _keeps_journal(folder: Path) -> bool:
    import sqlite3

    with tempfile.TemporaryDirectory(dir=folder, prefix=".penstock-doctor-") as inner:
        path = Path(inner) / "journal.db"
        try:
            with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(path)) as other:
                (mode,) = one.execute("PRAGMA journal_mode=WAL").fetchone()
                one.execute("CREATE TABLE t (x)")
                one.execute("INSERT INTO t VALUES (1)")
                one.commit()
                return bool(mode == "wal" and other.execute("SELECT x FROM t").fetchall() == [(1,)])
        except sqlite3.Error:
            return False


def machine() -> Machine:
    import resource

    from penstock.executors.local.machine import cpu_thousandths, memory_bytes_total

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        files = 1 << 30
    return Machine(cpu_thousandths(), memory_bytes_total(), files)


def gpus(settings: Settings) -> tuple[tuple[tuple[str, int], ...], bool]:
    """Name and bytes of each GPU that tasks may be given, and whether there is a driver."""
    from importlib import import_module

    from penstock.executors.local.devices import find_devices
    from penstock.executors.local.gpus import has_driver

    module, _, name = gpu_source().partition(":")
    with closing(getattr(import_module(module), name)()) as source:
        found = find_devices(source, setting=settings.gpus)
    return tuple((device.name, device.memory_bytes) for device in found), has_driver()


def clock(settings: Settings) -> Clocks:
    wall_s, steady_s = time.time(), time.monotonic()
    time.sleep(DRIFT_S)
    drift_ms = abs((time.time() - wall_s) - (time.monotonic() - steady_s)) * 1000
    given = os.environ.get("TZ")
    zone = time.strftime("%Z %z")
    return Clocks(time.time(), drift_ms, _newest_ms(settings), zone, given, _is_known_zone(given))


def _is_known_zone(given: str | None) -> bool:
    """A name of the time zone data, or a rule as POSIX writes it, which has a digit (`CET-1CEST`)."""
    from zoneinfo import ZoneInfo

    if not given or any(letter.isdigit() for letter in given):
        return True
    try:
        ZoneInfo(given.removeprefix(":"))
    except (KeyError, ValueError, OSError):
        return False
    return True


def _newest_ms(settings: Settings) -> int | None:
    if not (settings.state / DATABASE).exists():
        return None
    try:
        with closing(open_store_to_read(settings)) as store:
            return max((run.created_at for run in store.runs()), default=None)
    except PenstockError:
        return None  # the finding of the journal says more


def free_ports(ports: Iterable[int]) -> dict[int, bool]:
    import socket

    found = {}
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as asked:
            asked.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                asked.bind(("127.0.0.1", port))
            except OSError:
                found[port] = False
            else:
                found[port] = True
    return found


def limits_by() -> str:
    """What holds tasks to their memory here."""
    import sys

    if sys.platform != "linux":
        return "none"
    from penstock.launcher.outer.groups import parent_of_groups

    return "groups" if parent_of_groups(arrange=False) is not None else "watcher"
