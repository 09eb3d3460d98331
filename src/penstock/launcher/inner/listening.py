"""What Python has no audit event for: variables of the environment that are read, and files that are asked about without
being opened (recorded reads, cache rule 12). `install` puts this in front of `os.environ`, `os.stat` and their like, for the
life of a process; as long as nobody listens, nothing else happens.

Who asks decides what counts: `os.path.getsize` asks for a size, `Path.exists` whether there is anything; Python's own
machinery, and what starts other processes, asks for nobody."""

from __future__ import annotations

import dis
import os
import sys
import threading
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any, Protocol

from penstock.base.firstparty import is_first_party
from penstock.launcher.inner.arrivals import Arrivals
from penstock.values.reads import EVERY_VARIABLE, KIND, LINK, MTIME, SIZE


class Listener(Protocol):
    """Is told what is asked, before it is answered; `frame` is where the one who asks is."""

    def variable(self, name: str, frame: FrameType) -> None: ...

    def looked(self, path: str, aspects: tuple[str, ...], frame: FrameType) -> None: ...

    def unheard(self, what: str) -> None:
        """Something was read that nobody can name."""


to: Listener | None = None

stat_of = os.stat
"""`os.stat`, without being heard."""

WEAK_MTIME = "mtime?"
"""A library asks when a file was changed: it may only want to know whether to read it again."""

_ASKING_FOR_OTHERS = frozenset({"_collections_abc", "collections.abc", "genericpath", "os", "posixpath", "ntpath"})
_STARTERS = frozenset(
    {"asyncio", "gettext", "locale", "loky", "multiprocessing", "platform", "shutil", "subprocess", "tempfile"}
)
"""They read the environment to start other programs, to find a folder for temporary files, or to choose a language."""

_MACHINERY = frozenset(
    {
        "_frozen_importlib_external", "_pyrepl", "codecs", "faulthandler", "glob", "importlib", "importlib_metadata", "inspect",
        "linecache", "logging", "multiprocessing", "os", "penstock", "pkg_resources", "pkgutil", "pydoc", "runpy", "shutil",
        "site", "subprocess", "sysconfig", "tempfile", "tokenize", "traceback", "warnings", "zipimport",
    }
)  # fmt: skip
_LISTING_FOR_OTHERS = _MACHINERY | {"pathlib"}
_KINDS = (KIND,)
_EVERYTHING = (SIZE, MTIME)
_BY_FUNCTION = {
    "getsize": (SIZE,), "getmtime": (MTIME,), "getatime": (MTIME,), "getctime": (MTIME,), "stat": _EVERYTHING,
    "lstat": _EVERYTHING, "islink": (LINK,), "is_symlink": (LINK,), "lexists": (KIND, LINK),
}  # fmt: skip
_BY_FIELD = {"st_mode": _KINDS, "st_size": (SIZE,), "st_mtime": (MTIME,), "st_mtime_ns": (MTIME,)}
_NOT_ASKING = frozenset({"_joinrealpath", "expanduser", "mkdir", "realpath", "resolve", "touch", "unlink"})
_installed = False


def install() -> None:
    """Be in front of what this process asks, from here on: its environment is as it was given."""
    global _installed, _at_start
    _at_start = dict(getattr(os.environ, "_data"))  # noqa: B009
    if _installed:
        return
    _installed = True
    for environ in (os.environ, os.environb):
        environ.__class__ = _Environ
    for replacement in (_stat, _lstat, _access, _scandir, _readlink, _open):
        name = replacement.__name__.removeprefix("_")
        original = getattr(os, name)
        for supports in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if original in supports:
                supports.add(replacement)
        replacement.__module__, replacement.__name__, replacement.__qualname__ = "os", name, name
        replacement.__doc__ = original.__doc__
        setattr(os, name, replacement)
    Arrivals({"tempfile": _hear_tempfile}).install()


def set_here() -> tuple[str, ...]:
    """Variables that are not what they were when this process began."""
    now: dict[bytes, bytes] = getattr(os.environ, "_data")  # noqa: B009
    return tuple(os.fsdecode(name) for name in {*now, *_at_start} if now.get(name) != _at_start.get(name))


def disregard(names: Iterable[str]) -> None:
    """These variables are not what they were where this process was started: they do not count."""
    for name in names:
        _at_start[os.fsencode(name)] = b"\0"


def variables_at_start() -> dict[str, str]:
    """The environment that this process was given."""
    return {os.fsdecode(name): os.fsdecode(value) for name, value in _at_start.items()}


# -- the environment -----------------------------------------------------------------------------------------------------

_Plain: Any = type(os.environ)


