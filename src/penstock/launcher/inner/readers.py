"""Readers of files that Python does not hear of, since native code opens the files: told to the audit hooks as if Python had
opened them (recorded reads, cache rule 12). They are wrapped as soon as their module is imported.

A path may be a pattern or a folder: then what it holds is read. SQL of DuckDB names files as text, which is looked for; where SQL
works out their names, that is reported."""

from __future__ import annotations

import functools
import glob
import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from penstock.launcher.inner import listening
from penstock.launcher.inner.arrivals import Arrivals

_POLARS = (
    "read_avro", "read_csv", "read_csv_batched", "read_delta", "read_excel", "read_ipc", "read_ipc_schema", "read_ipc_stream",
    "read_json", "read_lines", "read_ndjson", "read_ods", "read_parquet", "read_parquet_metadata", "read_parquet_schema",
    "scan_csv", "scan_delta", "scan_iceberg", "scan_ipc", "scan_lines", "scan_ndjson", "scan_parquet",
)  # fmt: skip
_DUCKDB_READS = ("from_csv_auto", "from_parquet", "read_csv", "read_json", "read_parquet")
_DUCKDB_SQL = ("execute", "executemany", "extract_statements", "from_query", "query", "query_df", "sql")
READERS: Mapping[str, tuple[str, ...]] = {
    "catboost": ("CatBoost.load_model", "CatBoostClassifier.load_model", "CatBoostRegressor.load_model", "Pool.__init__"),
    "cv2": ("VideoCapture", "imread", "imreadmulti"),
    "duckdb": (*_DUCKDB_READS, *(f"DuckDBPyConnection.{name}" for name in _DUCKDB_READS)),
    "faiss": ("read_index",),
    "fiona": ("open",),
    "geopandas": ("read_feather", "read_file", "read_parquet"),
    "h5py": ("File.__init__",),
    "lightgbm": ("Booster.__init__", "Dataset.__init__"),
    "netCDF4": ("Dataset", "MFDataset"),
    "onnxruntime": ("InferenceSession.__init__",),
    "osgeo.gdal": ("Open", "OpenEx"),
    "pandas": ("HDFStore.__init__", "read_feather", "read_hdf", "read_orc", "read_parquet"),
    "polars": _POLARS,
    "pyarrow": ("OSFile", "input_stream", "memory_map"),
    "pyarrow.csv": ("open_csv", "read_csv"),
    "pyarrow.dataset": ("dataset", "parquet_dataset"),
    "pyarrow.feather": ("read_feather", "read_table"),
    "pyarrow.ipc": ("open_file", "open_stream"),
    "pyarrow.json": ("open_json", "read_json"),
    "pyarrow.orc": ("ORCFile.__init__", "read_table"),
    "pyarrow.parquet": (
        "ParquetDataset.__init__", "ParquetFile.__init__", "read_metadata", "read_pandas", "read_schema", "read_table",
    ),
    "pyogrio": ("read_arrow", "read_dataframe"),
    "rasterio": ("open",),
    "safetensors": ("safe_open",),
    "safetensors.torch": ("load_file", "load_model"),
    "sentencepiece": ("SentencePieceProcessor.Load", "SentencePieceProcessor.load"),
    "soundfile": ("SoundFile.__init__", "info", "read"),
    "tables": ("open_file",),
    "torch": ("from_file", "load"),
    "torch.jit": ("load",),
    "xarray": ("load_dataarray", "load_dataset", "open_dataarray", "open_dataset", "open_mfdataset", "open_zarr"),
    "xgboost": ("Booster.__init__", "Booster.load_model", "DMatrix.__init__", "QuantileDMatrix.__init__", "XGBModel.load_model"),
    "zarr": ("open", "open_array", "open_group"),
}  # fmt: skip
_PATHS = (
    "source", "sources", "path", "paths", "path_or_paths", "path_or_buffer", "path_or_buf", "file", "file_path", "file_or_path",
    "filename", "filename_or_obj", "fname", "f", "fp", "model_file", "where", "metadata_path", "path_or_model", "name", "data",
    "store", "path_or_bytes", "file_glob", "database", "file_name",
)  # fmt: skip
"""What readers call the argument that is a path, where it is not the first."""

_MODE = re.compile(r"[rwxa][bt+]*-?")
_MAGIC = re.compile(r"[*?\[]")
_QUOTED = re.compile(r"""(\bto\s*)?(?:'((?:[^']|'')*)'|"((?:[^"]|"")*)")""", re.IGNORECASE)
_LIKE_A_PATH = re.compile(r"[^\n]*(/|\.\w|[*?])[^\n]*")
_FILE_FUNCTION = re.compile(
    r"\b(?:read_\w+|\w+_scan|glob|sniff_csv|parquet_\w+|st_read)\s*\(\s*(?P<given>['\"\[?$]?)", re.IGNORECASE
)
_PATH_LENGTH_MAX = 4096


def install() -> None:
    """Wrap the readers of modules that are loaded, and of others when they are."""
    callbacks: dict[str, Callable[[], None]] = {
        module: functools.partial(_wrap_all, module, names) for module, names in READERS.items()
    }
    callbacks["duckdb"] = _wrap_duckdb
    Arrivals(callbacks).install()


def announce(given: Any, mode: str = "r") -> None:
    """Tell audit hooks that what `given` names is opened: a path, several of them; what is neither is passed over."""
    if isinstance(given, (list, tuple, set)):
        for each in given:
            announce(each, mode)
    elif isinstance(given, (str, bytes, os.PathLike)):
        path = os.fsdecode(given).removeprefix("file://")
        if path and "://" not in path and "\0" not in path and "\n" not in path and len(path) <= _PATH_LENGTH_MAX:
            _announce_path(path, mode)


