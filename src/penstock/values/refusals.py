"""The ways in which a value cannot pass: it cannot be stored, what is stored cannot be read, or what it comes from is not
there."""

from __future__ import annotations

from penstock.base.errors import PenstockError


class ValueRefused(PenstockError):
    """A value that cannot be stored as what it was declared to be; the text says why and what to do."""


class ValueUnreadable(PenstockError):
    """Stored content that cannot be made into a value here: its class is gone, its package is not installed."""


class ContentLost(PenstockError):
    """The store no longer has the content of an artifact, or has it damaged."""

    def __init__(self, digest: str, message: str) -> None:
        super().__init__(message)
        self.digest = digest


class SourceMissing(PenstockError):
    """A declared input is not there: no such file or folder, no such variable for its address, an address that answers
    404."""


class SourceUnavailable(PenstockError):
    """A declared input could not be asked: the network, a server, a database; or it changed while it was read."""
