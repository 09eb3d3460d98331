"""Recorded reads (cache rule 12): which files of the project an attempt opened for reading through Python, and what they
held; which SQLite databases; which folders it listed, and which names these had. An audit hook hears of it all in the
process; what the attempt has written or made itself, what lies in the state folder and what is installed does not count. A
file that was looked for and not found counts as missing.

What is read while a module is imported counts for every attempt whose closure holds that module."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Collection, Mapping
from itertools import takewhile
from types import FrameType
from typing import Any

from penstock.base.firstparty import is_first_party
from penstock.launcher.inner import listening
from penstock.launcher.inner.asked import Asked, absolute, made_link
from penstock.launcher.outer import children
from penstock.launcher.outer.children import Joining
from penstock.launcher.outer.forks import NOTHING_HEARD, ForkedReads
from penstock.launcher.outer.kept import NOTHING_RECORDED, Recorded
from penstock.values.reads import MISSING, WAL, digest_of_read, escaped

READS_MAX = 10_000
_SOURCES = (".py", ".pyc", ".pyi", ".so", ".pyd")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_MACHINERY = frozenset(
    {
        "_frozen_importlib_external", "importlib", "importlib_metadata", "inspect", "linecache", "pkg_resources", "pkgutil",
        "runpy", "tokenize", "zipimport",
    }
)  # fmt: skip
_GLOBS = frozenset({"pathlib.Path.glob", "pathlib.Path.rglob"})
_EVENTS = _GLOBS | {
    "ctypes.dlopen", "open", "os.listdir", "os.mkdir", "os.rename", "os.scandir", "os.symlink", "sqlite3.connect",
}  # fmt: skip
_WALKERS = frozenset({"os", "shutil"})
"""They open folders, to walk through them, by names that are relative to others."""
_WRITES = os.O_WRONLY | os.O_RDWR
_ANYWHERE = ""

_recorder: ReadRecorder | None = None
_installed = False


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS and _recorder is not None:
        _recorder.hear(event, arguments)


def _forking() -> None:
    if _recorder is not None:
        _recorder.forks.forking()


def _in_fork() -> None:
    if _recorder is not None:
        _recorder.in_fork()


def _joining() -> Joining | None:
    return _recorder.joining() if _recorder is not None else None


class ReadRecorder:
    """Records from `begin` to `end`, for one attempt after the other. There is one for a process at a time: the last that
    began."""

    def __init__(self, *, project: str, state: str) -> None:
        self._prefixes = tuple(
            {f"{path.rstrip(os.sep)}{os.sep}": None for path in (project, os.path.realpath(project))}
        )
        self._foreign = tuple(
            f"{path.rstrip(os.sep)}{os.sep}"
            for path in dict.fromkeys([state, os.path.realpath(state), sys.prefix, sys.base_prefix, *_system_folders()])
            if not any(prefix.startswith(f"{path.rstrip(os.sep)}{os.sep}") for prefix in self._prefixes)
        )
        self._reads: dict[str, int] = {}
        self._digests: dict[str, str] = {}
        self._written: set[str] = set()
        self._databases: dict[str, tuple[int, ...]] = {}
        self._loaded: dict[str, None] = {}
        self._import_reads: dict[str, dict[str, None]] = {}
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}
        self._busy = False
        self._failed = ""
        self._sealing = False
        self._began_ns = 0
        self.forks = ForkedReads(os.path.join(state, "scratch"))
        listening.install()
        children.install(_joining)
        self._asked = Asked(self._prefixes, self)
        self._project, self._state = project, state
        self._elsewhere = NOTHING_HEARD
        self._tell_ran: Callable[[], None] | None = None

    def begin(self) -> None:
        """Record from here on."""
        global _recorder, _installed
        if self._reads or self._written or self._loaded or self._failed:
            self._reads, self._digests, self._written, self._loaded = {}, {}, set(), {}
            self._databases = {}
            self._failed = ""
        self._sealing = False
        self._began_ns = time.time_ns()
        self.forks.begin()
        _recorder = self
        self._asked.begin()
        if not _installed:
            _installed = True
            sys.addaudithook(_hear)
            os.register_at_fork(before=_forking, after_in_child=_in_fork)

    def seal(self) -> None:
        """What is read from here on is read to store what the function returned."""
        self._sealing = True

    def has_written(self, path: str) -> bool:
        """Whether a file at or below a path was opened for writing, or made."""
        below = f"{path}{os.sep}"
        return any(each == path or each.startswith(below) for each in self._written)

    def written(self) -> list[str]:
        """The files of the project that were written, relative to it; also after the end. Compiled code is nobody's work."""
        files = (path for path in self._written if not path.endswith((os.sep, ".pyc")) and "__pycache__" not in path)
        return sorted({name for path in files if (name := self.relative(path)) is not None})

    def elsewhere(self) -> list[str]:
        """What was read outside of the project; also after the end."""
        return [path for path in self._reads if self.relative(path) is None]

    def end(self, modules: Collection[str] | None) -> Recorded:
        """Stop recording; what was read, with what the modules of the closure (None: all) read when they were
        imported."""
        global _recorder
        _recorder = None
        self._add_forked()
        elsewhere, self._elsewhere = self._elsewhere, NOTHING_HEARD
        if self._asked.is_empty and not (
            elsewhere is not NOTHING_HEARD or self._reads or self._loaded or self._import_reads or self._failed
        ):
            self._asked.abandon()
            return NOTHING_RECORDED
        reads: dict[str, str] = {}
        changed = [self._failed] if self._failed else []
        imported = self._imported(modules)
        facts, asked = self._asked.end(modules, {*self._reads, *(path for path, _ in imported)})
        by_call = {name: facts[name] for name in asked}
        for path, first_ns in (*self._reads.items(), *imported):
            name = self.relative(path)
            if name is None or name in reads:
                continue
            if len(reads) >= READS_MAX:
                changed.append(f"more than {READS_MAX:,} files (reads_max)")
                break
            digest = self._digests[path] if path in self._digests else self._digest(path, first_ns)
            if digest is None:
                continue
            if digest == _CHANGED:
                changed.append(name)
            else:
                reads[escaped(name)] = digest
                if path in self._reads:
                    by_call[escaped(name)] = digest
        loaded = [name for path in self._loaded if (name := self.relative(path)) is not None]
        unheard = tuple(self._asked.complaints)
        rewritten = self._asked.is_rewritten or not self._written.isdisjoint(self._reads)
        return Recorded({**reads, **facts}, tuple(changed), unheard, tuple(loaded), elsewhere, by_call, rewritten)

    def in_fork(self) -> None:
        """What is heard from here on is told to the process that made this fork."""
        self._reads, self._import_reads = {}, {}
        self.forks.in_fork(self._written)
        self._asked.in_fork(self._tell)

    def joining(self) -> Joining:
        """What a process that is started anew is to know."""
        self.forks.forking()
        written = tuple(self._written)
        return Joining(self._project, self._state, self.forks.file, written, listening.set_here())

    def join(self, asked: Mapping[str, Any], tell_ran: Callable[[], None]) -> None:
        """Record in this process, which another one's attempt has started, until it ends. `tell_ran` is called whenever
        something has been heard."""
        listening.disregard(asked["set_here"])
        self.begin()
        self._written = set(asked["written"])
        self.forks.file = asked["file"]
        self._tell_ran = tell_ran
        self.in_fork()

    def _tell(self) -> None:
        imported = (path for paths in self._import_reads.values() for path in paths)
        self.forks.tell((*self._reads, *imported), self._written, self._loaded, self._asked.facts())
        if self._tell_ran is not None:
            self._tell_ran()

    def _add_forked(self) -> None:
        """What other processes have read, unless one of them, or the task itself, had made it."""
        heard = self.forks.heard()
        for path in heard.read:
            if path not in heard.written and not self.is_made(path):
                self._reads.setdefault(path, self._began_ns)
        self._asked.add({name: answer for name, answer in heard.facts.items() if name[1] not in heard.written})
        self._elsewhere = heard
        self._written |= {*heard.written}
        for complaint in heard.complaints:
            self._asked.unheard(complaint)

    # -- hearing -------------------------------------------------------------------------------------------------------

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An event of the interpreter's (https://docs.python.org/3/library/audit_events.html)."""
        if self._busy:
            return
        try:
            if event == "open":
                self._opened(*arguments)
            elif event == "os.rename":
                self._renamed(_absolute_at(arguments[0], arguments[2]), _absolute_at(arguments[1], arguments[3]))
            elif event == "os.mkdir":
                self._made(_absolute_at(arguments[0], arguments[2]))
            elif event == "os.symlink":
                self._written.add(made_link(_absolute_at(arguments[1], arguments[2])))
            elif event == "sqlite3.connect":
                self._connected(arguments[0])
            elif event == "ctypes.dlopen":
                self._loaded_library(arguments[0])
            elif event in _GLOBS:
                self._looked_for(arguments[0], arguments[1])
            else:
                self._listed(arguments[0])
            if self.forks.is_fork:
                self._tell()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong here must not become the task's affair
            self._failed = f"reads could not be recorded ({type(error).__name__})"

    def _opened(self, given: Any, mode: Any, flags: Any) -> None:
        if type(given) is int or len(self._reads) > READS_MAX:
            return
        frame = _caller()
        if mode is None and frame is not None and frame.f_globals.get("__name__") in _WALKERS:
            return
        folder = listening.opening_in() if mode is None else None
        path = absolute(given if folder is None else os.path.join(folder, os.fsdecode(given)))
        if self.is_foreign(path) or path in self._written:
            return
        if flags & _WRITES:
            self._opened_for_writing(path, flags)
        elif path not in self._reads:
            if path.endswith(_SOURCES) and _is_machinery(frame):
                self._imported_from_place(path)
                return
            module = _importing_module(frame)
            if module is not None:
                self._import_reads.setdefault(module, {})[path] = None
            elif not self._sealing or not self._is_new(path):
                self._reads[path] = time.time_ns()

    def _loaded_library(self, given: Any) -> None:
        """A name without a folder is one of the system's."""
        if isinstance(given, (str, bytes)) and os.sep in os.fsdecode(given):
            self._opened(given, "rb", os.O_RDONLY)

    def is_foreign(self, path: str) -> bool:
        return path.startswith(self._foreign) or any(part in path for part in _INSTALLED)

    def _opened_for_writing(self, path: str, flags: int) -> None:
        """The last moment to see what it held."""
        reads_too = flags & os.O_RDWR and not flags & (os.O_TRUNC | os.O_EXCL) and self.relative(path) is not None
        if (path in self._reads or reads_too) and path not in self._digests:
            digest = self._digest(path, self._reads.setdefault(path, time.time_ns()))
            if digest is not None:
                self._digests[path] = digest
        self._written.add(path)

    def _renamed(self, source: str, path: str) -> None:
        if made_link(source) in self._written:
            self._written.add(made_link(path))
        if source in self._written:
            if path in self._reads and path not in self._digests:
                self._digests[path] = self._digest(path, self._reads[path]) or MISSING
            self._written.add(path)

    def _made(self, path: str) -> None:
        if not os.path.lexists(path):
            self._written.add(f"{path}{os.sep}")

    def _listed(self, given: Any) -> None:
        """A folder is read as it is now: what the task puts into it afterwards changes it."""
        frame = _caller()
        if (
            frame is None
            or _is_machinery(frame)
            or len(self._reads) > READS_MAX
            or (folder := _folder(given, frame)) is None
        ):
            return
        path = f"{folder}{os.sep}"
        if self.is_foreign(path) or path in self._reads or self.is_made(path) or self.relative(path) is None:
            return
        module = _importing_module(frame)
        if module is not None:
            self._import_reads.setdefault(module, {})[path] = None
        elif not self._sealing or not self._is_new(path):
            self._reads[path] = time.time_ns()
            self._digests[path] = self._digest(path, 0) or MISSING

    def _looked_for(self, folder: Any, pattern: Any) -> None:
        """A folder that is not there is not listed."""
        fixed = takewhile(lambda part: not any(sign in part for sign in "*?["), str(pattern).split(os.sep))
        below = absolute(os.path.join(folder, *fixed))
        if not os.path.exists(below):
            self._listed(below)

    def has_made(self, path: str) -> bool:
        return path in self._written

    def importing(self, frame: FrameType) -> str | None:
        return _importing_module(frame)

    def is_made(self, path: str) -> bool:
        """Whether the attempt has made it, or a folder that it is in."""
        while path:
            if path in self._written:
                return True
            path = path[: path.rfind(os.sep, 0, -1) + 1]
        return False

    def _connected(self, given: Any) -> None:
        """Whether a database is read or written is not told: what held still all the time was read, one that changed can
        be no part of a key."""
        path = _database(os.fsdecode(given))
        if not path or self.is_foreign(path) or path in self._written or self.relative(path) is None:
            return
        if not os.path.exists(path):
            self._written.update((path, f"{path}{WAL}"))
            return
        module = _importing_module(sys._getframe(3))
        for each in (path, f"{path}{WAL}"):
            if module is not None:
                self._import_reads.setdefault(module, {})[each] = None
            elif each not in self._reads:
                self._reads[each] = 0
                self._databases[each] = _stat_of(each)

    def _imported_from_place(self, path: str) -> None:
        """Python's own import read it: a source that is pinned does not come this way."""
        if path.endswith(".pyc"):
            from importlib.util import source_from_cache

            try:
                path = source_from_cache(path)
            except ValueError:
                return
        if self.relative(path) is not None and is_first_party(path) and os.path.exists(path):
            self._loaded[path] = None

    def _is_new(self, path: str) -> bool:
        """Whether a file was made or changed since the attempt began: then it is what the task made."""
        try:
            return os.stat(path).st_ctime_ns >= self._began_ns - 10_000_000  # clocks of files lag behind by a tick
        except OSError:
            return True

    # -- digests -------------------------------------------------------------------------------------------------------

    def _imported(self, modules: Collection[str] | None) -> list[tuple[str, int]]:
        wanted = (
            self._import_reads if modules is None else [m for m in self._import_reads if m == _ANYWHERE or m in modules]
        )
        return [(path, 0) for module in wanted for path in self._import_reads[module]]

    def relative(self, path: str) -> str | None:
        """A path below the project, relative to it; None for any other."""
        for prefix in self._prefixes:
            if path.startswith(prefix):
                name = path[len(prefix) :]
                return None if name.startswith(f".penstock{os.sep}") else name or f".{os.sep}"
        real = os.path.realpath(path) + (os.sep if path.endswith(os.sep) else "")
        return self.relative(real) if real != path and real.startswith(self._prefixes) else None

    def _digest(self, path: str, first_ns: int) -> str | None:
        """What a file holds; None for what is no file, `_CHANGED` for one that changed since it was opened first (0: that
        is not asked)."""
        self._busy = True
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode) and not path.endswith(os.sep):
                return None
            if first_ns and status.st_ctime_ns > first_ns:
                return _CHANGED
            if path in self._databases and self._databases[path] != _stat_of(path):
                return MISSING if path.endswith(WAL) and not status.st_size else _CHANGED
            identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            known = self._known.get(path)
            if known is None or known[0] != identity:
                known = self._known[path] = (identity, digest_of_read(path))
                if os.stat(path).st_ctime_ns != status.st_ctime_ns:
                    del self._known[path]
                    return _CHANGED
        except OSError:
            return MISSING
        finally:
            self._busy = False
        return known[1]


