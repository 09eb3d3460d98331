"""Between Python values and datums: what a task returns is checked against its declared type and stored, what it is
given is read. A declared type is JSON as `graph.codec.type_to_json` writes it."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput, PenstockError, StoreUnavailable
from penstock.base.limits import LIMITS
from penstock.values import data, parameters
from penstock.values.custom import is_custom
from penstock.values.families import Family, family_by_form, family_of
from penstock.values.named import metadata_with, names_in_data, names_of
from penstock.values.names import class_name, is_of
from penstock.values.origins import Beginning
from penstock.values.refusals import ContentLost, ValueRefused
from penstock.values.seen import Seen, announce_reading, look_at
from penstock.values.store import ArtifactStore
from penstock.wire import Artifact, Counted, Datum, Inline, Struct

DeclaredType = Mapping[str, Any]
SEEN = "seen"
ANYTHING: DeclaredType = {"name": "any"}
_LARGE = frozenset({"struct", "json", "list", "str"})
"""Parameter types whose values may be too large to travel inline."""
LIST: DeclaredType = {"name": "list"}
_SCALARS = {"bool": bool, "int": int, "float": float, "str": str}
_DISK_TROUBLE = frozenset({errno.ENOSPC, errno.EROFS, errno.EDQUOT})
_DISK_TROUBLE_TEXTS = ("No space left on device", "Read-only file system", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class NamedCode:
    """The code digest of the author's own code that a stored value names, and its names (cache rule 10)."""

    digest: str | None
    names: tuple[str, ...] = ()


NO_CODE = NamedCode(None)
CodeOf = Callable[[list[str]], NamedCode]


class Staging:
    """New paths in a folder that exists only when it is used: `name` below `parent`. Values are written there before
    they are sealed in the store, and inputs that are files are put there for the task to own; `clear` removes it
    all."""

    __slots__ = ("_beginning", "_code_of", "_count", "_name", "_parent")

    def __init__(
        self, parent: Path, name: str, *, code_of: CodeOf | None = None, beginning: Beginning | None = None
    ) -> None:
        self._parent = parent
        self._name = name
        self._count = 0
        self._code_of = code_of
        self._beginning = beginning

    def fresh(self) -> Path:
        """A path that does not exist, its parent existing."""
        folder = self._parent / self._name
        if not self._count:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._count += 1
        return folder / f"staged-{self._count}"

    def owns(self, path: Path) -> bool:
        return self._count > 0 and path.is_relative_to((self._parent / self._name).resolve())

    def check_origin(self, path: Path, given: Path) -> None:
        """Raises ValueRefused for a file or folder outside of this one that somebody has changed since the attempt began.
        Asked before and after it is read, so that nothing changes in between."""
        if self._beginning is not None and not self.owns(path):
            self._beginning.check(path, given)

    @property
    def seen(self) -> Seen:
        """What is known of paths elsewhere, kept beside the staging folders."""
        return Seen(self._parent / SEEN)

    @property
    def tells_code(self) -> bool:
        return self._code_of is not None

    def code_of(self, names: list[str]) -> NamedCode:
        """What the classes and functions called so count as."""
        return self._code_of(names) if self._code_of is not None and names else NO_CODE

    def clear(self) -> None:
        if self._count:
            shutil.rmtree(self._parent / self._name, ignore_errors=True)
            self._count = 0


# -- storing -----------------------------------------------------------------------------------------------------------


def to_datum(
    value: Any, declared: DeclaredType, *, artifacts: ArtifactStore, staging: Staging, movable: bool = False
) -> Datum:
    """Check a value against its declared type and store it. `movable`: a file that lies in the staging folder may be
    moved into the store rather than copied. Raises ValueRefused where the value is not what was declared or cannot be
    stored, StoreUnavailable where the disk cannot take it."""
    name = declared["name"]
    if value is None and (name in ("null", "any", "json") or declared.get("optional")):
        return Inline(None)
    if name in _SCALARS:
        return _inline(_scalar(value, declared), artifacts, staging)
    if name == "any" and "form" not in declared:
        return _undeclared(value, artifacts, staging, movable)
    if name == "list" and declared.get("item"):
        if not isinstance(value, (list, tuple)):
            raise _mismatch(value, declared)
        return _counted(value, declared, artifacts, staging)
    if name == "dict":
        if not isinstance(value, Mapping):
            raise _mismatch(value, declared)
        return _struct(value, declared, artifacts, staging)
    if name in ("struct", "json", "list", "enum", "null"):
        plain = _parameter(value, declared)
        if name == "list" and not parameters.is_small(plain):
            return _counted(plain, LIST, artifacts, staging)  # a map may be over it
        return _inline(plain, artifacts, staging)
    if name == "path":
        if not isinstance(value, Path):
            raise _mismatch(value, declared, fix="Return pathlib.Path(...).")
    elif name != "any" and not is_of(type(value), name):
        raise _mismatch(value, declared)
    return _artifact(value, artifacts, staging, movable=movable, form=declared.get("form", ""))


