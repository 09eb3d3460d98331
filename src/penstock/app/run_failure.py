"""A run that did not succeed, as an exception for the script or notebook that asked for it: `RunFailed`, caused by what the task
itself raised."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from penstock.app.failures import Failing, grouped, headline, story
from penstock.app.words import count
from penstock.authoring.dsl.places import importable_module
from penstock.base.errors import RunFailed, TaskFailed
from penstock.wire import Failure, failure_from_json

if TYPE_CHECKING:
    from penstock.app.results import RunResult


def run_failure(result: RunResult) -> RunFailed:
    """What to raise for a run that is not `succeeded`."""
    groups = grouped(result.overview.failing)
    why = result.row.cause.text
    if groups:
        others = sum(len(group.paths) for group in groups) - 1
        more = f", and {count(others, 'more task run')} failed" if others else ""
        why = f"{groups[0].first.row.path} {headline(groups[0].first)}{more}"
    verb = {"failed": "failed", "cancelled": "was cancelled"}.get(result.state, f"is {result.state}")
    told = f"run {result.run_id} of {result.pipeline} {verb}{': ' if why else ''}{why}"
    error = RunFailed(told, run_id=result.run_id, state=result.state, result=result)
    error.__cause__ = exception_of(groups[0].first) if groups else None
    return error


def exception_of(failing: Failing) -> BaseException:
    """What a task raised, with the author's lines that it came through as a note: of its own type where this process has that
    loaded and the message alone makes one, otherwise (and for an end that raised nothing) a TaskFailed."""
    attempt = failing.attempt
    raised: BaseException | None = None
    if attempt is not None and attempt.outcome == "failed" and attempt.failure:
        raised = _rebuilt(failure_from_json(attempt.failure))
    error = raised or TaskFailed(failing.why)
    lines = story(failing)
    error.add_note("\n".join([f"in task run {failing.row.path}", *(f"  {line}" for line in lines)]))
    return error


def _rebuilt(failure: Failure) -> BaseException | None:
    module, _, name = failure.type.partition(":")
    holder = sys.modules.get(module)
    if holder is None and importable_module("__main__") == module:
        holder = sys.modules["__main__"]
    kind = getattr(holder, name, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        return None
    for given in (failure.message, _literal(failure.message)):  # KeyError shows its argument as Python writes it
        try:
            error = kind.__new__(kind, given) if failure.message else kind.__new__(kind)
            if isinstance(error, BaseException) and str(error) == failure.message:
                return error
        except Exception:  # noqa: BLE001 it is the author's class
            return None
    return None


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
