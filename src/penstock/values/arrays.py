"""Arrays: numpy as `.npy`, read back as read-only memory maps; scipy's sparse matrices and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.values.names import class_name, find_class
from penstock.values.refusals import ValueRefused


def form_of(value: Any) -> str | None:
    cls = type(value)
    name = class_name(cls)
    if name == "numpy:ndarray" or name == "numpy:memmap":
        if value.dtype.hasobject:
            raise ValueRefused(
                "an array of Python objects (dtype object) cannot be stored",
                fix="Give it a dtype (array.astype(float), array.astype(str)), or return a list.",
            )
        return "npy"
    module = cls.__module__.partition(".")[0]
    if module == "scipy" and import_module("scipy.sparse").issparse(value):
        return "sparse"
    numpy = import_module("numpy")
    if isinstance(value, numpy.ndarray):
        raise ValueRefused(
            f"{name} is a special kind of array and would come back as a plain one",
            fix="Return numpy.asarray(value) (for a masked array also its mask).",
        )
    return "npy" if isinstance(value, numpy.generic) and not value.dtype.hasobject else None


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    numpy = import_module("numpy")
    with path.open("xb") as file:
        if form == "sparse":
            import_module("scipy.sparse").save_npz(file, value, compressed=False)
            return {"shape": list(value.shape), "dtype": str(value.dtype), "stored": int(value.nnz)}
        array = numpy.asarray(value)
        numpy.lib.format.write_array(file, array, allow_pickle=False)
    return {"shape": list(array.shape), "dtype": str(array.dtype)}


def read(path: Path, form: str, type_name: str) -> Any:
    numpy = import_module("numpy")
    if form == "sparse":
        with path.open("rb") as file:
            return import_module("scipy.sparse").load_npz(file)
    with path.open("rb") as file:
        version = numpy.lib.format.read_magic(file)
        header = numpy.lib.format.read_array_header_1_0 if version == (1, 0) else numpy.lib.format.read_array_header_2_0
        shape = header(file)[0]
    if 0 in shape or shape == ():
        array = numpy.load(path, allow_pickle=False)  # nothing to map
        array.flags.writeable = False
    else:
        array = numpy.load(path, mmap_mode="r", allow_pickle=False).view(numpy.ndarray)
    return array if type_name in ("numpy:ndarray", "numpy:memmap") else find_class(type_name)(array[()])
