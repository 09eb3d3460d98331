"""Control groups (cgroups(7)), as far as we read and make them: what limits this process, whether the kernel has killed for
want of memory, and a group of its own for each worker where version 2 may be written to.

A worker's group is a backstop: its limit of memory stands a tenth above the declared one, since the watcher (`guard`) can
still ask an attempt where it stands and the kernel cannot. It holds where the watcher would come too late."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "cpu", "pids")
BACKSTOP = 1.1
"""A group's limit of memory, as a part of the declared one."""

PERIOD_US = 100_000
QUOTA_US_MIN = 1_000
PREFIX = "penstock-"


# -- reading -------------------------------------------------------------------------------------------------------------


def cgroup_files(controller: str, name: str) -> list[Path]:
    """Files of that name in this process's control group and the groups above it, innermost first, in either
    hierarchy."""
    found: list[Path] = []
    for controllers, group in _memberships():
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS if not controllers else CGROUPS / controller
        inner = root / group.lstrip("/")
        folders = [inner, *inner.parents] if inner.is_relative_to(root) else [root]
        found.extend(folder / name for folder in folders if folder.is_relative_to(root))
    return [path for path in found if path.exists()]


def counter(text: bytes, name: str) -> int | None:
    """The number behind a name in a file of counters."""
    wanted = b"\n" + name.encode() + b" "
    at = text.find(wanted) if not text.startswith(wanted[1:]) else -1
    if at < 0 and not text.startswith(wanted[1:]):
        return None
    return int(text[at + len(wanted) :].split(None, 1)[0])


def _memberships() -> list[tuple[str, str]]:
    """(controllers, group) of this process; no controllers: version 2."""
    if sys.platform != "linux":
        return []
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    return [(controllers, group) for _, controllers, group in (line.split(":", 2) for line in lines)]


class Kills:
    """Tells whether the kernel has killed a process of this control group, or of this machine, for want of memory."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._fd = -1
        self._open()
        self._before = self._count()

    def has_killed(self) -> bool:
        """Since this was last asked, or `forget` called; also where this process has come into another group since."""
        path, before = self._path, self._before
        self._open()
        self._before = self._count()
        return self._before > (before if self._path == path else 0)

    def forget(self) -> None:
        """What happened until now is not asked: some microseconds."""
        self._before = self._count()

    def _open(self) -> None:
        named = [path for name in ("memory.events", "memory.oom_control") for path in cgroup_files("memory", name)]
        for path in (*named, Path("/proc/vmstat")):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if counter(os.pread(fd, 1 << 16, 0), "oom_kill") is None:
                os.close(fd)
                continue
            if self._fd >= 0:
                os.close(self._fd)
            self._path, self._fd = path, fd
            return

    def _count(self) -> int:
        try:
            return (counter(os.pread(self._fd, 1 << 16, 0), "oom_kill") or 0) if self._fd >= 0 else 0
        except OSError:
            return 0  # the group has gone


# -- making --------------------------------------------------------------------------------------------------------------


class Group:
    """The control group of one worker. What cannot be written is left: the watcher holds the limits too."""

    def __init__(self, folder: Path) -> None:
        """Make it. Raises OSError."""
        self._folder = folder
        self._kills: int | None = None
        self._limits: tuple[int, int] = (0, 0)
        os.makedirs(folder, exist_ok=True)

    @property
    def folder(self) -> Path:
        return self._folder

    def enter(self) -> None:
        """Put this process, and all that it will start, into it."""
        _write(self._folder / "cgroup.procs", "0")
        _write(self._folder / "memory.oom.group", "1")

    def limit(self, *, memory_bytes_max: int, cpu_thousandths: int) -> None:
        """Hold its processes together to so much; 0: as much as there is."""
        if (memory_bytes_max, cpu_thousandths) == self._limits:
            return
        self._limits = (memory_bytes_max, cpu_thousandths)
        _write(self._folder / "memory.max", str(int(memory_bytes_max * BACKSTOP)) if memory_bytes_max else "max")
        _write(self._folder / "memory.swap.max", "0" if memory_bytes_max else "max")
        quota = max(QUOTA_US_MIN, cpu_thousandths * PERIOD_US // 1000)
        _write(self._folder / "cpu.max", f"{quota} {PERIOD_US}" if cpu_thousandths else f"max {PERIOD_US}")

    def has_killed(self) -> bool:
        """Whether the kernel has killed in it for want of memory."""
        try:
            return bool(counter((self._folder / "memory.events").read_bytes(), "oom_kill"))
        except OSError:
            return False

    def remove(self) -> None:
        """End whatever is left in it, and the group."""
        _write(self._folder / "cgroup.kill", "1")
        with suppress(OSError):
            self._folder.rmdir()


class Groups:
    """The groups of one incarnation's workers, below `parent`."""

    def __init__(self, parent: Path, name: str, *, controllers: Iterable[str] = CONTROLLERS) -> None:
        """Make the group that holds them. Raises OSError where that is not allowed here."""
        self._folder = parent / f"{PREFIX}{name}"
        self._folder.mkdir()
        try:
            (self._folder / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))
        except OSError:
            self._folder.rmdir()
            raise

    def of(self, number: int) -> Group:
        """A worker's own. Raises OSError."""
        return Group(self._folder / str(number))

    def close(self) -> None:
        with suppress(OSError):
            self._folder.rmdir()


