"""What a recorded read counts as: what a file held when a task read it, which names a folder had when a task listed it, what a
task asked of a file or of the environment without opening anything, and what each of these is now (cache rule 12).

A read is named by a path in the project; that of a folder that was listed ends with a slash. A fact is named by its aspect and
a path, `size:data/a.csv`, or `env:NAME` for a variable of the environment, `env:*` for all of them. `unset:CODES` are many
variables that are not set, by four letters each."""

from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b, sha256

from penstock.base.secrets import variable_part

_READ_BYTES = 1 << 20
MISSING = ""
"""Stands for a file or folder that was not there: looking for it counts too."""

WAL = "-wal"
"""What SQLite keeps beside a database: an empty one is as good as none, since reading makes and removes it."""

KIND, SIZE, MTIME = "kind", "size", "mtime"
"""Aspects of a file or folder: whether it is there and which of the two it is, its size in bytes, when it was changed last in
nanoseconds."""

LINK = "link"
"""Where a symbolic link leads, as it says itself."""

ENVIRONMENT = "env"
UNSET = "unset"
EVERY_VARIABLE = "*"
_ZONE = f"{ENVIRONMENT}:TZ"

_UNSET = "unset"
_CODE_CHARS = 4
_ASPECTS = frozenset({KIND, SIZE, MTIME, LINK, ENVIRONMENT, _UNSET})
_OURS = frozenset({"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "LOKY_MAX_CPU_COUNT"})
_SESSION = frozenset(
    {
        "_", "CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "COLUMNS", "DBUS_SESSION_BUS_ADDRESS", "DESKTOP_SESSION", "DISPLAY",
        "EDITOR", "FORCE_COLOR", "INVOCATION_ID", "JOURNAL_STREAM", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LESS", "LINES",
        "LS_COLORS", "MAIL", "MANPATH", "NO_COLOR", "OLDPWD", "PAGER", "PATH", "PS1", "PWD", "SHELL", "SHLVL", "STY",
        "SYSTEMD_EXEC_PID", "TERM", "TMUX", "TMUX_PANE", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "VISUAL", "WAYLAND_DISPLAY",
        "WINDOWID",
    }
)  # fmt: skip
_SESSION_STARTS = (
    "CONDA_", "GPG_", "ITERM_", "KMP_", "LC_", "PENSTOCK_", "PYENV_", "PYTEST_", "PYTHON", "SSH_", "TERM_", "VSCODE_",
    "XDG_RUNTIME_", "XDG_SE", "XDG_VTNR", "_PENSTOCK_",
)  # fmt: skip
_SESSION_ENDS = ("_NUM_THREADS", "_MAX_THREADS", "_MAXIMUM_THREADS", "_INTRAOP_THREADS", "_INTEROP_THREADS")

_NOT_LISTED = frozenset({".penstock", "__pycache__"})


def digest_of_read(path: str) -> str:
    """What a file or, with a slash at the end, the list of names in a folder counts as. Raises OSError."""
    if path.endswith(os.sep):
        return _digest_of_names(path)
    if path.endswith(WAL) and not os.path.getsize(path):
        return MISSING
    return digest_of_file(path)


def digest_of_file(path: str) -> str:
    """`blake3:HEX` of a file's bytes, as the artifact store addresses them. Raises OSError."""
    from blake3 import blake3

    hasher = blake3()
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while block := os.read(fd, _READ_BYTES):
            hasher.update(block)
    finally:
        os.close(fd)
    return f"blake3:{hasher.hexdigest()}"


def is_counted(variable: str) -> bool:
    """Whether a variable that a library reads counts: not what differs from one terminal, login or attempt to the next and says
    where programs are found, how text is shown, or how much of the machine to use."""
    return not (
        variable in _SESSION
        or variable in _OURS
        or variable.startswith(_SESSION_STARTS)
        or variable.endswith(_SESSION_ENDS)
    )


def is_fact(name: str) -> bool:
    """Whether a read is a fact, not the path of a file or folder."""
    aspect, colon, _ = name.partition(":")
    return bool(colon) and aspect in _ASPECTS


def escaped(path: str) -> str:
    """A path in the project that is not taken for a fact."""
    return f".{os.sep}{path}" if is_fact(path) else path


def path_in(name: str) -> str | None:
    """The path that a read is about; None for a variable."""
    if not is_fact(name):
        return name
    aspect, _, path = name.partition(":")
    return None if aspect in (ENVIRONMENT, _UNSET) else path


def fact_now(name: str, project: str, variables: Mapping[str, str] = os.environ) -> str:
    """What a fact is now."""
    aspect, _, rest = name.partition(":")
    if aspect == _UNSET:
        return _first_set(rest, frozenset(variables))
    return variable_now(rest, variables) if aspect == ENVIRONMENT else aspect_now(aspect, os.path.join(project, rest))


def variable_now(name: str, variables: Mapping[str, str]) -> str:
    """What a variable counts as: by the sha256 of its value, a secret by being set. `*` are all that count."""
    if name != EVERY_VARIABLE:
        return variable_part(name, variables.get(name))[1]
    parts = sorted(variable_part(each, value) for each, value in variables.items() if is_counted(each))
    return sha256("".join(f"{each}={value}\0" for each, value in parts).encode(errors="surrogateescape")).hexdigest()


def unset_fact(names: Iterable[str]) -> dict[str, str]:
    """That none of these variables is set, as one fact."""
    return {f"{_UNSET}:{''.join(sorted(map(_code_of, names)))}": UNSET}


@lru_cache(maxsize=1024)
def _first_set(codes: str, variables: frozenset[str]) -> str:
    """The first of these variables that the codes stand for; UNSET where there is none."""
    known = {codes[place : place + _CODE_CHARS] for place in range(0, len(codes), _CODE_CHARS)}
    return next((name for name in sorted(variables) if is_counted(name) and _code_of(name) in known), UNSET)


@lru_cache(maxsize=4096)
def _code_of(name: str) -> str:
    """Sixteen million codes: that a variable is taken for another costs a run."""
    return base64.urlsafe_b64encode(blake2b(os.fsencode(name), digest_size=3).digest()).decode()


def zone_of(variables: Mapping[str, str]) -> dict[str, str]:
    """What counts for everything, since the C library reads it unheard: the time zone, where one is set."""
    return {_ZONE: variable_now("TZ", variables)} if "TZ" in variables else {}


def same_zone(reads: Mapping[str, str], now: Callable[[str], str]) -> bool:
    """Whether reads that do not name the time zone were made where none was set, as now."""
    return _ZONE in reads or now(_ZONE) in (UNSET, MISSING)


def changed_reads(reads: Mapping[str, str], now: Callable[[str], str]) -> tuple[str, ...]:
    """The names of what is not as it was read, by what each of them is `now`."""
    changed = sorted(name for name, was in reads.items() if now(name) != was)
    return tuple(changed) if same_zone(reads, now) else (*changed, _ZONE)


def aspect_now(aspect: str, path: str, look: Callable[[str], os.stat_result] = os.stat) -> str:
    """What an aspect of a file or folder is; MISSING where there is none."""
    try:
        if aspect == LINK:
            return os.fsencode(os.readlink(path)).decode(errors="backslashreplace")
        status = look(path)
    except (OSError, ValueError):
        return MISSING
    if aspect == MTIME:
        return str(status.st_mtime_ns)
    if stat.S_ISREG(status.st_mode):
        return "file" if aspect == KIND else str(status.st_size)
    return "folder" if stat.S_ISDIR(status.st_mode) else "other"


def _digest_of_names(path: str) -> str:
    """Names of folders end with a slash: one that was a file is not the same name any more."""
    from blake3 import blake3

    with os.scandir(path) as entries:
        names = [
            f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries if entry.name not in _NOT_LISTED
        ]
    text = "".join(f"{name}\0" for name in sorted(names))
    return f"names:{blake3(os.fsencode(text)).hexdigest()}"
