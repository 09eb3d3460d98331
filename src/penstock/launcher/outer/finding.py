"""What `module:name` of a pipeline file names: the module is imported here, in a worker, and the function read as the Python
front end reads it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from penstock.authoring.yaml.components import Found
from penstock.graph.names import nearest

_FIX = "It is looked for beside the file, in the project, its src folder, and in what is installed."


def find_component(text: str) -> Found:
    """Raises what importing the module raises, but for the module itself not being there."""
    from penstock.authoring.dsl.tasks import task

    module_name, _, name = text.partition(":")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if missing != module_name and not module_name.startswith(f"{missing}."):
            raise
        near = nearest(module_name, _modules_near(module_name)) if missing == module_name else ""
        fix = near if near.startswith("Did you mean") else _FIX
        return Found(None, code="unknown-function", message=f"there is no module `{missing}`", fix=fix)
    if not hasattr(module, name):
        public = [each for each, value in vars(module).items() if not each.startswith("_") and callable(value)]
        message = f"there is no `{name}` in module `{module_name}`"
        return Found(None, code="unknown-function", message=message, fix=nearest(name, public))
    value: Any = getattr(module, name)
    if not callable(getattr(value, "built", None)):
        if not callable(value):
            message = f"`{text}` is {type(value).__name__}, not a function"
            return Found(None, code="not-a-component", message=message, fix="Name a function.")
        value = task(value)
    component, diagnostics = value.built()
    return Found(component, tuple(diagnostics))


def _modules_near(name: str) -> list[str]:
    """Names of modules that may have been meant: those in the folders that are searched."""
    import os

    found: set[str] = set()
    for folder in sys.path:
        if "site-packages" in folder or not os.path.isdir(folder) or folder.startswith(sys.prefix):
            continue
        for entry in os.listdir(folder)[:1_000]:
            stem, dot, suffix = entry.partition(".")
            if stem.isidentifier() and (suffix == "py" or not dot):
                found.add(stem)
    return sorted(found)
