"""What can be set, and where it was set: one frozen `Settings` value made from `[tool.penstock]` in the project's
pyproject.toml, its penstock.toml, `PENSTOCK_…` environment variables and options, each overruling the one before.

Knows names, forms and defaults (`TABLE`); not what a setting does. `docs/settings.md` documents every one of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.base.errors import InvalidInput
from penstock.base.instants import duration_ms
from penstock.base.ownership import is_below, why_foreign
from penstock.base.sizes import size_bytes

STATE_FOLDER = ".penstock"
PYPROJECT = "pyproject.toml"
MARKERS = (PYPROJECT, "penstock.toml")
"""A folder with one of these is a project. Both may hold settings; the later one overrules."""
ENVIRONMENT_PREFIX = "PENSTOCK_"
# Environment variables of ours that are no settings: the test suites' own, and the mark that every process below an
# executor carries.
FOREIGN_PREFIXES = ("PENSTOCK_TEST_", "PENSTOCK_INCARNATION")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, in its final form. `project` is the folder that targets are resolved in, `state` the
    folder that holds the database, artifacts and logs; both absolute. `cpu` counts cores; it and `memory_bytes` are
    None where all that the machine has may be used. `resources` are amounts of named resources."""

    project: Path
    state: Path
    cpu: float | None = None
    memory_bytes: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    gpus: str = "auto"
    grace_ms: int = 10_000
    lease_ms: int = 30_000
    runs_kept: int = 100
    parameter_bytes_max: int = 65_536
    items_max: int = 100_000
    yaml_bytes_max: int = 16_777_216
    yaml_parts_max: int = 2_000_000
    trusted: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    """Lines that name the project files which are not read, because another user may have written them."""


def _amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"not a number: {value!r}")
    try:
        amount = float(value)
    except ValueError:
        raise ValueError(f"not a number: {value!r}") from None
    if not 0 < amount < 1e9:
        raise ValueError(f"not an amount above 0: {value!r}")
    return amount


def _count(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"not a whole number: {value!r}") from None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 10**9:
        raise ValueError(f"not a whole number of at least 0: {value!r}")
    return number


def _size(value: Any) -> int:
    return size_bytes(int(value) if isinstance(value, str) and value.isdigit() else value)


def _length(value: Any) -> int:
    """Whole milliseconds: a number of them, or text with a unit (`"10s"`)."""
    if isinstance(value, str) and not value.strip().isdigit():
        return duration_ms(value)
    try:
        length = int(value)
    except (TypeError, ValueError):
        raise ValueError(f"not a length of time: {value!r}") from None
    if isinstance(value, (bool, float)) or length < 0:
        raise ValueError(f'not a length of time: {value!r} (write milliseconds as a number, or text such as "10s")')
    return length


def _limit(minimum: int, maximum: int, read: Callable[[Any], int]) -> Callable[[Any], int]:
    def checked(value: Any) -> int:
        limit = read(value)
        if not minimum <= limit <= maximum:
            raise ValueError(f"{limit:,} is not between {minimum:,} and {maximum:,}")
        return limit

    return checked


def _whole(value: Any) -> int:
    if isinstance(value, (bool, float)) or not str(value).isdigit():
        raise ValueError(f"not a whole number: {value!r}")
    return int(value)


def _amounts(value: Any) -> Mapping[str, float]:
    """`{name: amount}`: a table in TOML, `name=2,other=1` in an environment variable."""
    if isinstance(value, str):
        pairs = [item.partition("=") for item in value.split(",") if item.strip()]
        value = {name.strip(): amount.strip() for name, equals, amount in pairs if equals} if pairs else {}
        if len(value) != len(pairs):
            raise ValueError("not amounts by name (write name=2,other=1)")
    if not isinstance(value, Mapping):
        raise ValueError(f"not a table of amounts by name: {value!r}")
    return {str(name): _amount(amount) for name, amount in sorted(value.items())}


def _gpus(value: Any) -> str:
    """`auto`, `off`, or indexes and UUIDs with commas between them."""
    names = value if isinstance(value, (list, tuple)) else str(value).split(",")
    texts = [str(name).strip() for name in names]
    if isinstance(value, (bool, float)) or not texts or not all(texts):
        raise ValueError(f"not GPUs: {value!r}")
    return ",".join(texts)