def _inline(plain: Any, artifacts: ArtifactStore, staging: Staging) -> Datum:
    """A parameter; one that is too large to travel inline is an artifact, which conditions cannot read (semantics 3)."""
    return Inline(plain) if parameters.is_small(plain) else to_artifact(plain, artifacts=artifacts, staging=staging)


def parameter_of(value: Any, declared: DeclaredType) -> Any:
    """The JSON data of a value that is declared as a parameter, however large. Raises ValueRefused."""
    return _scalar(value, declared) if declared["name"] in _SCALARS else _parameter(value, declared)


def _mismatch(value: Any, declared: DeclaredType, *, fix: str = "") -> ValueRefused:
    got = "None" if value is None else class_name(type(value)).removeprefix("builtins:")
    return ValueRefused(f"expected {type_text(declared)}, got {got}", fix=fix)


def type_text(declared: DeclaredType) -> str:
    """A declared type as a person reads it."""
    text = str(declared["name"])
    if text in ("list", "dict") and declared.get("item"):
        text = f"{text}[{type_text(declared['item'])}]"
    if text == "enum":
        text = f"one of {', '.join(map(repr, declared.get('options', ())))}"
    return f"{text} or None" if declared.get("optional") else text


def _scalar(value: Any, declared: DeclaredType) -> Any:
    name = declared["name"]
    cls = _SCALARS[name]
    if type(value) is not cls:
        plain = parameters.number(value)
        if name == "float" and isinstance(plain, int):
            try:
                plain = parameters.to_float(plain)
            except OverflowError:
                raise ValueRefused("the whole number is too large for a float") from None
        elif name == "int" and isinstance(plain, bool):
            plain = int(plain)
        if type(plain) is not cls:
            raise _mismatch(value, declared)
        value = plain
    return value


def _parameter(value: Any, declared: DeclaredType) -> Any:
    name = declared["name"]
    if name == "enum":
        options = declared.get("options", ())
        option = parameters.option_of(value) or (str.__str__(value) if isinstance(value, str) else None)
        if option in options:
            return option
        if option is not None:
            raise ValueRefused(f"expected {type_text(declared)}, got {option!r}")
        raise _mismatch(value, declared)
    fits = {"struct": isinstance(value, Mapping), "list": isinstance(value, (list, tuple)), "json": True}
    if not fits.get(name):
        raise _mismatch(value, declared)
    return parameters.plain(value)


def _undeclared(value: Any, artifacts: ArtifactStore, staging: Staging, movable: bool) -> Datum:
    """A value without a declared type: JSON data travels inline while it is small, a list of anything else is
    counted."""
    scalar = parameters.number(value) if not isinstance(value, (list, dict)) and _is_numpy(value) else None
    if scalar is not None:
        value = scalar
    if parameters.is_exact(value):
        if parameters.is_small(value):
            return Inline(parameters.plain(value))
    elif type(value) is list:
        return _counted(value, LIST, artifacts, staging)
    return _artifact(value, artifacts, staging, movable=movable)


