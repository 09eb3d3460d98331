"""Every trap of `docs/cache.md`: a tiny project before and after an edit, and whether its task `m:fit` then counts as
changed, does not, or is reported as something that cannot be followed.

In `traps/*.txt`, `=== name` begins a trap, `--- file` a file of the project, `++ file` what it is afterwards, `@@ file:
old => new` replaces text in a file, `$$ NAME: old => new` sets a variable of the environment. The tasks of `reads.txt`,
`links.txt` and `asked.txt` run: `%% file: SQL` is done in a database before, `!! file: SQL` after; so are `close: file`,
`remove: file`, `touch: file`, `link: name -> target`.
Those of `artifacts.txt` have a task `make`, whose output `fit` is given."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest

from penstock.controller.answers import ProjectFiles
from penstock.testing.apart import Code, attempt_apart, codes_apart
from penstock.values.reads import digest_of_read

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "cache.md"
RERUNS, DOES_NOT, REPORTED = "re-runs", "does not", "reported and not cached"


@dataclass
class Trap:
    name: str
    files: dict[str, list[str]] = field(default_factory=dict)
    afterwards: dict[str, list[str]] = field(default_factory=dict)
    edits: list[tuple[str, str, str]] = field(default_factory=list)
    variables: list[tuple[str, str, str]] = field(default_factory=list)
    before: list[tuple[str, str]] = field(default_factory=list)
    after: list[tuple[str, str]] = field(default_factory=list)
    judged_by: str = ""

    @property
    def variables_then(self) -> dict[str, str]:
        return {name: value for name, value, _ in self.variables}


def traps_in(file: Path) -> Iterator[Trap]:
    trap, lines = None, []
    for line in file.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "===":
            if trap is not None:
                yield trap
            trap = Trap(rest, judged_by=file.stem)
        elif trap is not None and kind in ("---", "++"):
            lines = (trap.files if kind == "---" else trap.afterwards).setdefault(rest, [])
        elif trap is not None and kind in ("@@", "$$"):
            name, _, change = rest.partition(": ")
            old, _, new = change.partition(" => ")
            (trap.edits if kind == "@@" else trap.variables).append((name, old, new.replace("\\n", "\n")))
            lines = []
        elif trap is not None and kind in ("%%", "!!"):
            name, _, what = rest.partition(": ")
            (trap.before if kind == "%%" else trap.after).append((name, what))
        else:
            lines.append(line)
    assert trap is not None
    yield trap


TRAPS = [trap for file in sorted((HERE / "traps").glob("*.txt")) for trap in traps_in(file)]


def write(project: Path, files: dict[str, list[str]]) -> None:
    for name, lines in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "\n".join(lines).rstrip("\n").replace("{project}", str(project)) + "\n"
        text = text.replace("{above}", str(project.parent))
        docstring = text.startswith('"""')
        path.write_text(f"from penstock import task\n{text}" if name == "m.py" and not docstring else text)


def change(project: Path, trap: Trap) -> None:
    write(project, trap.afterwards)
    for name, old, new in trap.edits:
        path = project / name
        text = path.read_text()
        assert old in text, f"{trap.name}: {old!r} is not in {name}"
        path.write_text(text.replace(old, new))


def act(project: Path, acts: list[tuple[str, str]], connections: dict[str, sqlite3.Connection]) -> None:
    """Databases stay open, so that what is written ahead stays where it is."""
    for name, what in acts:
        if name == "remove":
            (project / what).unlink()
        elif name == "link":
            link, _, target = what.partition(" -> ")
            (project / link).unlink(missing_ok=True)
            (project / link).symlink_to(target.replace("{project}", str(project)))
        elif name == "touch":
            os.utime(project / what, ns=(10**18, 10**18))
        elif name.endswith(".duckdb"):
            with duckdb.connect(project / name) as database:
                database.execute(what)
        elif name == "close":
            connections.pop(what).close()
        else:
            if name not in connections:
                connections[name] = sqlite3.connect(project / name, isolation_level=None)
            connections[name].executescript(what)


def outcome_of_reads(project: Path, trap: Trap, scratch: Path) -> str:
    """The task is run: what it read then must be what there is afterwards."""
    connections: dict[str, sqlite3.Connection] = {}
    try:
        write(project, trap.files)
        act(project, trap.before, connections)
        code = look(project, trap, scratch, after=False)
        first = attempt_apart(project, "m", "fit", variables=trap.variables_then)
        assert first.outcome["kind"] == "succeeded", first.outcome
        change(project, trap)
        act(project, trap.after, connections)
        if code.unresolved or first.outside:
            return REPORTED
        files = ProjectFiles(project, digest_of_read)
        with pytest.MonkeyPatch.context() as environment:
            for name, _, value in trap.variables:
                environment.setenv(name, value)
            same = all(files.digest_at(path) == digest for path, digest in first.reads.items())
        return DOES_NOT if same and look(project, trap, scratch, after=True).key == code.key else RERUNS
    finally:
        for connection in connections.values():
            connection.close()


def outcome_of_artifacts(project: Path, trap: Trap, scratch: Path) -> str:
    """What the task `make` returns is what `fit` is given: it counts with the code that it names."""
    keys = []
    for act_first in (lambda: write(project, trap.files), lambda: change(project, trap)):
        act_first()
        made = attempt_apart(project, "m", "make")
        assert made.outcome["kind"] == "succeeded" and not made.outside, made
        output = made.outcome["outputs"]["output"]
        keys.append((output["artifact"], output["code"], look(project, trap, scratch, after=False).key))
    assert keys[0][0] == keys[1][0], "the bytes say it already"
    return DOES_NOT if keys[0] == keys[1] else RERUNS


JUDGES = {
    "asked": outcome_of_reads,
    "links": outcome_of_reads,
    "reads": outcome_of_reads,
    "started": outcome_of_reads,
    "called": outcome_of_reads,
    "artifacts": outcome_of_artifacts,
}


def look(project: Path, trap: Trap, scratch: Path, *, after: bool) -> Code:
    variables = {name: new if after else old for name, old, new in trap.variables}
    return codes_apart(project, "m", variables=variables, scratch=scratch)["fit"]


def outcome(project: Path, trap: Trap, scratch: Path) -> str:
    write(project, trap.files)
    before = look(project, trap, scratch, after=False)
    assert look(project, trap, scratch, after=False) == before, "looked at twice, it is two things"
    change(project, trap)
    after = look(project, trap, scratch, after=True)
    if after.unresolved:
        return REPORTED
    return DOES_NOT if before.key == after.key else RERUNS


def documented() -> dict[str, str]:
    rows = re.findall(
        r"^\| (.+?) \| \*(re-runs|does not|reported and not cached)\* \|", PAGE.read_text(), flags=re.MULTILINE
    )
    return dict(rows)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all traps: what is kept of one must not show in another."""
    return tmp_path_factory.mktemp("scratch")


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_trap(trap: Trap, tmp_path: Path, scratch: Path) -> None:
    judge = JUDGES.get(trap.judged_by, outcome)
    assert judge(tmp_path, trap, scratch) == documented()[trap.name]


def test_the_page_names_the_traps_that_are_tried() -> None:
    names = [trap.name for trap in TRAPS]
    assert len(names) == len(set(names)) >= 60
    assert sorted(documented()) == sorted(names)