def open_groups(name: str) -> Groups | None:
    """Groups for the workers of an incarnation; None where none can be made. Those of the dead are removed."""
    parent = parent_of_groups()
    if parent is None:
        return None
    sweep(parent)
    try:
        return Groups(parent, name)
    except OSError:
        return None


def parent_of_groups(controllers: Iterable[str] = CONTROLLERS, *, arrange: bool = True) -> Path | None:
    """The group of version 2 below which this process may make others that have these controllers. None: there is none,
    and the watcher is alone.

    That is the root where it may be written to, and a group that a service manager has delegated (its own or the one above;
    `user.delegate`, see systemd's CGROUP_DELEGATION): every other group is somebody else's to arrange. A group that holds
    processes cannot give its groups controllers, so those of a delegated one are moved into a group below it first, unless
    it is only asked (`arrange` False)."""
    group = next((group for named, group in _memberships() if not named), None)
    if group is None:
        return None
    root = next((each for each in (CGROUPS, CGROUPS / "unified") if (each / "cgroup.controllers").exists()), None)
    if root is None:
        return None
    own = root / group.lstrip("/")
    wanted = set(controllers)
    if own == root or not own.is_relative_to(root):
        return root if _holds_groups(root, wanted) else None
    if _is_delegated(own) and not _holds_groups(own, wanted):
        if not arrange:
            return own if _has_controllers(own, wanted) else None
        _make_room(own, wanted)
    return next((each for each in (own, own.parent) if _is_delegated(each) and _holds_groups(each, wanted)), None)


def _is_delegated(folder: Path) -> bool:
    try:
        return os.getxattr(folder, "user.delegate") == b"1"
    except (AttributeError, OSError):
        return False


def _make_room(folder: Path, controllers: set[str]) -> None:
    """Move the processes of a group into one below it, and let its groups have controllers. As far as that goes."""
    inner = folder / f"{PREFIX}outside"
    with suppress(OSError):
        if _has_controllers(folder, controllers):
            inner.mkdir(exist_ok=True)
            for pid in (folder / "cgroup.procs").read_text().split():
                _write(inner / "cgroup.procs", pid)
            _write(folder / "cgroup.subtree_control", " ".join(f"+{each}" for each in sorted(controllers)))


def _has_controllers(folder: Path, controllers: set[str]) -> bool:
    """Whether a group may be written to, and has controllers to give."""
    if not os.access(folder / "cgroup.subtree_control", os.W_OK):
        return False
    return controllers <= set((folder / "cgroup.controllers").read_text().split())


def _holds_groups(folder: Path, controllers: set[str]) -> bool:
    """Whether groups with these controllers can be made in a group, and processes moved between them."""
    writable = (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control")
    if not all(os.access(path, os.W_OK) for path in writable):
        return False
    try:
        return controllers <= set((folder / "cgroup.subtree_control").read_text().split())
    except OSError:
        return False


def sweep(parent: Path) -> None:
    """Remove the groups of keepers that were killed: those in which no process is left."""
    with suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            for inner in folder.iterdir():
                if inner.is_dir():
                    with suppress(OSError):
                        inner.rmdir()
            with suppress(OSError):
                folder.rmdir()


def _write(path: Path, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, text.encode())
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