def _is_numpy(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "numpy"


def _counted(value: Sequence[Any], declared: DeclaredType, artifacts: ArtifactStore, staging: Staging) -> Counted:
    if len(value) > LIMITS.items_max:
        raise ValueRefused(
            f"the list has {len(value):,} items, more than {LIMITS.items_max:,} (items_max)",
            fix="Raise the setting items_max, or return a table or an array.",
        )
    types = [part for _, part in declared.get("parts", ())]
    if types and len(types) != len(value):
        raise ValueRefused(
            f"expected a tuple of {len(types)}, got {len(value)} values",
            fix=f"Return {len(types)} values, or change the annotation.",
        )
    datums = []
    for index, element in enumerate(value):
        item = types[index] if types else declared.get("item") or ANYTHING
        try:
            datums.append(to_datum(element, item, artifacts=artifacts, staging=staging))
        except ValueRefused as refused:
            raise ValueRefused(f"item {index}: {refused.message}", fix=refused.fix) from refused
    return Counted(tuple(datums))


def _struct(value: Mapping[Any, Any], declared: DeclaredType, artifacts: ArtifactStore, staging: Staging) -> Struct:
    datums = {}
    for name, element in value.items():
        if type(name) is not str:
            raise ValueRefused(f"the dict has the key {name!r}, which is not text", fix="Use text as keys.")
        try:
            datums[name] = to_datum(element, part_of(declared, name), artifacts=artifacts, staging=staging)
        except ValueRefused as refused:
            raise ValueRefused(f"key {name!r}: {refused.message}", fix=refused.fix) from refused
    return Struct(datums)


def to_artifact(value: Any, *, artifacts: ArtifactStore, staging: Staging) -> Artifact:
    """Store a value as an artifact, however small it is. Raises what `to_datum` raises."""
    return _artifact(value, artifacts, staging, movable=False)


def _artifact(value: Any, artifacts: ArtifactStore, staging: Staging, *, movable: bool, form: str = "") -> Artifact:
    """`form` is the one that the author asks for, empty for the usual one of the type."""
    family, form = (family_by_form(form), form) if form else family_of(value)
    if form in ("file", "tree"):
        path = Path(value).resolve()
        with _Writing(value):
            _check_origin(value, form, staging)
            digest, size = _store_path(path, artifacts, staging, movable=movable)
            _check_origin(value, form, staging)
        return Artifact(digest, "path", form, size, {"name": path.name})
    type_name = class_name(type(value))
    if form == "data":
        digest, size, code = _store_data(value, artifacts, staging)
        return Artifact(digest, type_name, form, size, metadata_with({}, code.names), code.digest)
    path = staging.fresh()
    with _Writing(value, ours=not is_custom(form)):
        metadata = family.write(value, path, form)
        digest, size = artifacts.put_path(path, move=True)
        code = staging.code_of(names_of(value, form)) if staging.tells_code else NO_CODE
    return Artifact(digest, type_name, form, size, metadata_with(metadata, code.names), code.digest)


def _store_path(path: Path, artifacts: ArtifactStore, staging: Staging, *, movable: bool) -> tuple[str, int]:
    """What lies outside of the staging folder and has not changed since it was stored is not read again."""
    if staging.owns(path):
        return artifacts.put_path(path, move=movable)
    seen, look = staging.seen, look_at(path)
    known = seen.content_of(path, look) if look is not None else None
    if known is not None and artifacts.keep(known[0]):
        announce_reading(path)
        return known
    digest, size = artifacts.put_path(path)
    if look is not None:
        seen.remember(path, look, digest, size)
    return digest, size


def _store_data(value: Any, artifacts: ArtifactStore, staging: Staging) -> tuple[str, int, NamedCode]:
    parts: list[tuple[Any, Family, str]] = []

    def part(inner: Any) -> Mapping[str, Any]:
        family, form = family_of(inner)
        if form == "data":
            raise ValueRefused(f"a value of type {class_name(type(inner))} cannot be stored")
        parts.append((inner, family, form))
        type_name = "path" if form in ("file", "tree") else class_name(type(inner))
        return {"at": f"part-{len(parts) - 1}", "form": form, "type": type_name, "name": _file_name(inner, form)}

    encoded = data.encode(value, part)
    content, code = data.to_bytes(encoded), NO_CODE
    with _Writing(value):
        if staging.tells_code:
            inner_names = (name for inner, _, form in parts for name in names_of(inner, form))
            code = staging.code_of([*dict.fromkeys((*names_in_data(encoded), *inner_names))])
        if not parts:
            return artifacts.put_bytes(content), len(content), code
    folder = staging.fresh()
    for index, (inner, family, form) in enumerate(parts):
        with _Writing(inner, ours=not is_custom(form)):
            folder.mkdir(exist_ok=True)
            _check_origin(inner, form, staging)
            family.write(inner, folder / f"part-{index}", form)
            _check_origin(inner, form, staging)
    with _Writing(value):
        (folder / data.FOLDER_VALUE).write_bytes(content)
        return *artifacts.put_path(folder, move=True), code


def _check_origin(value: Any, form: str, staging: Staging) -> None:
    if form in ("file", "tree"):
        staging.check_origin(Path(value).resolve(), Path(value))


def _file_name(value: Any, form: str) -> str:
    return Path(value).resolve().name if form in ("file", "tree") else ""


class _Writing:
    """What goes wrong while a value is written: a full or read-only disk is StoreUnavailable, anything else that a
    library of others raises is a value that cannot be stored. `ours` False: the writer is the user's, and what it
    raises is theirs."""

    __slots__ = ("_ours", "_value")

    def __init__(self, value: Any, *, ours: bool = True) -> None:
        self._value, self._ours = value, ours

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, InvalidInput):  # the store's word for what is neither a file nor a folder
            raise ValueRefused(error.message, fix=error.fix) from error
        if error is None or not isinstance(error, Exception) or isinstance(error, (PenstockError, MemoryError)):
            return
        number = getattr(error, "errno", None)
        if number in _DISK_TROUBLE or any(text in str(error) for text in _DISK_TROUBLE_TEXTS):
            raise StoreUnavailable(
                f"an output could not be written: {error}",
                fix="Free disk space or make the folder writable; then retry.",
            ) from error
        if self._ours:
            name = class_name(type(self._value))
            raise ValueRefused(
                f"a value of type {name} could not be written: {type(error).__name__}: {error}"
            ) from error


