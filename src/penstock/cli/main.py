"""The program `penstock`: reads the command line, calls one verb, turns errors into text and an exit status.

0 succeeded, 1 the run failed, 2 the input is invalid, 3 cancelled. Verbs are loaded when they are called."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any

from penstock.app.outlets import ERR, OUT, err, open_missing_streams
from penstock.base.errors import InvalidPipeline, PassedOver, PenstockError, TargetFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cyclopts import App

SUCCEEDED, FAILED, INVALID, CANCELLED = 0, 1, 2, 3

VERBS = {
    "init": ("beginning", "Make a project that runs at once."),
    "check": ("running", "Say everything that is wrong with a pipeline, without running it."),
    "plan": ("explaining", "Say what a run would do, and why, without running it."),
    "run": ("running", "Run a pipeline."),
    "runs": ("reading", "List the runs of this project, newest first."),
    "show": ("reading", "Show one run: its tasks, its outputs, what it was made of."),
    "logs": ("reading", "Print what the tasks of a run printed."),
    "why": ("explaining", "Say why a task run ran, was a hit, failed or was skipped."),
    "diff": ("explaining", "Compare two runs."),
    "lineage": ("explaining", "Say what an artifact was made of, and what was made of it."),
    "cancel": ("running", "Stop a run: nothing new starts, tasks get SIGTERM, then SIGKILL."),
    "retry": ("running", "Resume an interrupted run; run a failed or cancelled one again."),
    "repro": ("repeating", "Run one task of a run again, alone, on the same inputs."),
    "get": ("reading", "Print or write an output of a task run."),
    "gc": ("keeping", "Remove old runs, and everything that nothing needs any more."),
    "graph": ("reading", "Draw a pipeline."),
    "doctor": ("beginning", "Look at what Penstock stands on here, and say what to do."),
    "schema": ("reading", "Print the JSON Schema of pipeline files in YAML, for editors."),
    "version": ("reading", "Print the versions of Penstock and of Python."),
}

# The exit status of these says how a run ended, and of nothing else.
ENDING = ("run", "retry", "cancel", "repro")


def make_app() -> App:
    from cyclopts import App

    app = App(
        name="penstock",
        help="Machine-learning pipelines from raw data to production. State lives in .penstock/ of the project folder.",
        help_format="plaintext",
        version_flags=(),
        suppress_keyboard_interrupt=False,
    )
    for verb, (module, text) in VERBS.items():
        app.command(f"penstock.cli.{module}:{verb}", name=verb, help=text)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole program; answers the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if sys.platform == "win32":
        _say("error: Penstock needs Linux or macOS: it relies on process groups and signals.", "Use it inside WSL 2.")
        return INVALID
    open_missing_streams()
    OUT.open()
    ERR.open()
    status = _status(given)
    OUT.flush()
    ERR.flush()
    if OUT.trouble is None or isinstance(
        OUT.trouble, BrokenPipeError
    ):  # `penstock runs | head` has read what it wanted
        return status
    _say(f"error: standard output cannot be written: {OUT.trouble.strerror or OUT.trouble}")
    return FAILED if status == SUCCEEDED and given[0] not in ENDING else status


def _status(given: list[str]) -> int:
    try:
        with warnings.catch_warnings():
            _say_warnings()
            return _called(given)
    except KeyboardInterrupt:
        return CANCELLED
    except PenstockError as error:
        return tell(error)
    except Exception as error:  # noqa: BLE001 the last line of defence: no traceback of ours reaches a person
        return _defect(error)


def _say_warnings() -> None:
    """What Penstock warns of is one line for a person, said once; other warnings are shown as ever."""
    said: set[str] = set()
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, PassedOver):
            shown(message, category, *where, **more)
        elif str(message) not in said:
            said.add(str(message))
            _say(f"warning: {message}")

    warnings.simplefilter("always", PassedOver)
    warnings.showwarning = show


def tell(error: PenstockError) -> int:
    """Say what is wrong, and what to do; the exit status."""
    if isinstance(error, TargetFailed):
        if error.traceback:
            err(error.traceback.rstrip())
        _say(f"error: {error.message}", error.fix)
    else:
        _say(_errors(error), error.fix)
    return error.exit_status


def _called(given: list[str]) -> int:
    from cyclopts import CycloptsError

    if given[:1] == ["--version"]:
        given = ["version", *given[1:]]
    if given and not given[0].startswith("-") and given[0] not in VERBS:
        _say(f"error: there is no verb {given[0]!r}{_near(given[0])}", f"The verbs are {', '.join(VERBS)}.")
        return INVALID
    try:
        answer = make_app()(given, exit_on_error=False, print_error=False, result_action="return_value")
    except SystemExit:  # what prints --help, when nobody reads on
        return SUCCEEDED
    except CycloptsError as error:
        program = f"penstock {given[0]}" if given and given[0] in VERBS else "penstock"
        message = str(error).replace("Unused Tokens: ", "there is no place for ").strip(".")
        unused = [word for word in getattr(error, "unused_tokens", None) or () if _is_pair(word)]
        if unused:
            fix = f"A parameter is given with -p: {' '.join(f'-p {word}' for word in unused)}"
            _say(f"error: there is no place for {' '.join(unused)}", fix)
        else:
            _say(f"error: {message}", f"`{program} --help` shows what it takes.")
        return INVALID
    return answer if isinstance(answer, int) else SUCCEEDED


def _is_pair(word: str) -> bool:
    return "=" in word and word.partition("=")[0].isidentifier()


def _errors(error: PenstockError) -> str:
    """The message, each of its lines marked as an error; diagnostics say so by themselves."""
    if isinstance(error, InvalidPipeline):
        return error.message
    return "\n".join(line if line.startswith(" ") else f"error: {line}" for line in error.message.split("\n"))


def _near(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, VERBS, n=2)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def _say(message: str, fix: str = "") -> None:
    err(message)
    if fix:
        err(f"  {fix}")


def _defect(error: BaseException) -> int:
    """A defect of ours: its story goes into a file, a person gets one line."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="penstock-defect-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    _say(f"error: a defect of Penstock: {type(error).__name__}: {error}", f"Please report it with {file.name}.")
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
