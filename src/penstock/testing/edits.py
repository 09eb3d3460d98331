"""Random programs under random edits: is a changed result ever taken for an unchanged one, and is a cosmetic edit ever
taken for a change?

    python -m penstock.testing.edits --edits 300 [--seed 0]

The truth is naive: after every edit each task is run in a fresh process, and what it answers is compared. A task whose
answer has changed while its code counts as the same is *stale*; one whose code counts as changed after a cosmetic edit
is *needless*. What cannot be followed is reported and not cached, so it is neither. Exit status 1 for anything
stale."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from penstock.testing.alterations import edit_of
from penstock.testing.apart import Apart, Code, codes_apart, results_apart
from penstock.testing.programs import Author, Program

EDITS_PER_PROGRAM = 12


@dataclass(slots=True)
class Found:
    """What came of some edits. `comparisons` are pairs of an edit and a task, `stale` and `needless` say where they
    were seen, so that they can be seen again."""

    edits: int = 0
    cosmetic: int = 0
    programs: int = 0
    comparisons: int = 0
    changed: int = 0
    reported: int = 0
    kept: int = 0
    stale: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def needless_share(self) -> float:
        """Cosmetic edits after which anything would run again, as a share of all cosmetic edits."""
        return len({each.partition(" task_")[0] for each in self.needless}) / max(1, self.cosmetic)

    def text(self) -> str:
        return (
            f"{self.edits:,} edits of {self.programs:,} programs, {self.cosmetic:,} of them cosmetic; "
            f"{self.comparisons:,} comparisons: {self.changed:,} answers changed, {self.reported:,} reported and "
            f"not cached, {self.kept:,} rightly kept; {len(self.stale)} stale; "
            f"needless {self.needless_share:.2%} of cosmetic edits"
        )


def try_edits(number: int, *, seed: int = 0, folder: Path) -> Found:
    """Make programs and edit them until so many edits have been tried. The same seed does the same."""
    found = Found()
    while found.edits < number:
        name = f"{seed}-{found.programs}"
        found.programs += 1
        place = folder / name
        place.mkdir(parents=True)
        try:
            _try_program(found, number, name, place.resolve())
        finally:
            shutil.rmtree(place)
    return found


def _try_program(found: Found, number: int, name: str, place: Path) -> None:
    random = Random(name)
    program = Author(random).program()
    project, scratch = place / "project", place / "scratch"
    _write(project, program)
    try:
        before = _look(project, program, scratch)
    except Apart:
        return  # a program that cannot be imported has no results
    for _ in range(EDITS_PER_PROGRAM):
        if found.edits >= number:
            return
        edit = edit_of(program, random)
        old = program.files[edit.file]
        program.files[edit.file] = edit.text
        _write(project, program)
        try:
            after = _look(project, program, scratch)
        except Apart:
            program.files[edit.file] = old
            _write(project, program)
            continue
        found.edits += 1
        found.cosmetic += edit.is_cosmetic
        found.kinds[edit.what] += 1
        where = f"program {name}, edit {found.edits}: {edit.what} in {edit.file}"
        _judge(found, where, before, after, is_cosmetic=edit.is_cosmetic)
        before = after


_Look = tuple[dict[str, Any], dict[str, Code]]


def _look(project: Path, program: Program, scratch: Path) -> _Look:
    """(answers, codes) of all tasks."""
    return results_apart(project, "target", program.tasks), codes_apart(project, "target", scratch=scratch)


def _judge(found: Found, where: str, before: _Look, after: _Look, *, is_cosmetic: bool) -> None:
    for task, code in after[1].items():
        found.comparisons += 1
        has_changed = before[0][task] != after[0][task]
        is_same = before[1][task].key == code.key
        found.changed += has_changed
        if has_changed and is_cosmetic:
            raise AssertionError(f"{where}: not cosmetic, {task} answered {before[0][task]}, now {after[0][task]}")
        if code.unresolved:
            found.reported += 1
        elif has_changed and is_same:
            found.stale.append(f"{where}: {task} answered {before[0][task]}, now {after[0][task]}")
        elif is_cosmetic and not is_same:
            found.needless.append(f"{where} {task}: {_differing(before[1][task], code)}")
        else:
            found.kept += is_same


def _differing(before: Code, after: Code) -> list[str]:
    """The units and parts that are not the same."""
    old, new = {**before.units, **before.parts}, {**after.units, **after.parts}
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _write(project: Path, program: Program) -> None:
    for name, text in program.files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--edits", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found = try_edits(given.edits, seed=given.seed, folder=Path(folder))
    lines = [*(f"stale: {each}" for each in found.stale), *(f"needless: {each}" for each in found.needless[:20])]
    lines += [f"{found.text()}, in {time.perf_counter() - begun:.0f} s"]
    lines += [", ".join(f"{name} {count}" for name, count in sorted(found.kinds.items()))]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if found.stale else 0


if __name__ == "__main__":
    sys.exit(main())
