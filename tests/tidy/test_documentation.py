"""What a person can meet is documented: settings, verbs, diagnostic codes, causes, states."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

from penstock.cli.main import VERBS
from penstock.settings import TABLE
from penstock.wire import OUTCOME_KINDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def documented(page: str) -> set[str]:
    """The names that stand in the first column of a page's tables."""
    return set(re.findall(r"^\| `([a-z_-]+)`", (DOCS / page).read_text(), flags=re.MULTILINE))


def first_words(folder: str, *, names: str, form: str) -> set[str]:
    """The texts of `form` that stand first in calls of functions whose name is of `names`."""
    found = set()
    for path in sorted((ROOT / "src" / "penstock" / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            if re.fullmatch(names, ast.unparse(node.func).rpartition(".")[2]) and isinstance(node.args[0].value, str):
                found |= {node.args[0].value} & set(re.findall(form, node.args[0].value))
    return found


def test_every_setting_is_documented() -> None:
    assert documented("settings.md") == set(TABLE)


def test_every_verb_is_documented() -> None:
    assert set(re.findall(r"^## penstock ([a-z]+)$", (DOCS / "cli.md").read_text(), flags=re.MULTILINE)) == set(VERBS)


def test_every_diagnostic_is_documented() -> None:
    kebab = r"[a-z]+(?:-[a-z]+)+|cycle"
    used = {
        code
        for folder in ("graph", "authoring", "plan", "code", "launcher")
        for code in first_words(folder, names="_?report|Diagnostic|_?complain", form=kebab)
    }
    assert len(used) > 40, "the codes are no longer found in the source"
    assert used - documented("diagnostics.md") == set()
    gone = documented("diagnostics.md") - used
    sources = "".join(path.read_text() for path in sorted((ROOT / "src" / "penstock").rglob("*.py")))
    assert {code for code in gone if f'"{code}"' not in sources} == set()


def test_every_cause_is_documented() -> None:
    used = first_words("engine", names="Cause|caused", form=r"[a-z_]+") | {"cancel", "kill", "fail_fast", "timed_out"}
    assert len(used) > 20, "the causes are no longer found in the source"
    assert documented("causes.md") == used
    page = (DOCS / "causes.md").read_text()
    assert {kind for kind in OUTCOME_KINDS if f"`{kind}`" not in page} == set()


def test_lifecycle_is_drawn_from_the_tables() -> None:
    place = importlib.util.spec_from_file_location("draw_lifecycle", ROOT / "tools" / "draw_lifecycle.py")
    assert place is not None
    assert place.loader is not None
    drawing = importlib.util.module_from_spec(place)
    place.loader.exec_module(drawing)
    assert (DOCS / "lifecycle.md").read_text() == drawing.page(), "run tools/draw_lifecycle.py"
    for name, text in drawing.pictures().items():
        assert (DOCS / "images" / name).read_text() == text, "run tools/draw_lifecycle.py"


def numbers_cited(of: str) -> set[int]:
    """The rules of a page that the sources and tests cite: `semantics 5, 11`, `cache rules 10 to 12`."""
    cited: set[int] = set()
    for path in [*(ROOT / "src").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        for first, rest in re.findall(rf"{of} (\d+)((?:(?:,| and| to) \d+)*)", path.read_text()):
            cited |= {int(first), *map(int, re.findall(r"\d+", rest))}
    return cited


def test_every_rule_of_semantics_that_is_cited_exists() -> None:
    page = (DOCS / "semantics.md").read_text()
    rules = [int(number) for number in re.findall(r"^\*\*(\d+)\.\*\* ", page, flags=re.MULTILINE)]
    assert rules == list(range(1, len(rules) + 1))
    assert len(numbers_cited("semantics")) > 20, "citations are no longer found"
    assert numbers_cited("semantics") <= set(rules)


def test_every_cache_rule_that_is_cited_exists() -> None:
    page = (DOCS / "cache.md").read_text()
    rules = [int(number) for number in re.findall(r"^\*\*(\d+)\. ", page, flags=re.MULTILINE)]
    assert rules == list(range(1, 17))
    assert numbers_cited("cache rules?") <= set(rules)


def test_what_semantics_names_exists() -> None:
    page = (DOCS / "semantics.md").read_text()
    assert [path for path in re.findall(r"`(tests/[\w/.]+)`", page) if not (ROOT / path).exists()] == []
    named = set(re.findall(r"`(_?[A-Za-z_]+(?:\._[a-z_]+)?)`", "".join(re.findall(r"\*Evaluated by [^*]+\*", page))))
    assert len(named) > 10
    sources = "".join((ROOT / "src/penstock/testing" / name).read_text() for name in ("naive.py", "naive_values.py"))
    assert {name for name in named if f"def {name.rpartition('.')[2]}(" not in sources} == set()