class _Environ(_Plain):  # type: ignore[misc]
    """`os.environ`: reading a variable that still is what it was when this process began is heard."""

    def __getitem__(self, key: Any) -> Any:
        if to is not None:
            _hear_variable(key, sys._getframe(1))
        return _Plain.__getitem__(self, key)

    def __iter__(self) -> Iterator[Any]:
        _hear_all(sys._getframe(1))
        return iter(_Plain.__iter__(self))

    def keys(self) -> KeysView[Any]:
        _hear_all(sys._getframe(1))
        return KeysView(self._unheard())

    def items(self) -> ItemsView[Any, Any]:
        _hear_all(sys._getframe(1))
        return ItemsView(self._unheard())

    def values(self) -> ValuesView[Any]:
        _hear_all(sys._getframe(1))
        return ValuesView(self._unheard())

    def copy(self) -> dict[Any, Any]:
        _hear_all(sys._getframe(1))
        return dict(self._unheard())

    def _unheard(self) -> Any:
        plain = _Plain.__new__(_Plain)
        plain.__dict__ = self.__dict__
        return plain


_Environ.__module__, _Environ.__name__, _Environ.__qualname__ = "os", "_Environ", "_Environ"
_at_start: dict[bytes, bytes] = {}


def _hear_variable(key: Any, frame: FrameType) -> None:
    asker = _asker(frame)
    if to is None or asker is None or _root(asker) in _STARTERS or _root(asker) == "penstock":
        return
    try:
        name = os.fsencode(key)
    except TypeError:
        return
    if getattr(os.environ, "_data").get(name) == _at_start.get(name):  # noqa: B009
        to.variable(os.fsdecode(name), asker)


def _hear_all(frame: FrameType) -> None:
    asker = _asker(frame) if to is not None else None
    if to is not None and asker is not None and _root(asker) not in _STARTERS and _root(asker) != "penstock":
        to.variable(EVERY_VARIABLE, asker)


def _hear_tempfile() -> None:
    """`gettempdir` reads the environment once, and keeps what it found."""
    import tempfile

    def heard(plain: Any) -> Any:
        def gettempdir() -> Any:
            frame = sys._getframe(1)
            if to is not None and _root(frame) != "tempfile":
                for name in ("TMPDIR", "TEMP", "TMP"):
                    _hear_variable(name, frame)
            return plain()

        gettempdir.__module__, gettempdir.__name__, gettempdir.__qualname__ = "tempfile", plain.__name__, plain.__name__
        gettempdir.__doc__ = plain.__doc__
        return gettempdir

    tempfile.gettempdir, tempfile.gettempdirb = heard(tempfile.gettempdir), heard(tempfile.gettempdirb)


# -- files ---------------------------------------------------------------------------------------------------------------

_plain_lstat, _plain_access, _plain_scandir, _plain_open = os.lstat, os.access, os.scandir, os.open
_plain_readlink = os.readlink
_opening = threading.local()
LINKS_MAX = 40
"""So many links are followed on one path, as by the system."""


def _stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
    if to is not None and type(path) is not int:
        _hear_look(path, sys._getframe(1), dir_fd=dir_fd, follows=follow_symlinks)
    return stat_of(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)


def _lstat(path: Any, *, dir_fd: int | None = None) -> os.stat_result:
    if to is not None:
        _hear_look(path, sys._getframe(1), dir_fd=dir_fd, follows=False)
    return _plain_lstat(path, dir_fd=dir_fd)


def _access(
    path: Any, mode: int, *, dir_fd: int | None = None, effective_ids: bool = False, follow_symlinks: bool = True
) -> bool:
    if to is not None and type(path) is not int:
        _hear_look(path, sys._getframe(1), _KINDS, dir_fd=dir_fd)
    return _plain_access(path, mode, dir_fd=dir_fd, effective_ids=effective_ids, follow_symlinks=follow_symlinks)


def _readlink(path: Any, *, dir_fd: int | None = None) -> Any:
    """`os.path.realpath` and what is built on it ask this of every link on their way."""
    if to is not None:
        asker = _asker(sys._getframe(1))
        if asker is not None and _root(asker) not in _MACHINERY and (name := _named(path, dir_fd)) is not None:
            to.looked(name, (LINK,), asker)
    return _plain_readlink(path, dir_fd=dir_fd)


def _open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """The audit event does not say relative to which folder a path is."""
    if to is None or dir_fd is None:
        return _plain_open(path, flags, mode, dir_fd=dir_fd)
    _opening.folder = folder_of(dir_fd)
    if _opening.folder is None and _root(sys._getframe(1)) not in _MACHINERY:
        to.unheard(f"{os.fsdecode(path)} (opened relative to a folder that nobody can name)")
    try:
        return _plain_open(path, flags, mode, dir_fd=dir_fd)
    finally:
        _opening.folder = None


def opening_in() -> str | None:
    """The folder of a descriptor relative to which this thread is opening a file just now."""
    folder: str | None = getattr(_opening, "folder", None)
    return folder


def folder_of(descriptor: int) -> str | None:
    """The path of an open folder; None where the system does not say."""
    try:
        return _plain_readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None


