"""An end for want of memory as a person reads it: how much it took of how much it had, when, and which functions held it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from penstock.base.sizes import size_text
from penstock.wire import Held, OutOfMemory, outcome_from_json

KIND = "out_of_memory"


def post_mortem_of(outcome: str | None, failure: Mapping[str, Any] | None) -> OutOfMemory | None:
    """What is stored of an attempt that ended for want of memory; None for any other."""
    if outcome != KIND or not failure:
        return None
    told = outcome_from_json(failure)
    return told if isinstance(told, OutOfMemory) else None


def post_mortem_lines(outcome: OutOfMemory) -> list[str]:
    """What is known beside `why`; nothing where nothing is."""
    facts = []
    if outcome.peak_bytes:
        facts.append(f"peak {size_text(outcome.peak_bytes)}")
    if outcome.limit_bytes:
        facts.append(f"limit {size_text(outcome.limit_bytes)}")
    if outcome.at:
        facts.append(f"at {datetime.fromtimestamp(outcome.at / 1000, tz=UTC):%Y-%m-%d %H:%M:%S} UTC")
    lines = [", ".join(facts)] if facts else []
    if outcome.frames:
        sized = any(held.size_bytes for held in outcome.frames)
        lines.append("held then, the most first:" if sized else "where it was then:")
        lines += [f"  {_held_text(held)}" for held in outcome.frames]
    return lines


def _held_text(held: Held) -> str:
    where = held.where.removeprefix(f"{Path.cwd()}/")
    if not held.size_bytes:
        return where
    names = ", ".join(f"{name} {size_text(size)}" for name, size in held.largest if size)
    return f"{where}: {size_text(held.size_bytes)}" + (f" ({names})" if names else "")
