"""How Python values become datums and come back. One file a family of types; a family's third-party packages are
imported only when one of its values is written or read. A value of no known type is refused with advice, never
pickled in silence.

`register` is the public door for a user's own types."""

from __future__ import annotations

from penstock.values.custom import register
from penstock.values.refusals import ValueRefused, ValueUnreadable

__all__ = ["ValueRefused", "ValueUnreadable", "register"]
