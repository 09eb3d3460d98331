"""How an exception that left user code ends its attempt."""

from __future__ import annotations

from penstock.launcher.inner.allocators import wants_memory
from penstock.launcher.inner.answers import Fail, NotYet, Skip
from penstock.launcher.inner.held import held_by, places_of
from penstock.launcher.inner.traces import failure_of, message_of, traceback_text
from penstock.wire import Cancelled, Failed, Failure, Outcome, OutOfMemory, Skipped
from penstock.wire import NotYet as NotYetOutcome

CHAIN_LENGTH_MAX = 100


class Stopped(BaseException):
    """Raised in the main thread when the attempt is asked to stop. Not an Exception, so that user code that catches
    everything still lets it through; `finally` clauses run."""


def outcome_of(error: BaseException) -> Outcome:
    """The outcome that an exception stands for."""
    if isinstance(error, Skip):
        return Skipped(error.why)
    if isinstance(error, Fail):
        return Failed(failure_of(error), final=True)
    if isinstance(error, NotYet):
        return NotYetOutcome(error.after_ms, error.why)
    if was_stopped(error):
        return Cancelled(message_of(error) if isinstance(error, Stopped) else "asked to stop")
    device = wants_memory(error)
    if device is not None:
        return out_of_memory(error, device)
    if isinstance(error, (SystemExit, KeyboardInterrupt, GeneratorExit)):
        return Failed(_failure_of_exit(error))
    return Failed(failure_of(error))


def out_of_memory(error: BaseException, device: str = "") -> OutOfMemory:
    """An exception that means want of memory, with what the functions held that it came through."""
    name = type(error).__name__
    text = message_of(error)
    why = text if not text or name in ("MemoryError", "_ArrayMemoryError") else f"{name}: {text}"
    return OutOfMemory(why or name, frames=held_by(places_of(error)), device=device)


def was_stopped(error: BaseException | None) -> bool:
    """Whether an exception is `Stopped`, or came up while one was handled."""
    for _ in range(CHAIN_LENGTH_MAX):
        if error is None or isinstance(error, Stopped):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, Stopped)


def _failure_of_exit(error: BaseException) -> Failure:
    failure = failure_of(error)
    if isinstance(error, SystemExit):
        message = f"the task called sys.exit({error.code!r:.200}): return or raise an exception instead"
    else:
        message = f"the task raised {type(error).__name__}"
    return Failure(failure.type, message, failure.bases, traceback_text(error))
