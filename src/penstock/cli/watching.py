"""`run --watch`: run, wait until something that the run was made of is saved, run again, until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.app.outlets import OUT, err
from penstock.base.errors import PenstockError
from penstock.cli.main import CANCELLED, INVALID, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.app.results import RunResult
    from penstock.app.watching import Watch

NAMED_MAX = 5


def run_whenever_saved(watch: Watch, once: Callable[[], tuple[RunResult, int]]) -> int:
    """The exit status of the last run. A file that is saved in the middle of a run changes nothing in it, and has it run again
    when it has ended."""
    status = INVALID
    try:
        while True:
            watch.begin()
            result: RunResult | None = None
            try:
                result, status = once()
            except PenstockError as error:
                status = tell(error)
            if status == CANCELLED:
                return status
            OUT.flush()
            _say("waiting for a file to be saved (Ctrl-C ends)")
            changed = watch.wait(result)
            _say(f"\nchanged: {_named(changed)}")
    except KeyboardInterrupt:
        _say("")
        return status


def _named(changed: Sequence[str]) -> str:
    more = f" and {len(changed) - NAMED_MAX:,} more" if len(changed) > NAMED_MAX else ""
    return ", ".join(changed[:NAMED_MAX]) + more


def _say(text: str) -> None:
    err(text)
