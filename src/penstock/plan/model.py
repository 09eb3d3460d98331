"""The plan: a graph with everything worked out that does not depend on values. Pure data (filled in by `plan.passes`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    pass
