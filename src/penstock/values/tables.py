"""Tables: polars, pandas and pyarrow, as uncompressed Arrow IPC files, read back by mapping memory.

Arrow IPC rather than Parquet: a table passed between two tasks is written at the speed of the disk and read without a
copy; Parquet took 5 to 100 times as long for 1 GB of floats. One record batch where the size allows it, and the
oldest layout that every library reads, so that equal tables give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.values.names import class_name
from penstock.values.refusals import ValueRefused, ValueUnreadable

COLUMNS_SHOWN_MAX = 200
REWRITE_BYTES_MAX = 4 << 30
"""Tables up to this size are brought into one batch before they are written, which takes as much memory again."""

_PANDAS = ("pandas:DataFrame", "pandas:Series")
_FREQ = b"penstock.freq"
_POLARS = ("polars:DataFrame", "polars:LazyFrame", "polars:Series")
_ARROW = ("pyarrow:Table", "pyarrow:RecordBatch")


def form_of(value: Any) -> str | None:
    name = class_name(type(value))
    if name in _PANDAS or name in _POLARS or name in _ARROW or _is_index(name):
        return "arrow"
    if any(class_name(base) in _PANDAS for base in type(value).__mro__):
        raise ValueRefused(
            f"{name} is a subclass of a pandas table and would come back as a plain one",
            fix="Return pandas.DataFrame(value), or register the type with penstock.values.register.",
        )
    return None


def _is_index(name: str) -> bool:
    return name.startswith("pandas:") and name.endswith("Index")


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    name = class_name(type(value))
    if name in _POLARS:
        return _write_polars(value, path, name)
    pyarrow = _pyarrow(name)
    if name == "pyarrow:RecordBatch":
        value = pyarrow.Table.from_batches([value])
    if name in _PANDAS:
        value = _arrow_from_pandas(value, name)
    elif _is_index(name):
        freq = getattr(value, "freqstr", None) or ""
        # A range is no column of the file, and a file without columns has no rows.
        columns = {"": False} if name == "pandas:RangeIndex" else {}
        value = _arrow_from_pandas(import_module("pandas").DataFrame(columns, index=value), "pandas:DataFrame")
        value = value.replace_schema_metadata({**(value.schema.metadata or {}), _FREQ: freq.encode()})
    if value.nbytes <= REWRITE_BYTES_MAX:
        value = value.combine_chunks()
    with pyarrow.OSFile(str(path), "wb") as sink, pyarrow.ipc.new_file(sink, value.schema) as writer:
        writer.write_table(value)
    return _metadata(value.num_rows, {field.name: str(field.type) for field in value.schema})


def _metadata(rows: int, columns: Mapping[str, str]) -> Mapping[str, Any]:
    shown = dict(list(columns.items())[:COLUMNS_SHOWN_MAX])
    return {"rows": rows, "columns": shown, "columns_count": len(columns)}


def _write_polars(value: Any, path: Path, name: str) -> Mapping[str, Any]:
    polars = import_module("polars")
    frame = value
    if name == "polars:LazyFrame":
        frame = value.collect()
    elif name == "polars:Series":
        frame = value.to_frame()
    unwritable = [column for column, dtype in frame.schema.items() if dtype == polars.Object]
    if unwritable:
        raise ValueRefused(
            f"the column {unwritable[0]!r} has the dtype Object, which no file format holds",
            fix="Cast it to a type of polars before returning the table.",
        )
    if frame.estimated_size() <= REWRITE_BYTES_MAX:
        frame = frame.rechunk()
    oldest = polars.CompatLevel.oldest()
    rows = max(frame.height, 1)
    options = _known_to(frame.write_ipc, record_batch_size=rows)
    frame.write_ipc(path, compression="uncompressed", compat_level=oldest, **options)
    return _metadata(frame.height, {column: str(dtype) for column, dtype in frame.schema.items()})


def _known_to(function: Any, **options: Any) -> dict[str, Any]:
    """The options that a function of the installed polars takes; earlier ones do without."""
    from inspect import signature

    taken = signature(function).parameters
    return {name: value for name, value in options.items() if name in taken}


def _pyarrow(name: str) -> Any:
    try:
        import_module("pyarrow.ipc")
        return import_module("pyarrow")
    except ImportError as error:
        raise ValueRefused(
            f"pyarrow is needed to store {name} and is not installed", fix="Run: pip install pyarrow"
        ) from error


def _arrow_from_pandas(value: Any, name: str) -> Any:
    """An Arrow table with the index in it; the names and types that Arrow lacks travel in its schema's metadata."""
    pyarrow = _pyarrow(name)
    if name == "pandas:Series":
        # A frame's column needs a name; an unnamed series is told apart by the name that no column gets by accident.
        value = value.to_frame(name="\0unnamed" if value.name is None else value.name)
    if value.columns.has_duplicates:
        twice = list(value.columns[value.columns.duplicated()])
        raise ValueRefused(
            f"the table has several columns called {twice[0]!r}", fix="Rename them before returning the table."
        )
    try:
        return pyarrow.Table.from_pandas(value, preserve_index=None)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
        raise ValueRefused(
            f"the table cannot be stored: {' '.join(str(part) for part in error.args)}",
            fix="A column of mixed Python objects has no type: convert it (astype) before returning the table.",
        ) from error


