"""A run that did not succeed, as an exception for the script or notebook that asked for it: `RunFailed`, caused by what the task
itself raised."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

from penstock.app.failures import Failing, headline, holders_of, origins, story
from penstock.app.words import count
from penstock.authoring.dsl.places import importable_module
from penstock.base.errors import RunFailed, TaskFailed
from penstock.engine.states import TaskState
from penstock.graph.flow import flow_key
from penstock.wire import Failure, failure_from_json

if TYPE_CHECKING:
    from penstock.app.overview import Overview
    from penstock.app.results import RunResult
    from penstock.graph.flow import Key


def run_failure(result: RunResult) -> RunFailed:
    """What to raise for a run that is not `succeeded`."""
    failing = _in_order(result.overview)
    why = result.row.cause.text
    if failing:
        more = f", and {count(len(failing) - 1, 'more task run')} failed" if len(failing) > 1 else ""
        why = f"{failing[0].row.path} {headline(failing[0])}{more}"
    verb = {"failed": "failed", "cancelled": "was cancelled"}.get(result.state, f"is {result.state}")
    told = f"run {result.run_id} of {result.pipeline} {verb}{': ' if why else ''}{why}"
    error = RunFailed(told, run_id=result.run_id, state=result.state, result=result)
    error.__cause__ = exception_of(failing[0]) if failing else None
    return error


def _in_order(overview: Overview) -> list[Failing]:
    """The task runs that failed by themselves, in the order of the flow; last those that what holds them has tolerated."""
    passed = {row.path for row in overview.outline.task_runs if row.state is TaskState.SUCCEEDED}
    key = flow_key(overview.graph)

    def place(failing: Failing) -> tuple[bool, Key]:
        path = failing.row.path
        return any(holder in passed for holder in holders_of(path)), key(path)

    return sorted(origins(overview.failing), key=place)


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
