"""Penstock: machine-learning pipelines from plain Python functions.

These are the public names. They are looked up when first used, so that importing the package costs nothing."""

from __future__ import annotations

TYPE_CHECKING = False  # what type checkers take for true; importing typing would be most of the cost of this module
if TYPE_CHECKING:
    from typing import Any

    from penstock.authoring.dsl.commands import command
    from penstock.authoring.dsl.control import finally_, loop_until, map_over, one_of, otherwise, when
    from penstock.authoring.dsl.forms import Form
    from penstock.authoring.dsl.lists import in_step, product
    from penstock.authoring.dsl.options import Resources, Retry
    from penstock.authoring.dsl.pipelines import pipeline
    from penstock.authoring.dsl.sources import File, Folder, Table, Url
    from penstock.authoring.dsl.tasks import task
    from penstock.base.errors import RunFailed
    from penstock.base.scratch import Scratch
    from penstock.launcher.inner.answers import Fail, NotYet, Skip
    from penstock.launcher.inner.context import context

__version__ = "0.1.0"

__all__ = [
    "Fail",
    "File",
    "Folder",
    "Form",
    "NotYet",
    "Resources",
    "Retry",
    "RunFailed",
    "Scratch",
    "Skip",
    "Table",
    "Url",
    "command",
    "context",
    "finally_",
    "in_step",
    "loop_until",
    "map_over",
    "one_of",
    "otherwise",
    "pipeline",
    "product",
    "task",
    "when",
]

_MODULE_BY_NAME = {
    "Fail": "launcher.inner.answers",
    "File": "authoring.dsl.sources",
    "Folder": "authoring.dsl.sources",
    "Form": "authoring.dsl.forms",
    "NotYet": "launcher.inner.answers",
    "Resources": "authoring.dsl.options",
    "Retry": "authoring.dsl.options",
    "RunFailed": "base.errors",
    "Scratch": "base.scratch",
    "Skip": "launcher.inner.answers",
    "Table": "authoring.dsl.sources",
    "Url": "authoring.dsl.sources",
    "command": "authoring.dsl.commands",
    "context": "launcher.inner.context",
    "finally_": "authoring.dsl.control",
    "in_step": "authoring.dsl.lists",
    "loop_until": "authoring.dsl.control",
    "map_over": "authoring.dsl.control",
    "one_of": "authoring.dsl.control",
    "otherwise": "authoring.dsl.control",
    "pipeline": "authoring.dsl.pipelines",
    "product": "authoring.dsl.lists",
    "task": "authoring.dsl.tasks",
    "when": "authoring.dsl.control",
}


def __getattr__(name: str) -> Any:
    module = _MODULE_BY_NAME.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    public = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
    return public


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