def _announce_path(path: str, mode: str) -> None:
    if mode[:1] != "r" or "+" in mode:
        updates = mode[:1] != "w" or "+" in mode
        sys.audit("open", path, "r+b" if updates else "wb", os.O_RDWR if updates else os.O_WRONLY | os.O_TRUNC)
    elif os.path.isdir(path):
        for folder, _folders, files in os.walk(path):
            for name in files:
                sys.audit("open", os.path.join(folder, name), "rb", os.O_RDONLY)
    elif _MAGIC.search(path) and not os.path.exists(path):
        for found in glob.iglob(path, recursive=True):
            _announce_path(found, mode)
    else:
        sys.audit("open", path, "rb", os.O_RDONLY)


# -- wrapping ------------------------------------------------------------------------------------------------------------


def _wrap_all(module: str, names: tuple[str, ...], wrapped: Callable[[Any, int], Any] | None = None) -> None:
    for name in names:
        holder: Any = sys.modules[module]
        cls, dot, attribute = name.rpartition(".")
        if dot:
            holder = getattr(holder, cls, None)
        plain = getattr(holder, attribute, None)
        if plain is not None and not hasattr(plain, "_penstock"):
            _put(holder, attribute, plain, (wrapped or _announcing)(plain, 1 if dot else 0))


def _put(holder: Any, name: str, plain: Any, wrapper: Any) -> None:
    """Wherever a function can be found, so that it can be pickled by its name."""
    wrapper._penstock = True
    places = [holder]
    if not isinstance(holder, type):
        places.append(sys.modules.get(getattr(plain, "__module__", None) or ""))
    for place in places:
        if place is not None and getattr(place, name, None) is plain:
            try:
                setattr(place, name, wrapper)
            except (AttributeError, TypeError):
                continue  # a class that is closed


def _announcing(plain: Any, first: int) -> Any:
    """`first`: the position of the path."""

    def told(given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        mode = named.get("mode", given[first + 1] if len(given) > first + 1 else "r")
        mode = mode if isinstance(mode, str) and _MODE.fullmatch(mode) else "r"
        if len(given) > first:
            announce(given[first], mode)
        for name in _PATHS:
            if name in named:
                announce(named[name], mode)

    return _calling_first(plain, told)


def _calling_first(plain: Any, told: Callable[[tuple[Any, ...], Mapping[str, Any]], None]) -> Any:
    if isinstance(plain, type):
        return _subclass(plain, told)

    @functools.wraps(plain)
    def reader(*given: Any, **named: Any) -> Any:
        told(given, named)
        return plain(*given, **named)

    return reader


def _subclass(plain: Any, told: Callable[[tuple[Any, ...], Mapping[str, Any]], None]) -> Any:
    """In place of a class of native code, which cannot be changed."""

    def new(cls: Any, *given: Any, **named: Any) -> Any:
        told(given, named)
        return plain.__new__(cls) if plain.__new__ is object.__new__ else plain.__new__(cls, *given, **named)

    made: Any
    try:
        made = type(plain.__name__, (plain,), {"__new__": new, "__module__": plain.__module__})
    except TypeError:  # not even that: a function does for those who do not ask what it is

        def made(*given: Any, **named: Any) -> Any:
            told(given, named)
            return plain(*given, **named)

    return made


# -- DuckDB --------------------------------------------------------------------------------------------------------------


def _wrap_duckdb() -> None:
    _wrap_all("duckdb", READERS["duckdb"])
    _wrap_all("duckdb", (*_DUCKDB_SQL, *(f"DuckDBPyConnection.{name}" for name in _DUCKDB_SQL)), _announcing_sql)
    _wrap_all("duckdb", ("connect",), _announcing_database)


def _announcing_sql(plain: Any, first: int) -> Any:
    def told(given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        rest = (*given[first + 1 :], *named.values())
        announce_sql(given[first] if len(given) > first else named.get("query"), rest)

    return _calling_first(plain, told)


def announce_sql(text: Any, parameters: Any = ()) -> None:
    """Tell of the files that SQL of DuckDB names as text, and that its parameters name."""
    if not isinstance(text, str):
        return
    for writes, single, double in _QUOTED.findall(text):
        path = (single or double).replace("''", "'")
        if _LIKE_A_PATH.fullmatch(path):
            announce(path, "w" if writes else "r")
    _announce_parameters(parameters)
    given = [found["given"] for found in _FILE_FUNCTION.finditer(text)]
    if listening.to is not None and (not all(given) or (given and "||" in text)):
        listening.to.unheard("files whose names SQL of DuckDB works out")


def _announce_parameters(given: Any) -> None:
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        for each in given:
            _announce_parameters(each)
    elif isinstance(given, str) and _LIKE_A_PATH.fullmatch(given):
        announce(given)


def _announcing_database(plain: Any, first: int) -> Any:
    def told(given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        path = given[first] if len(given) > first else named.get("database", ":memory:")
        if isinstance(path, (str, os.PathLike)) and os.fsdecode(path).partition(":")[0] not in ("", "md", "motherduck"):
            sys.audit("sqlite3.connect", os.fsdecode(path))
            if os.path.exists(f"{os.fsdecode(path)}.wal"):
                announce(f"{os.fsdecode(path)}.wal")

    return _calling_first(plain, told)