def _folder(value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError(f"not a folder: {value!r}")
    return Path(value).expanduser()


def _folders(value: Any) -> tuple[Path, ...]:
    texts = value.split(os.pathsep) if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, (str, Path)) for text in texts):
        raise ValueError(f"not folders: {value!r}")
    folders = tuple(Path(text).expanduser() for text in texts if str(text))
    if not all(folder.is_absolute() for folder in folders):
        raise ValueError(f"not absolute: {value!r}")
    return folders


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table: how a value is read, and what it means, for messages and for the page in docs."""

    read: Callable[[Any], Any]
    form: str
    meaning: str


TABLE: Mapping[str, Setting] = {
    "state": Setting(_folder, "a folder", "where the database, artifacts and logs are kept"),
    "cpu": Setting(_amount, "a number of cores", "how many cores the tasks on this machine may take together"),
    "memory_bytes": Setting(_size, 'bytes, or text such as "8GiB"', "how much memory they may take together"),
    "resources": Setting(_amounts, "amounts by name", "named resources that tasks may ask for"),
    "gpus": Setting(_gpus, '"auto", "off", or indexes and UUIDs', "which GPUs the tasks on this machine may be given"),
    "grace_ms": Setting(
        _length, 'milliseconds, or text such as "10s"', "what a task that is stopped has to end by itself"
    ),
    "runs_kept": Setting(_count, "a whole number", "how many of the newest runs of each pipeline `gc` keeps"),
    "lease_ms": Setting(
        _length, 'milliseconds, or text such as "30s"', "after how long a silent controller on another host is given up"
    ),
    "parameter_bytes_max": Setting(
        _limit(65_536, 16 << 20, _size), 'bytes, or text such as "1MiB"', "the largest parameter, as JSON"
    ),
    "items_max": Setting(_limit(100_000, 10_000_000, _whole), "a whole number", "the longest list that is mapped over"),
    "yaml_bytes_max": Setting(
        _limit(65_536, 1 << 30, _size), 'bytes, or text such as "32MiB"', "the largest pipeline file that is read"
    ),
    "yaml_parts_max": Setting(
        _limit(10_000, 100_000_000, _whole),
        "a whole number",
        "what a pipeline file may come to with its anchors written out",
    ),
    "trusted": Setting(
        _folders,
        f"absolute folders with {os.pathsep} between them",
        "folders whose projects and state are used, whoever may write to them",
    ),
}
ENVIRONMENT_ONLY = frozenset({"trusted"})
"""A project cannot say that it is to be trusted."""


def trusted_folders(environment: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """The folders that the environment names as trusted; none where it names them wrongly, which `load` raises."""
    try:
        return _folders(environment.get(f"{ENVIRONMENT_PREFIX}TRUSTED", ""))
    except ValueError:
        return ()


@dataclass(frozen=True, slots=True)
class Project:
    """A project's folder, and which of its `MARKERS` are read. `warnings` are lines that name those that are not."""

    folder: Path
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def find_project(start: Path, *, trusted: tuple[Path, ...] = ()) -> Project:
    """The nearest folder at or above `start` that has one of `MARKERS`; else the nearest such at or above the current
    folder; else the current folder. A marker counts only if no other user can have written it or anything next to it,
    unless it is below a trusted folder."""
    here = Path.cwd()
    start = start.resolve()
    warnings: list[str] = []
    for folder in dict.fromkeys((start, *start.parents, here, *here.parents)):
        files: list[Path] = []
        for file in (folder / name for name in MARKERS):
            if not os.path.isfile(file):
                continue
            why = "" if is_below(folder, trusted) else _why_foreign_project(file)
            if why:
                warnings.append(f"{file} is passed over: {why}")
            else:
                files.append(file)
        if files:
            return Project(folder, tuple(files), tuple(warnings))
    why = "" if is_below(here, trusted) else why_foreign(here)
    if why:
        warnings.append(f"{here} is not a safe place for a project, since modules are imported from it: {why}")
    return Project(here, (), tuple(warnings))


def _why_foreign_project(file: Path) -> str:
    why = why_foreign(file)
    folder = why_foreign(file.parent)
    return why or (f"of its folder, {folder}" if folder else "")


def load(
    start: Path, *, environment: Mapping[str, str] = os.environ, options: Mapping[str, Any] | None = None
) -> Settings:
    """The settings for the project that the folder `start` lies in.

    Raises InvalidInput naming every unknown key, with the nearest known names, and every value of the wrong form.
    """
    wrong: list[str] = []
    given: dict[str, Any] = {}

    def take(place: str, values: Mapping[str, Any], *, is_file: bool = False) -> None:
        for key, value in values.items():
            try:
                if is_file and key in ENVIRONMENT_ONLY:
                    raise ValueError(f"only {ENVIRONMENT_PREFIX}{key.upper()} in the environment can set it")
                given[key] = _read(key, value)
            except ValueError as error:
                shown = ENVIRONMENT_PREFIX + key.upper() if place == "the environment" else key
                wrong.append(f"{shown} in {place}: {error}")

    project = find_project(start, trusted=trusted_folders(environment))
    for file in project.files:
        take(str(file), _from_file(file), is_file=True)
    take("the environment", _from_environment(environment))
    take("the options", options or {})
    if wrong:
        raise InvalidInput("\n".join(wrong), fix="docs/settings.md lists every setting and its form.")
    state = Path(os.path.normpath(project.folder / given.pop("state", Path(STATE_FOLDER))))
    return Settings(project=project.folder, state=state, warnings=project.warnings, **given)


def _read(key: str, value: Any) -> Any:
    if key not in TABLE:
        from difflib import get_close_matches

        near = get_close_matches(key, TABLE, n=2)
        raise ValueError(f"no such setting; did you mean {' or '.join(near)}?" if near else "no such setting")
    try:
        return TABLE[key].read(value)
    except ValueError as error:
        raise ValueError(f"{error}; it takes {TABLE[key].form}") from None


def _from_file(file: Path) -> dict[str, Any]:
    """What a file of `MARKERS` sets: all of a penstock.toml, one table of a pyproject.toml."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", fix="Make it readable for this user.") from None
    is_shared = file.name == PYPROJECT
    if is_shared and b"penstock" not in content:
        return {}
    import tomllib

    what = "`[tool.penstock]` is" if is_shared else "The settings are"
    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{file} is not TOML: {error}", fix=f"Fix the file; {what} read from it.") from None
    if is_shared:
        table = table.get("tool", {}).get("penstock", {})
    if not isinstance(table, dict):
        raise InvalidInput(f"{file}: tool.penstock is not a table", fix="Write its settings below [tool.penstock].")
    return table


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX) and not name.startswith(FOREIGN_PREFIXES)
    }
