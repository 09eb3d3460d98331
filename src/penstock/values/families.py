"""Which family of types writes a value and which reads a form. Found by the names of classes: no package is imported
to find out that a value does not belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from penstock.values import custom, data
from penstock.values.names import class_name
from penstock.values.refusals import ValueRefused, ValueUnreadable


class Family(Protocol):
    """A module that writes and reads the values of related types."""

    def form_of(self, value: Any) -> str | None:
        """The form in which this family writes the value; None: not one of ours. Raises ValueRefused with advice
        where it is one of ours and cannot be written."""
        ...

    def write(self, value: Any, path: Path, form: str) -> Mapping[str, Any]:
        """Write the value as a file or folder at `path`, which does not exist yet; answers small metadata for
        people."""
        ...

    def read(self, path: Path, form: str, type_name: str) -> Any:
        """The value from the store's own read-only file or folder; the answer may map its memory."""
        ...


_FAMILY_BY_PACKAGE = {
    "polars": "tables",
    "pandas": "tables",
    "pyarrow": "tables",
    "numpy": "arrays",
    "scipy": "arrays",
    "torch": "tensors",
    "lightgbm": "boosters",
    "xgboost": "boosters",
    "catboost": "boosters",
    "sklearn": "estimators",
}
_FAMILY_BY_FORM = {
    "arrow": "tables",
    "npy": "arrays",
    "sparse": "arrays",
    "torch-state": "tensors",
    "torch-module": "tensors",
    "joblib": "estimators",
    "skops": "estimators",
    "lightgbm": "boosters",
    "xgboost": "boosters",
    "catboost": "boosters",
    "pickle": "pickles",
    "data": "data",
    "file": "files",
    "tree": "files",
}


def _family(name: str) -> Family:
    return cast(Family, import_module(f"penstock.values.{name}"))


def family_of(value: Any) -> tuple[Family, str]:
    """The family that writes a value and the form it writes. Raises ValueRefused for a value of no known type."""
    cls = type(value)
    own = custom.form_of(value)
    if own is not None:
        return cast(Family, custom), own
    seen: set[str] = set()
    for base in cls.__mro__:
        name = _FAMILY_BY_PACKAGE.get(base.__module__.partition(".")[0])
        if name and name not in seen:
            seen.add(name)
            form = _family(name).form_of(value)
            if form is not None:
                return _family(name), form
    for name in ("files", "tensors", "data"):
        form = _family(name).form_of(value)
        if form is not None:
            return _family(name), form
    raise ValueRefused(f"a value of type {class_name(cls)} cannot be stored: the type is not known", fix=advice(cls))


def family_by_form(form: str) -> Family:
    """The family that reads a form. Raises ValueUnreadable for an unknown one."""
    if custom.is_custom(form):
        return cast(Family, custom)
    name = _FAMILY_BY_FORM.get(form)
    if name is None:
        raise ValueUnreadable(f"the form {form!r} is not known", fix="It was written by a newer Penstock: upgrade.")
    return _family(name)


def advice(cls: type) -> str:
    """What to do about a type that is not known."""
    kind = getattr(cls, "__name__", str(cls))
    if kind in ("generator", "map", "filter", "zip", "dict_keys", "dict_values", "range"):
        return "Return a list: list(...)."
    if kind == "coroutine":
        return "A task is a plain function: return asyncio.run(...) instead of declaring it async."
    plain = next((base for base in cls.__mro__[1:-1] if data.is_known(base)), None)
    if plain is not None:
        return f"Convert it to a plain {plain.__qualname__}."
    if kind in ("function", "builtin_function_or_method", "type", "module", "method"):
        return "Return data; code is found by importing it."
    return (
        f'Return data of a known type, annotate it Annotated[{kind}, Form("pickle")], write it to a file and return the '
        "pathlib.Path, give the class the methods "
        "__penstock_write__(folder) and __penstock_read__(folder), or call "
        f"penstock.values.register({kind}, write=..., read=...)."
    )
