"""The two ways in which a value cannot pass: it cannot be stored, or what is stored cannot be read."""

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
