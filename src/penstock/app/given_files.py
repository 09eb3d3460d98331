"""A file of the user's own as the value of an output, read as the output's type says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import SCRATCH
from penstock.base.errors import InvalidInput
from penstock.graph.types import Type
from penstock.wire import Datum, parameter_from_json

if TYPE_CHECKING:
    from penstock.settings import Settings
    from penstock.values.store import ArtifactStore

_TABLES = {
    "pandas:DataFrame": {".csv": "read_csv", ".parquet": "read_parquet", ".arrow": "read_feather"},
    "polars:DataFrame": {".csv": "read_csv", ".parquet": "read_parquet", ".arrow": "read_ipc"},
    "numpy:ndarray": {".npy": "load"},
}


def read_given(type_: Type, path: Path, *, artifacts: ArtifactStore, settings: Settings) -> Datum:
    """JSON for parameters and lists of them, a file or folder as it is for a path, CSV, Parquet or Arrow for a table, `.npy` for
    an array. Raises InvalidInput for a file that is not there, not of such a format, or not of the type."""
    from penstock.graph.codec import type_to_json
    from penstock.values.datums import Staging, to_datum
    from penstock.values.refusals import ValueRefused

    if not path.exists():
        raise InvalidInput(f"there is no file {path}", fix="Give the path of a file that is there.")
    staging = Staging(settings.state / SCRATCH, f"given-{os.getpid()}")
    try:
        return to_datum(_value(type_, path), type_to_json(type_), artifacts=artifacts, staging=staging)
    except ValueRefused as refused:
        raise InvalidInput(f"{path}: {refused.message}", fix=refused.fix) from None
    finally:
        staging.clear()


def _value(type_: Type, path: Path) -> Any:
    if type_.name == "path":
        return path.resolve()
    suffix = path.suffix.lower()
    readers = _TABLES.get(type_.name)
    try:
        if readers is not None:
            if suffix not in readers:
                raise InvalidInput(
                    f"{path} is not a file that a {type_} is read from", fix=f"Give {', '.join(readers)}."
                )
            library = __import__(type_.name.partition(":")[0])
            return getattr(library, readers[suffix])(path)
        if type_.is_parameter or type_.name == "any" or (type_.item is not None and type_.item.is_parameter):
            return parameter_from_json(json.loads(path.read_text(encoding="utf-8")))
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001 what a library says of a file that is not what its name says
        raise InvalidInput(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    raise InvalidInput(
        f"a {type_} cannot be given as a file", fix="Parameters, files, folders, tables and arrays can be."
    )
