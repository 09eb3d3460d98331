"""A pipeline file as a target: loaded here, in a worker, with the modules that its functions stand in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.base.limits import LIMITS
from penstock.launcher.outer.describe import LISTED_MAX, Opened
from penstock.launcher.outer.finding import find_component


def open_pipeline_file(file: str, *, name: str, shown: str) -> Opened:
    """Raises InvalidPipeline for a file that is wrong, InvalidInput where it does not have the pipeline that is meant, and
    what importing the modules raises."""
    from penstock.authoring.yaml.load import load

    try:
        loaded = load(file, name=name, read_file=read_file, find=find_component)
    except OSError as error:
        raise InvalidInput(f"{shown} cannot be read: {error.strerror}") from error
    if loaded.graph is None and not any(each.severity == "error" for each in loaded.diagnostics):
        raise _not_chosen(loaded.names, name=name, shown=shown)
    if not loaded.is_valid:
        raise InvalidPipeline(loaded.diagnostics)
    return Opened(
        loaded.names,
        loaded.graph,
        loaded.diagnostics,
        " ".join(loaded.modules),
        functions=loaded.functions,
        files=tuple(loaded.files),
    )


def _not_chosen(names: tuple[str, ...], *, name: str, shown: str) -> InvalidInput:
    from penstock.graph.names import nearest

    if name:
        return InvalidInput(f"there is no {name!r} in {shown}", fix=nearest(name, names))
    if not names:
        return InvalidInput(f"there is no pipeline in {shown}", fix="Add `pipeline: NAME` and `tasks:`.")
    listed = ", ".join(f"{shown}:{each}" for each in names[:LISTED_MAX])
    return InvalidInput(f"there are {len(names)} pipelines in {shown}", fix=f"Say which: {listed}")


def read_file(path: str) -> bytes:
    """At most what a pipeline file may have, and one byte more."""
    if not os.path.isfile(path):
        raise FileNotFoundError(2, "there is no such file", path)
    with open(path, "rb") as file:
        return file.read(LIMITS.yaml_bytes_max + 1)


def pipeline_file_of(graph: Any, functions: Mapping[str, Any] | None) -> str:
    """A graph as a pipeline file; `functions` are Python's components as their definitions say (None: all are so)."""
    from penstock.authoring.yaml.write import write

    return write(graph, functions)