# -- reading -----------------------------------------------------------------------------------------------------------


def from_datum(datum: Datum, declared: DeclaredType, *, artifacts: ArtifactStore, staging: Staging) -> Any:
    """The Python value of a datum, as its declared type wants it: whole numbers as floats where a float was declared,
    files and folders as a copy of the caller's own in the staging folder. Raises ContentLost where the store has the
    content no longer, ValueUnreadable where it cannot be made into a value."""
    if isinstance(datum, Inline):
        return _from_inline(datum.value, declared)
    if isinstance(datum, Counted):
        item = declared.get("item") or ANYTHING
        return [from_datum(each, item, artifacts=artifacts, staging=staging) for each in datum.items]
    if isinstance(datum, Struct):
        return {
            name: from_datum(field, part_of(declared, name), artifacts=artifacts, staging=staging)
            for name, field in datum.fields.items()
        }
    try:
        if datum.form in ("file", "tree"):
            destination = _own_place(staging, datum.metadata.get("name", ""))
            artifacts.materialize(datum.digest, destination)
            return destination
        path = artifacts.path(datum.digest)
    except (ArtifactMissing, ArtifactCorrupt) as error:
        raise ContentLost(datum.digest, error.message) from error
    value = read_stored(path, form=datum.form, type_name=datum.type, fresh=staging.fresh)
    return _from_inline(value, declared) if declared["name"] in _LARGE else value


def part_of(declared: DeclaredType, name: str) -> DeclaredType:
    """The declared type of a field."""
    for known, part in declared.get("parts", ()):
        if known == name:
            return part  # type: ignore[no-any-return]
    return declared.get("item") or ANYTHING


def _from_inline(value: Any, declared: DeclaredType) -> Any:
    cls = type(value)
    name = declared["name"]
    if cls is int:
        return float(value) if name == "float" else value
    if cls is str:
        return Path(value) if name == "path" else value
    if cls is list:
        item = declared.get("item") or ANYTHING
        return [_from_inline(each, item) for each in value]  # a copy: what a task changes in place stays its own
    if cls is dict:
        return {key: _from_inline(each, part_of(declared, key)) for key, each in value.items()}
    return value


def _own_place(staging: Staging, name: str) -> Path:
    folder = staging.fresh()
    folder.mkdir()
    return folder / (name if name not in ("", ".", "..") and "/" not in name else "content")


def read_stored(path: Path, *, form: str, type_name: str, fresh: Callable[[], Path]) -> Any:
    """A value from a read-only file or folder of the store. `fresh` gives places for copies of files inside it."""

    def part(described: Mapping[str, Any]) -> Any:
        inner = path / described["at"]
        if described["form"] not in ("file", "tree"):
            return read_stored(inner, form=described["form"], type_name=described["type"], fresh=fresh)
        folder = fresh()
        folder.mkdir()
        destination = folder / (described["name"] or "content")
        copy_writable(inner, destination)
        return destination

    if form == "data":
        return data.read(path, part)
    return family_by_form(form).read(path, form, type_name)


def copy_writable(source: Path, destination: Path) -> None:
    """A copy of a file or folder that its owner may write to, whatever the modes of the source."""
    if not source.is_dir():
        shutil.copyfile(source, destination)
        return
    destination.mkdir()
    for child in source.iterdir():
        copy_writable(child, destination / child.name)
