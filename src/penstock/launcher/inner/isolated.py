"""The inner half of an attempt in an interpreter of the task's own: bind, call, leave the outputs. It has the standard library,
what the environment holds, and of Penstock `base`, `wire`, `values` and this package (and what a task imports of it).

It is told everything by one file, tells what user code logs on a descriptor, a line of JSON each, and leaves its answer in a
file: `{"outcome", "opened", "modules", "elsewhere"}`."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CoroutineType
from typing import Any

from penstock.base.firstparty import is_first_party
from penstock.launcher.inner import context as contexts
from penstock.launcher.inner import readers
from penstock.launcher.inner.arrivals import Arrivals
from penstock.launcher.inner.binding import Component, load_component, named_outputs
from penstock.launcher.inner.checkpoints import Checkpoint
from penstock.launcher.inner.outcomes import Stopped, outcome_of
from penstock.launcher.inner.resetting import show_logging
from penstock.launcher.inner.seeds import SEEDERS, seed_all
from penstock.launcher.inner.served import OpenedFiles, ServedSources
from penstock.launcher.inner.shuttle import Shuttle
from penstock.launcher.inner.traces import message_of
from penstock.values.datums import NO_CODE, NamedCode, Staging, from_datum, to_datum
from penstock.values.exhibits import store_exhibit
from penstock.values.origins import Beginning, file_clock_ns
from penstock.values.refusals import ValueRefused, ValueUnreadable
from penstock.wire import (
    AttemptRequest,
    Cancelled,
    Datum,
    Failed,
    Failure,
    FunctionRequest,
    Observed,
    Outcome,
    OutputInvalid,
    Succeeded,
    observed_to_json,
    outcome_to_json,
    request_from_json,
)

NAMED = "named"
"""Stands for a code digest that whoever started this interpreter works out."""


def main(place: str) -> None:
    """Run the attempt that the file at `place` describes."""
    asked = json.loads(Path(place).read_bytes())
    request = request_from_json(asked["request"])
    folder, project = Path(asked["folder"]), asked["project"]
    served = ServedSources(json.loads(Path(asked["pin"]).read_bytes()) if asked["pin"] else {}, project)
    position = next((index for index, path in enumerate(sys.path) if "site-packages" in path), len(sys.path))
    sys.path[position:position] = served.paths
    sys.meta_path.insert(0, served)
    Arrivals(
        {**{name: partial(seeder, request.seed) for name, seeder in SEEDERS.items()}, "logging": show_logging}
    ).install()
    readers.install()
    opened = OpenedFiles(project, asked["state"])
    attempt = _Attempt(request, folder, Shuttle(folder, asked["places"]), served, opened)
    signal.signal(signal.SIGTERM, _asked_to_stop)
    try:
        outcome = attempt.outcome(_teller(asked["tell"]), Checkpoint(Path(asked["checkpoints"]), asked["address"]))
    except Stopped as stopped:
        outcome = Cancelled(message_of(stopped))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer = {
        "outcome": outcome_to_json(outcome),
        "opened": opened.first_ns,
        "modules": list(served.imported),
        "elsewhere": _elsewhere(served, project),
    }
    unfinished = folder / "answer.part"
    unfinished.write_text(json.dumps(answer))
    os.replace(unfinished, folder / "answer.json")


def _asked_to_stop(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped("asked to stop")


def _teller(fd: int) -> Callable[[Observed], None]:
    pid = os.getpid()

    def tell(observed: Observed) -> None:
        if os.getpid() == pid:
            os.write(fd, json.dumps(observed_to_json(observed)).encode() + b"\n")

    return tell


def _elsewhere(served: ServedSources, project: str) -> list[str]:
    """The author's modules that were imported from where they stand, since no pin has them."""
    prefix = f"{project.rstrip(os.sep)}{os.sep}"
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(prefix) and is_first_party(file) and not served.has(name):
            found.append(os.path.relpath(file, project))
    return sorted(found)


class _Attempt:
    def __init__(
        self, request: AttemptRequest, folder: Path, store: Shuttle, served: ServedSources, opened: OpenedFiles
    ) -> None:
        self._request = request
        self._store = store
        self._served = served
        self._opened = opened
        self._checkpoint: Checkpoint | None = None
        beginning = Beginning(file_clock_ns(folder), self._is_in_checkpoint)
        self._staging = Staging(folder, "values", code_of=self._code_of, beginning=beginning)

    def outcome(self, observe: Callable[[Observed], None], checkpoint: Checkpoint) -> Outcome:
        request, wanted = self._request, self._request.component
        self._checkpoint = checkpoint
        assert isinstance(wanted, FunctionRequest)
        contexts.enter(
            contexts.Context(
                request.attempt_id,
                pipeline=request.pipeline,
                seed=request.seed,
                fresh=self._staging.fresh,
                observe=observe,
                store=partial(store_exhibit, artifacts=self._store, staging=self._staging),
                checkpoint=checkpoint,
            )
        )
        try:
            self._opened.listen()
            self._served.import_first()
            component = load_component(wanted)
            values = self._values(component)
            if not isinstance(values, dict):
                return values
            seed_all(request.seed)
            self._served.in_call = True
            returned = component.function(**values)
            if isinstance(returned, CoroutineType):
                from penstock.launcher.inner.awaiting import awaited  # slow to import, and few tasks are async

                returned = awaited(returned)
            self._served.in_call = False
            self._opened.settle()
            values.clear()
            return self._sealed(returned, component)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is its answer
            return outcome_of(error)
        finally:
            self._opened.settle()
            contexts.enter(None)

    def _is_in_checkpoint(self, path: Path) -> bool:
        return self._checkpoint is not None and self._checkpoint.owns(path)

    def _values(self, component: Component) -> dict[str, Any] | Failed:
        values: dict[str, Any] = {}
        for name, datum in self._request.inputs.items():
            declared = component.inputs.get(name, {"name": "any"})
            try:
                values[name] = from_datum(datum, declared, artifacts=self._store, staging=self._staging)
            except ValueUnreadable as error:
                message = f"input {name!r} could not be read: {error}"
                return Failed(Failure("penstock:ValueUnreadable", message, ("ValueUnreadable", "Exception")))
        for name, conversion in component.conversions.items():
            if name in values:
                values[name] = conversion(values[name])
        for name in component.scratch:
            values[name] = contexts.context().scratch
        return values

    def _sealed(self, returned: Any, component: Component) -> Outcome:
        name = ""
        try:
            sealed: dict[str, Datum] = {}
            for name, value in named_outputs(returned, component.outputs).items():
                sealed[name] = to_datum(
                    value, component.outputs[name], artifacts=self._store, staging=self._staging, movable=True
                )
        except ValueRefused as refused:
            where = f"output {name!r}: " if name else ""
            return OutputInvalid(f"{where}{refused.message}" + (f". {refused.fix}" if refused.fix else ""))
        return Succeeded(sealed)

    def _code_of(self, names: list[str]) -> NamedCode:
        """The author's own classes and functions among what an output names."""
        found = sorted({defined for name in names if (defined := self._defining(name)) is not None})
        return NamedCode(NAMED, tuple(found)) if found else NO_CODE

    def _defining(self, name: str) -> str | None:
        module, _, qualname = name.partition(":")
        found: Any = sys.modules.get(module)
        for part in qualname.split("."):
            found = getattr(found, part, None)
        module = getattr(found, "__module__", None) or module
        qualname = getattr(found, "__qualname__", None) or qualname
        return f"{module}:{qualname}" if self._served.has(module) else None
