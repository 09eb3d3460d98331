"""Torch: tensors and state dictionaries, read back without unpickling code; modules as a pickle of their class with
their state. What is stored stands in the processor's memory: a value has no device."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pickle import PicklingError
from typing import Any

from penstock.values.names import class_name
from penstock.values.refusals import ValueRefused

DEPTH_MAX = 32


def form_of(value: Any) -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "nn"):
        return None
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided:
            raise ValueRefused("a sparse tensor cannot be stored", fix="Return tensor.to_dense(), or its parts.")
        return "torch-state"
    if isinstance(value, torch.nn.Module):
        return "torch-module"
    if type(value) in (dict, OrderedDict) and _is_state(value, torch, depth=0) and _has_tensor(value, torch):
        return "torch-state"
    return None


def _is_state(value: Any, torch: Any, *, depth: int) -> bool:
    """Whether a value is made of nothing but tensors, numbers, texts, lists, tuples and dictionaries."""
    if depth > DEPTH_MAX:
        return False
    if isinstance(value, torch.Tensor) or value is None or type(value) in (bool, int, float, str):
        return True
    if type(value) in (list, tuple):
        return all(_is_state(item, torch, depth=depth + 1) for item in value)
    if type(value) in (dict, OrderedDict):
        return all(type(k) in (str, int) and _is_state(v, torch, depth=depth + 1) for k, v in value.items())
    return False


def _has_tensor(value: Any, torch: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_has_tensor(item, torch) for item in value)
    if isinstance(value, dict):
        return any(_has_tensor(item, torch) for item in value.values())
    return isinstance(value, torch.Tensor)


def _plain(value: Any, torch: Any) -> Any:
    """The same state with every tensor detached, on the processor, and owning no more memory than it shows."""
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if whole and tensor.is_contiguous() else tensor.clone(memory_format=torch.contiguous_format)
    if isinstance(value, dict):
        return type(value)((key, _plain(item, torch)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item, torch) for item in value)
    return value


def write(value: Any, path: Path, form: str) -> Mapping[str, Any]:
    torch = import_module("torch")
    with path.open("xb") as file:  # an open file: torch writes the name of a path into its content
        if form == "torch-state":
            torch.save(_plain(value, torch), file)
            return _metadata(value, torch)
        try:
            torch.save(value, file)
        except (PicklingError, AttributeError, TypeError) as error:
            raise ValueRefused(
                f"{class_name(type(value))} cannot be stored: {error}",
                fix="Define the module's class at the top of a file, or return module.state_dict().",
            ) from error
    parameters = sum(parameter.numel() for parameter in value.parameters())
    return {"class": class_name(type(value)), "parameters_count": parameters}


def _metadata(value: Any, torch: Any) -> Mapping[str, Any]:
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    return {"entries": len(value)}


def read(path: Path, form: str, type_name: str) -> Any:
    torch = import_module("torch")
    if form == "torch-state":
        # Mapped privately: what a task changes in place never reaches the store.
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    return torch.load(str(path), map_location="cpu", weights_only=False)
