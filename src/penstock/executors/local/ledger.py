"""The ledger of a host: one small file per user in which every local executor notes what it uses, so that several
controllers share one machine (semantics 28). It is advice: it says what is left, it stops nobody.

An executor is told the larger of what the others leave and its equal share, so a late comer is not starved by an early
one, whose own capacity shrinks as the late comer's use grows. Devices are leased: what one executor has of a GPU, no other
is given. The next executor that reads the ledger removes the entries of dead processes.

The file's lock is held for microseconds. A process that is stopped while it has it holds nobody up: there is no advice then,
and no lease."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from penstock.launcher.outer.processes import boot_id, holder_of_lock, started_ticks

PUBLISH_S = 0.1
"""How often an executor writes to the ledger at most."""

READ_S = 0.5
"""How often it looks at the entries of others at most."""

LOCK_S = 0.25
"""How long an executor waits for the ledger's lock at most. One that did not get it only tries, until it does."""

LOCK_TRY_S = 0.002

SHARED = ("cpu", "memory")
"""What machines have and executors share; custom resources are each controller's own."""


def ledger_folder() -> Path | None:
    """The user's own folder for such files, made if need be; None where there is no safe one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime, "penstock") if runtime else Path("/tmp", f"penstock-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        info = folder.lstat()
    except OSError:
        return None
    private = info.st_uid == os.getuid() and not info.st_mode & 0o077
    return folder if private and not folder.is_symlink() else None


class Ledger:
    """This executor's entry, and its sight of the others'."""

    def __init__(self, folder: Path | None, *, entry: str, total: Mapping[str, int]) -> None:
        """`entry` names this executor; `total` is what the machine has."""
        self._folder = folder
        self._file = (folder or Path()) / "ledger.json"
        self._entry = entry
        self._total = dict(total)
        self._published: dict[str, int] = {}
        self._leased: dict[str, int] = {}
        self._published_at = 0.0
        self._is_noted = False
        """The ledger has what this executor uses and leases."""
        self._is_locked = False
        """The lock was not to be had when it was last tried."""
        self._is_refused = False
        """A lease was refused for that."""
        self._read_at = 0.0
        self._left = dict(total)
        with self._entries() as entries:
            self._put(entries)
            self._left = self._leaves(entries)

    def left(self) -> Mapping[str, int]:
        """What this executor may count on; at most half a second old."""
        now = time.monotonic()
        if now - self._read_at > READ_S:
            self._read_at = now
            with self._entries() as entries:
                self._left = self._leaves(entries)
        return self._left

    def publish(self, used: Mapping[str, int]) -> None:
        """Note what this executor uses now, unless it was noted a moment ago or hasn't changed."""
        now = time.monotonic()
        if now - self._published_at < PUBLISH_S:
            return
        wanted = {name: used[name] for name in SHARED if used.get(name)}
        if wanted != self._published or not self._is_noted:
            self._published, self._published_at = wanted, now
            with self._entries() as entries:
                self._put(entries)

    def lease(self, wanted: Mapping[str, int], *, noted: Mapping[str, int]) -> str:
        """Lease devices (`gpu:UUID`, in thousandths): `wanted` is all that this executor then has of them, `noted` what it
        keeps from others meanwhile. Why they cannot be had; then nothing is noted."""
        with self._entries() as entries:
            if self._is_locked:
                self._is_refused = True
                self._read_at = 0.0
                return self._why_locked()
            for name, share in wanted.items():
                if share + self._others(entries, name) > 1000:
                    self._read_at = 0.0  # what was read last is no longer so
                    return f"{name} is leased by another controller"
            self._leased = dict(noted)
            self._put(entries)
        return ""

    def note(self, leased: Mapping[str, int]) -> None:
        """Devices were given back: these are left."""
        self._leased = dict(leased)
        with self._entries() as entries:
            self._put(entries)

    def _others(self, entries: Mapping[str, Any], name: str) -> int:
        """What the other executors have of a device."""
        return sum(each.get("leased", {}).get(name, 0) for entry, each in entries.items() if entry != self._entry)

    def close(self) -> None:
        with self._entries() as entries:
            entries.pop(self._entry, None)

    def _put(self, entries: dict[str, Any]) -> None:
        self._is_noted = not self._is_locked
        entries[self._entry] = {
            "boot_id": boot_id(),
            "pid": os.getpid(),
            "started": started_ticks(os.getpid()),
            "used": self._published,
            "leased": self._leased,
        }

    def _leaves(self, entries: Mapping[str, Any]) -> dict[str, int]:
        if self._is_locked:
            return {
                name: 0 if self._is_refused and name.startswith("gpu:") else amount
                for name, amount in self._left.items()
            }
        others = [each["used"] for name, each in entries.items() if name != self._entry]
        left = {}
        for name, total in self._total.items():
            if name.startswith("gpu:"):
                left[name] = max(0, total - self._others(entries, name))
                continue
            if name not in SHARED:
                left[name] = total
                continue
            used = sum(each.get(name, 0) for each in others)
            share = total // (len(others) + 1)
            left[name] = max(total - used, share, 1000 if name == "cpu" else 0)
        return left

    @contextlib.contextmanager
    def _entries(self) -> Iterator[dict[str, Any]]:
        """The living entries, under the file's lock; written back if they changed. A ledger that cannot be used is empty, and one
        that is locked meanwhile is so, too."""
        if self._folder is None:
            yield {}
            return
        try:
            fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            yield {}
            return
        try:
            text = self._read(fd)
            if text is None:
                yield {}
                return
            entries = _living(text)
            yield entries
            now = json.dumps(entries).encode()
            if now != text:
                os.ftruncate(fd, 0)
                os.pwrite(fd, now, 0)
        except OSError:
            pass  # a full or read-only disk: this machine is then shared without advice
        finally:
            os.close(fd)

    def _read(self, fd: int) -> bytes | None:
        """The ledger, which is locked from here on; None: it cannot be."""
        try:
            return os.pread(fd, 1 << 20, 0) if self._lock(fd) else None
        except OSError:
            return None

    def _lock(self, fd: int) -> bool:
        """Whether the lock was to be had."""
        until = time.monotonic() + (0.0 if self._is_locked else LOCK_S)
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(LOCK_TRY_S)
                    continue
                self._is_locked = True
                return False
            self._is_locked = self._is_refused = False
            return True

    def _why_locked(self) -> str:
        """Who has the lock, and what to do."""
        holder = holder_of_lock(self._file)
        if holder is None:
            return f"another process holds the lock of {self._file}. `lsof {self._file}` shows which; end it."
        pid, is_stopped = holder
        if not is_stopped:
            return f"process {pid} holds the lock of {self._file}. If it goes on doing so, end it with `kill {pid}`."
        return (
            f"process {pid}, which is stopped, holds the lock of {self._file}. Continue it with `kill -CONT {pid}`, or end it "
            f"with `kill -KILL {pid}`."
        )


def _living(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text) if text else {}
        boot = boot_id()
        return {
            name: entry
            for name, entry in entries.items()
            if entry["boot_id"] == boot and started_ticks(entry["pid"]) == entry["started"]
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
