"""Identifiers. A run's id is given to it once; every other id derives from its parent's, so that doing a thing twice is
doing it once: `RUN/train/3/fit` is a task run, `RUN/train~1/3/fit#2` the second attempt in generation 1 of `train`."""

from __future__ import annotations

import re
from typing import NewType

RunId = NewType("RunId", str)
AttemptId = NewType("AttemptId", str)

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def run_id(created_at_ms: int, entropy: int) -> RunId:
    """A run id that sorts by time: nine characters of milliseconds, then four of `entropy` (base 32)."""
    time, tail = created_at_ms, entropy
    digits = ""
    for _ in range(4):
        digits = _ALPHABET[tail % 32] + digits
        tail //= 32
    for _ in range(9):
        digits = _ALPHABET[time % 32] + digits
        time //= 32
    return RunId(digits)


def attempt_id(run: str, path: str, number: int) -> AttemptId:
    return AttemptId(f"{run}/{path}#{number}")


def split_attempt_id(attempt: str) -> tuple[RunId, str, int]:
    """(run, task-run path, number) of an attempt id. Raises ValueError on anything else."""
    task_run, hash_sign, number = attempt.rpartition("#")
    run, slash, path = task_run.partition("/")
    if not (hash_sign and slash and path):
        raise ValueError(f"not an attempt id: {attempt!r}")
    return RunId(run), path, int(number)