_CHANGED = "changed"


def _stat_of(path: str) -> tuple[int, ...]:
    """How a file looks; nothing of one that is not there. SQLite sets the owner of a write-ahead log when it opens one."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns, 0 if path.endswith(WAL) else status.st_ctime_ns


def _folder(given: Any, frame: FrameType) -> str | None:
    """The absolute path of a folder, given as a path, a descriptor, or None for the current one; None for one that is only
    being removed, or that nobody can name."""
    if type(given) is not int:
        return absolute("." if given is None else given).rstrip(os.sep)
    if frame.f_globals.get("__name__") == "shutil":
        return None
    return listening.folder_of(given)


def _absolute_at(given: Any, folder: int) -> str:
    """The absolute path of one that is relative to an open folder, -1 for the current one."""
    above = listening.folder_of(folder) if folder != -1 else None
    return absolute(given if above is None else os.path.join(above, os.fsdecode(given)))


def _database(given: str) -> str:
    """The absolute path that SQLite is given by itself or in a URI (https://www.sqlite.org/uri.html); empty for a database in
    memory."""
    if given.startswith("file:") and not os.path.exists(given):
        from urllib.parse import unquote

        given, _, query = given.removeprefix("file:").partition("?")
        if "mode=memory" in query:
            return ""
        given = unquote(given.partition("#")[0])
        if given.startswith("//"):
            given = given[given.find("/", 2) :]
    return "" if given in ("", ":memory:") else absolute(given)


def _caller() -> FrameType | None:
    """Where the one is who causes the event that is being heard."""
    frame: FrameType | None = sys._getframe(4)
    return frame.f_back if frame is not None and frame.f_globals is vars(listening) else frame


def _is_machinery(frame: FrameType | None) -> bool:
    """Whether Python's own machinery opens a file: for an import, or to show a line of it."""
    return frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _MACHINERY


def _importing_module(frame: FrameType | None) -> str | None:
    """The first-party module whose import opens a file, "" where only others' modules are being imported, None outside of
    an import."""
    found: str | None = None
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename[:1] == os.sep:
            if is_first_party(code.co_filename):
                return str(frame.f_globals.get("__name__", _ANYWHERE))
            if found is None and frame.f_globals.get("__name__") != "__main__":
                found = _ANYWHERE
        elif code is _CALL:
            break
        frame = frame.f_back
    return found


_CALL: Any = None


def calls_from(code: Any) -> None:
    """Say in which code of ours user code is called: what lies above is no import of the user's."""
    global _CALL
    _CALL = code


def _system_folders() -> list[str]:
    return [f"{os.sep}{name}" for name in ("proc", "sys", "dev", "usr", "etc", "lib", "run")]