def _scandir(path: Any = None) -> Any:
    if to is None or _root(sys._getframe(1)) in _LISTING_FOR_OTHERS:
        return _plain_scandir(path)
    return _Entries(_plain_scandir(path), path if type(path) is int else None)


class _Entries:
    """What `os.scandir` answers: the listing itself is heard as an audit event, the stat of an entry here."""

    def __init__(self, plain: Any, descriptor: int | None) -> None:
        self._plain = plain
        self._descriptor = descriptor

    def __iter__(self) -> _Entries:
        return self

    def __next__(self) -> _Entry:
        return _Entry(next(self._plain), self._descriptor)

    def __enter__(self) -> _Entries:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        self._plain.close()


class _Entry:
    __slots__ = ("_descriptor", "_plain")
    __class__ = os.DirEntry  # type: ignore[assignment]

    def __init__(self, plain: Any, descriptor: int | None) -> None:
        self._plain = plain
        self._descriptor = descriptor

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        if to is not None:
            _hear_look(self._plain.path, sys._getframe(1), dir_fd=self._descriptor, follows=follow_symlinks)
        status: os.stat_result = self._plain.stat(follow_symlinks=follow_symlinks)
        return status

    def is_symlink(self) -> bool:
        found: bool = self._plain.is_symlink()
        if found and to is not None:
            _hear_look(self._plain.path, sys._getframe(1), (LINK,), dir_fd=self._descriptor)
        return found

    def __fspath__(self) -> Any:
        return self._plain.path

    def __repr__(self) -> str:
        return repr(self._plain)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


def _hear_look(
    path: Any,
    frame: FrameType,
    aspects: tuple[str, ...] | None = None,
    *,
    dir_fd: int | None = None,
    follows: bool = True,
) -> None:
    """`frame` is where `os.stat` is called."""
    asker, function = frame, ""
    while (module := _module(asker)) in ("genericpath", "posixpath") or module[:7] == "pathlib":
        function = asker.f_code.co_name
        if function in _NOT_ASKING or asker.f_back is None:
            return
        asker = asker.f_back
    if to is None or _root(asker) in _MACHINERY:
        return
    if aspects is None:
        aspects = _BY_FUNCTION.get(function, _KINDS) if function else _EVERYTHING
    if aspects is _EVERYTHING:
        aspects = _fields_after(asker.f_code, asker.f_lasti)
    if MTIME in aspects and not is_first_party(asker.f_code.co_filename):
        aspects = tuple(WEAK_MTIME if aspect == MTIME else aspect for aspect in aspects)
    if (name := _named(path, dir_fd)) is None:
        return
    if function == "samefile":
        _hear_links(name, asker)
    elif not follows and LINK not in aspects and _target_of(name) is not None:
        aspects = (*aspects, LINK)
    to.looked(name, aspects, asker)


def _hear_links(name: str, asker: FrameType) -> None:
    """All links on a path count, and that the last part of it is none."""
    for _ in range(LINKS_MAX):
        if to is not None:
            to.looked(name, (LINK,), asker)
        parts = name.split(os.sep)
        above = (os.sep.join(parts[:count]) for count in range(1, len(parts) + 1))
        link = next((each for each in above if each and _target_of(each) is not None), None)
        if link is None or to is None:
            return
        to.looked(link, (LINK,), asker)
        name = os.path.normpath(os.path.join(os.path.dirname(link), _target_of(link) or "", name[len(link) + 1 :]))


def _target_of(name: str) -> str | None:
    """Where a link leads; None where the name is not a link."""
    try:
        return _plain_readlink(name)
    except (OSError, ValueError):
        return None


def _named(path: Any, dir_fd: int | None) -> str | None:
    """A path as text, with the folder that it is relative to where that is given by a descriptor."""
    try:
        name = os.fsdecode(path)
    except TypeError:
        return None
    if dir_fd is None:
        return name
    folder = folder_of(dir_fd)
    return None if folder is None else os.path.join(folder, name)


@lru_cache(maxsize=4096)
def _fields_after(code: CodeType, position: int) -> tuple[str, ...]:
    """Which aspects a call of `stat` asks for, by the attribute that is taken of what it answers: `path.stat().st_size`."""
    after = (
        each for each in dis.get_instructions(code) if each.offset > position and each.opname not in ("PRECALL", "CALL")
    )
    then = next(after, None)
    return _BY_FIELD.get(str(then.argval), _EVERYTHING) if then and then.opname == "LOAD_ATTR" else _EVERYTHING


def _asker(frame: FrameType | None) -> FrameType | None:
    while frame is not None and ((module := _module(frame)) in _ASKING_FOR_OTHERS or module[:7] == "pathlib"):
        frame = frame.f_back
    return frame


def _root(frame: FrameType) -> str:
    return _module(frame).partition(".")[0]


def _module(frame: FrameType) -> str:
    name = frame.f_globals.get("__name__")
    return name if type(name) is str else ""
