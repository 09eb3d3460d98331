"""A file of the user's own as the value of an output, read as the output's type says."""

from __future__ import annotations

import json
import os
import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import SCRATCH
from penstock.base.errors import InvalidInput
from penstock.base.firstparty import is_first_party
from penstock.graph.types import Type
from penstock.values.families import family_by_form
from penstock.values.pickled import contents_of_pickle
from penstock.wire import Datum, parameter_from_json

if TYPE_CHECKING:
    from penstock.settings import Settings
    from penstock.values.store import ArtifactStore

_TABLES = {
    "pandas:DataFrame": {".csv": "read_csv", ".parquet": "read_parquet", ".arrow": "read_feather"},
    "polars:DataFrame": {".csv": "read_csv", ".parquet": "read_parquet", ".arrow": "read_ipc"},
    "numpy:ndarray": {".npy": "load"},
}

_PICKLED = {
    ".joblib": "joblib",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".skops": "skops",
    ".pt": "torch",
    ".pth": "torch",
}
_BOOSTERS = {
    "lightgbm:Booster": {".txt": "lightgbm"},
    "xgboost:Booster": {".ubj": "xgboost", ".json": "xgboost"},
    "catboost:CatBoost": {".cbm": "catboost"},
    "catboost:CatBoostClassifier": {".cbm": "catboost"},
    "catboost:CatBoostRegressor": {".cbm": "catboost"},
    "catboost:CatBoostRanker": {".cbm": "catboost"},
}


def read_given(type_: Type, path: Path, *, artifacts: ArtifactStore, settings: Settings) -> Datum:
    """JSON for parameters and lists of them, a file or folder as it is for a path, CSV, Parquet or Arrow for a table, `.npy` for
    an array, joblib, pickle, skops, torch or a booster's own format for a model. Raises InvalidInput for a file that is not
    there, not of such a format, or not of the type, and for one that names classes of the project."""
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
        kinds = {**_PICKLED, **_BOOSTERS.get(type_.name, {})} if ":" in type_.name or type_.name == "any" else {}
        if suffix in kinds:
            return _not_ours(_object(path, kinds[suffix], type_.name), path)
        if type_.is_parameter or type_.name == "any" or (type_.item is not None and type_.item.is_parameter):
            return parameter_from_json(json.loads(path.read_text(encoding="utf-8")))
    except InvalidInput:
        raise
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"{path} cannot be read: there is no module {error.name} here",
            fix="Install it; or, if it is of your own, read the file in a task, and give that task the path.",
        ) from None
    except Exception as error:  # noqa: BLE001 what a library says of a file that is not what its name says
        raise InvalidInput(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    if kinds:
        raise InvalidInput(f"{path} is not a file that a {type_} is read from", fix=f"Give {', '.join(kinds)}.")
    raise InvalidInput(
        f"a {type_} cannot be given as a file", fix="Parameters, files, folders, tables, arrays and models can be."
    )


def _object(path: Path, kind: str, type_name: str) -> Any:
    """What a library has saved. A file of joblib, pickle or torch may run code when it is read, as it does anywhere."""
    if kind == "pickle":
        with path.open("rb") as file:
            return pickle.load(file)
    if kind == "torch":
        torch = import_module("torch")
        return torch.load(str(path), map_location="cpu", weights_only=False)
    if kind == "lightgbm":
        return import_module("lightgbm").Booster(model_file=str(path))
    if kind in ("xgboost", "catboost"):
        model = getattr(import_module(kind), type_name.partition(":")[2])()
        model.load_model(str(path))
        return model
    return family_by_form(kind).read(path, kind, type_name)


def _not_ours(value: Any, path: Path) -> Any:
    """A value whose classes are others'. What the project's own classes do counts as code of a task, which is unknown here."""
    names = contents_of_pickle(value).names
    modules = {name: sys.modules.get(name.partition(":")[0]) for name in names}
    own = [name for name, module in modules.items() if is_first_party(getattr(module, "__file__", None))]
    if own:
        raise InvalidInput(
            f"{path} names {own[0]}, which is code of your own",
            fix="Read the file in a task that returns what is in it, and give that task the path.",
        )
    return value
