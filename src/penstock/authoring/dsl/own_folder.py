"""Tasks that take a folder of their own, called as the plain functions that they are."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from penstock.base.scratch import fresh_folder, is_scratch


def with_scratch(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that gives a new folder for each parameter annotated `Scratch` that is not given; any other function is
    the answer itself."""
    names = scratch_parameters(function)
    if not names:
        return function

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        signature = inspect.signature(function)
        try:
            signature.bind(*args, **kwargs)
        except TypeError:
            others = [parameter for name, parameter in signature.parameters.items() if name not in names]
            given = signature.replace(parameters=others).bind(*args, **kwargs).arguments
            return function(**given, **{name: fresh_folder() for name in names})
        return function(*args, **kwargs)

    return call


def scratch_parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters that are annotated `Scratch`."""
    annotations: Mapping[str, Any] = getattr(function, "__annotations__", {})
    if not any(isinstance(each, str) or is_scratch(each) for each in annotations.values()):
        return ()
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - whatever an author's annotation raises; it is a diagnostic of the task
        return ()
    return tuple(name for name, hint in hints.items() if name != "return" and is_scratch(hint))
