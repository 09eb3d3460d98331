"""The errors that Penstock raises. Each has an exit status and text written for the person who reads it; a traceback of
ours never reaches a user."""

from __future__ import annotations

from penstock.base.diagnostics import Diagnostic


class PenstockError(Exception):
    """Something that a person can act on. `fix` says what to do."""

    exit_status = 1

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  {self.fix}" if self.fix else self.message

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback, which would be of our own lines."""
        return [f"{type(self).__name__}: {self}"]


class RunFailed(PenstockError):
    """A run did not succeed. `run_id` names it, `state` says how it ended (`failed`, `cancelled`), `result` is what
    `Pipeline.run(..., check=False)` would have given. Its cause (`__cause__`) is what the first task that failed raised."""

    def __init__(self, message: str, *, run_id: str, state: str, result: object = None) -> None:
        super().__init__(
            message, fix=f"`penstock show {run_id}` says what happened; `penstock logs {run_id}` what was printed."
        )
        self.run_id = run_id
        self.state = state
        self.result = result
        self.exit_status = 3 if state == "cancelled" else 1


RunFailed.__module__ = "penstock"  # where it is public, and what a traceback calls it


class TaskFailed(Exception):
    """How a task run ended that raised nothing, or an exception that this process cannot have."""


class InvalidInput(PenstockError):
    """What the user gave cannot be used: a target, a parameter, a setting. Nothing was created."""

    exit_status = 2


class PassedOver(UserWarning):
    """Project files are not read, because another user may have written them."""


class InvalidPipeline(InvalidInput):
    """A pipeline with diagnostics of severity error; all of them are in `diagnostics`."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        super().__init__("\n".join(str(d) for d in diagnostics))
        self.diagnostics = diagnostics


class TargetFailed(InvalidInput):
    """The target's own code raised while it was imported; `traceback` starts at the user's first line."""

    def __init__(self, message: str, *, traceback: str = "", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.traceback = traceback

    def _render_traceback_(self) -> list[str]:
        return [*([self.traceback.rstrip()] if self.traceback else []), f"{type(self).__name__}: {self}"]


class StoreUnavailable(PenstockError):
    """The state or artifact store cannot be used now: disk full, read-only, permission, corrupt, newer schema.
    Nothing was half-written; the same command can be given again once the cause is mended."""


class CommitUnknown(StoreUnavailable):
    """A commit may or may not have happened; the store must be read again before anything else is decided."""


class LeaseLost(PenstockError):
    """Another controller holds a run now. `run_ids` names the runs; nothing of the commit was written."""

    def __init__(self, run_ids: tuple[str, ...]) -> None:
        super().__init__(f"another controller took over {', '.join(run_ids)}")
        self.run_ids = run_ids


class ClaimLost(PenstockError):
    """Another controller computes some of these keys now, or has computed them; nothing of the commit was written."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(f"{len(keys)} cache keys are computed by another controller")
        self.keys = keys


class ArtifactMissing(PenstockError):
    """The artifact store holds no such content."""


class ArtifactCorrupt(PenstockError):
    """Stored bytes no longer have the digest they are stored under."""


class ExpressionError(PenstockError):
    """A CEL expression failed to parse, check or evaluate; `position` is a character offset in its text."""

    exit_status = 2

    def __init__(self, message: str, *, position: int = 0) -> None:
        super().__init__(message)
        self.position = position
