"""Each mutant of `make mutants` still has its text in the sources: a change of the engine shows at once, not after minutes."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "mutants"))

from mutants import MUTANTS  # noqa: E402


def test_every_mutant_has_its_text_once() -> None:
    counts = {mutant.name: mutant.count(ROOT / "src" / "penstock") for mutant in MUTANTS if mutant.before}
    assert {name: count for name, count in counts.items() if count != 1} == {}