def read(path: Path, form: str, type_name: str) -> Any:
    if type_name in _POLARS:
        return _read_polars(path, type_name)
    try:
        table = _map(path)
    except ImportError as error:
        raise ValueUnreadable(f"pyarrow is needed to read {type_name}: {error}", fix="pip install pyarrow") from error
    if type_name == "pyarrow:Table":
        return table
    if type_name == "pyarrow:RecordBatch":
        return table.combine_chunks().to_batches()[0] if table.num_rows else _empty_batch(table)
    if _is_index(type_name):
        return _read_index(table)
    if type_name not in _PANDAS:
        raise ValueUnreadable(f"{type_name} is not a type of table")
    frame = table.to_pandas()
    if int(import_module("pandas").__version__.partition(".")[0]) < 3:
        frame = frame.copy()  # without copy-on-write, writing into memory that is mapped read-only would raise
    if type_name == "pandas:DataFrame":
        return frame
    series = frame.iloc[:, 0]
    return series.rename(None) if series.name == "\0unnamed" else series


def _read_index(table: Any) -> Any:
    index = table.to_pandas().index
    freq = (table.schema.metadata or {}).get(_FREQ, b"").decode()
    if freq and hasattr(index, "freq") and index.freq is None:
        index.freq = freq
    return index


def _map(path: Path) -> Any:
    pyarrow = import_module("pyarrow")
    ipc = import_module("pyarrow.ipc")
    return ipc.open_file(pyarrow.memory_map(str(path), "rb")).read_all()


def _empty_batch(table: Any) -> Any:
    pyarrow = import_module("pyarrow")
    return pyarrow.RecordBatch.from_arrays(
        [pyarrow.array([], type=field.type) for field in table.schema], schema=table.schema
    )


def _read_polars(path: Path, type_name: str) -> Any:
    polars = import_module("polars")
    if type_name == "polars:LazyFrame":
        # The store's files carry no suffix that would say what they are, and a glob character in a path is literal.
        return polars.scan_ipc(path, **_known_to(polars.scan_ipc, glob=False))
    frame = _read_polars_mapped(path, polars)
    return frame.to_series() if type_name == "polars:Series" else frame


def _read_polars_mapped(path: Path, polars: Any) -> Any:
    """Through pyarrow's memory map where that gives the very same columns: polars 2 copies what it reads from a
    path."""
    try:
        table = _map(path)
    except ImportError:
        return polars.read_ipc(path)
    frame = polars.from_arrow(table, rechunk=False)
    if dict(frame.schema) == dict(polars.read_ipc_schema(path)):
        return frame
    return polars.read_ipc(path)
