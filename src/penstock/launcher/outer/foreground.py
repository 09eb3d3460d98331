"""One attempt in the foreground: on the terminal of whoever asked for it, without a worker, a keeper or limits, so that a
debugger or a person at a prompt can be in the middle of it. Run as a program of its own by `app.repeating`."""

from __future__ import annotations

import faulthandler
import importlib
import json
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from penstock.base.firstparty import is_first_party
from penstock.base.limits import set_limits
from penstock.launcher.inner.answers import Skip
from penstock.launcher.inner.context import context
from penstock.launcher.inner.traces import is_users
from penstock.launcher.outer.attempt import Launcher
from penstock.wire import report_to_json, request_from_json

LEFT = "left the prompt"


def main(order: str) -> None:
    """Do what the file `order` says: `{"request", "project", "scratch", "artifacts", "artifacts_arguments", "limits", "look",
    "answer", "stacks"}`, with `look` one of "", "pdb" and "shell". How the attempt ended is written to the file `answer`;
    should it crash in native code, the stacks of its threads to the file `stacks`."""
    told = json.loads(Path(order).read_bytes())
    stacks = open(told["stacks"], "w")  # noqa: SIM115 - until the end
    faulthandler.enable(stacks)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    set_limits(**told["limits"])
    module, _, name = told["artifacts"].partition(":")
    artifacts = getattr(importlib.import_module(module), name)(told["artifacts_arguments"])
    launcher = Launcher(artifacts=artifacts, scratch=Path(told["scratch"]), project=Path(told["project"]))
    launcher.refusals.is_on = False  # what is kept here would go with the folder
    if told["look"] == "pdb":
        launcher.post_mortem = debug
    elif told["look"] == "shell":
        launcher.instead = prompt
    ended = launcher.run(request_from_json(told["request"]))
    launcher.settle(succeeded=False)
    Path(told["answer"]).write_text(json.dumps(report_to_json(ended)))


def debug(error: BaseException) -> None:
    """A debugger at the author's own innermost frame; those further down are still below it."""
    import pdb  # noqa: T100 - a person asked for it

    trace = error.__traceback__
    while trace is not None and not is_users(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None:
        return
    sys.stderr.write(f"{type(error).__name__}: {error}\n")
    debugger = pdb.Pdb()
    below = _frames_below_own(trace)
    if below:
        debugger.cmdqueue.append(f"up {below}")
    debugger.reset()
    debugger.interaction(None, trace)


def _frames_below_own(trace: TracebackType) -> int:
    """How many frames stand below the author's innermost one; 0 where there is none of theirs."""
    files = []
    at: TracebackType | None = trace
    while at is not None:
        files.append(at.tb_frame.f_code.co_filename)
        at = at.tb_next
    own = [index for index, file in enumerate(files) if is_first_party(file)]
    return len(files) - 1 - own[-1] if own else 0


def prompt(function: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    """Python at a prompt, with the inputs, the task's function and the names of its module. Raises Skip when it is left."""
    import code
    from contextlib import suppress

    with suppress(ImportError):
        import readline  # noqa: F401 - lines can be edited
        import rlcompleter  # noqa: F401
    names = {**vars(sys.modules[function.__module__]), **values, "inputs": dict(values), "context": context}
    names["task"] = function
    given = ", ".join(values) or "none"
    banner = f"task is {function.__qualname__}; inputs: {given}. task(**inputs) calls it; Ctrl-D leaves."
    code.interact(banner=banner, local=names, exitmsg="")
    raise Skip(LEFT)
