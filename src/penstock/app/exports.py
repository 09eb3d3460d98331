"""An output as a file of the user's own, in the format that the suffix asks for: converted, or refused with what there is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.base.errors import InvalidInput, StoreUnavailable
from penstock.wire import Artifact, Counted, Datum, Inline, Struct, file_of, parameter_to_json

if TYPE_CHECKING:
    from penstock.values.store import ArtifactStore

# Suffixes that ask for nothing but what is stored, by the form that it is stored in, and what that is called.
_STORED = {
    "arrow": ((".arrow", ".feather"), "Arrow"),
    "npy": ((".npy",), "NumPy array"),
    "joblib": ((".joblib",), "joblib"),
    "skops": ((".skops",), "skops"),
    "pickle": ((".pkl", ".pickle"), "pickle"),
    "data": ((".json",), "JSON"),
}
_CONVERTED = (".csv", ".parquet", ".json", ".joblib")


@dataclass(frozen=True, slots=True)
class Exports:
    """Writes data. `load` makes a value of a datum."""

    artifacts: ArtifactStore
    load: Callable[[Datum], Any]

    def write(self, datum: Datum, to: Path) -> str:
        """Write it to a place where nothing is yet; answers the format. Without a suffix it is written as it is stored: a
        parameter as JSON, an artifact as its file or folder, a list of artifacts as a folder of numbered ones, a
        struct as a folder of named ones. Raises InvalidInput for what the suffix asks for and cannot be had."""
        if to.exists():
            raise InvalidInput(f"{to} exists already", fix="Name another place, or remove it first.")
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            return self._written(datum, to, to.suffix.lower())
        except OSError as error:
            raise StoreUnavailable(f"{to} cannot be written: {error.strerror or error}") from None

    def _written(self, datum: Datum, to: Path, suffix: str) -> str:
        if isinstance(datum, Artifact):
            if _as_stored(datum, suffix, to):
                self.artifacts.materialize(datum.digest, to)
                return _name_of(datum)
        elif isinstance(datum, Counted) and not suffix and any(not isinstance(item, Inline) for item in datum.items):
            width = len(str(max(len(datum.items) - 1, 0)))
            return self._folder({f"{index:0{width}d}": item for index, item in enumerate(datum.items)}, to)
        elif isinstance(datum, Struct) and not suffix:
            return self._folder({file_of(name): field for name, field in datum.fields.items()}, to)
        elif suffix in ("", ".json") and (plain := _plain(datum)) is not None:
            to.write_text(plain + "\n", encoding="utf-8")
            return "JSON"
        if suffix not in _CONVERTED:
            raise _refused(datum, to)
        try:
            value = self.load(datum)
            converted = _converted(value, to, suffix)
        except ImportError as error:
            raise InvalidInput(
                f"{to} cannot be written as {suffix}: {error}", fix=f"Install it here, or give {_usual(datum)}."
            ) from None
        if not converted:
            raise _refused(datum, to)
        return {".csv": "CSV", ".parquet": "Parquet", ".json": "JSON", ".joblib": "joblib"}[suffix]

    def _folder(self, datum_by_name: Mapping[str, Datum], to: Path) -> str:
        to.mkdir()
        formats = {self._written(datum, to / name, "") for name, datum in datum_by_name.items()}
        return f"a folder of {len(datum_by_name):,}: {', '.join(sorted(formats))}"


def _as_stored(artifact: Artifact, suffix: str, to: Path) -> bool:
    if artifact.form == "file":
        # Its content is the author's: another name is theirs to give, but nothing gets that of a format which it is not in.
        own = Path(str(artifact.metadata.get("name", ""))).suffix.lower()
        if suffix in _CONVERTED and own and suffix != own:
            raise _refused(artifact, to)
        return True
    if artifact.form == "tree" and suffix in _CONVERTED:
        raise _refused(artifact, to)
    return not suffix or artifact.form == "tree" or suffix in _STORED.get(artifact.form, ((), ""))[0]


def _name_of(artifact: Artifact) -> str:
    if artifact.form in ("file", "tree"):
        return "the file as it is" if artifact.form == "file" else "the folder as it is"
    return _STORED[artifact.form][1] if artifact.form in _STORED else f"{artifact.form}, as it is stored"


def _plain(datum: Datum) -> str | None:
    """A parameter, or a list of parameters, as JSON; None for anything else."""
    if isinstance(datum, Inline):
        return json.dumps(parameter_to_json(datum.value), ensure_ascii=False, indent=2)
    if isinstance(datum, Counted) and all(isinstance(item, Inline) for item in datum.items):
        values = [item.value for item in datum.items if isinstance(item, Inline)]
        return json.dumps(parameter_to_json(values), ensure_ascii=False, indent=2)
    return None


def _usual(datum: Datum) -> str:
    if isinstance(datum, Artifact) and datum.form == "file":
        name = str(datum.metadata.get("name", ""))
        return f"a path that ends in {Path(name).suffix}" if Path(name).suffix else "a path without a suffix"
    stored = _STORED[datum.form][0][0] if isinstance(datum, Artifact) and datum.form in _STORED else ""
    return f"a path that ends in {stored}, or has no suffix" if stored else "a path without a suffix"


def _refused(datum: Datum, to: Path) -> InvalidInput:
    what = f"{datum.type} ({_name_of(datum)})" if isinstance(datum, Artifact) else "this value"
    return InvalidInput(
        f"{what} cannot be written as {to.suffix}", fix=f"Give {_usual(datum)}: it is then written as it is stored."
    )


# -- conversions: each answers whether it is one for this value --------------------------------------------------------


def _converted(value: Any, to: Path, suffix: str) -> bool:
    if hasattr(value, "collect") and hasattr(value, "collect_schema"):  # polars' lazy ones
        value = value.collect()
    if suffix == ".joblib":
        import joblib

        joblib.dump(value, to)
        return True
    return {".csv": _csv, ".parquet": _parquet, ".json": _json}[suffix](value, to)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _csv(value: Any, to: Path) -> bool:
    if _is_rows(value):
        import csv

        columns = list(dict.fromkeys(column for row in value for column in row))
        with open(to, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(value)
    elif hasattr(value, "write_csv"):
        value.write_csv(to)
    elif hasattr(value, "to_csv"):
        value.to_csv(to, index=_has_own_index(value))
    elif hasattr(value, "to_batches"):
        from pyarrow import csv as arrow_csv

        arrow_csv.write_csv(value, to)
    else:
        return False
    return True


def _has_own_index(value: Any) -> bool:
    """Whether the index of a pandas object says more than the number of a row."""
    index = value.index
    return type(index).__name__ != "RangeIndex" or index.name is not None


def _parquet(value: Any, to: Path) -> bool:
    if hasattr(value, "write_parquet"):
        value.write_parquet(to)
    elif hasattr(value, "to_parquet"):
        value.to_parquet(to)
    elif hasattr(value, "to_batches") or _is_rows(value):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(value) if isinstance(value, list) else value, to)
    else:
        return False
    return True


def _json(value: Any, to: Path) -> bool:
    if hasattr(value, "write_json"):
        value.write_json(to)
        return True
    if hasattr(value, "to_json") and hasattr(value, "index"):
        own = value.reset_index() if _has_own_index(value) else value
        own.to_json(to, orient="records", date_format="iso", force_ascii=False)
        return True
    for listed in ("to_pylist", "tolist", "to_list"):
        if hasattr(value, listed):
            value = getattr(value, listed)()
            break
    try:
        text = json.dumps(parameter_to_json(value), ensure_ascii=False, indent=2)
    except (TypeError, ValueError):
        return False
    to.write_text(text + "\n", encoding="utf-8")
    return True
