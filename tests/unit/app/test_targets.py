from __future__ import annotations

from pathlib import Path

import pytest

from penstock.app.targets import parse_target, require_graph
from penstock.base.diagnostics import Diagnostic, Location
from penstock.base.errors import InvalidInput, InvalidPipeline, TargetFailed
from penstock.settings import find_project
from penstock.wire import Description, Failure


def test_files_are_absolute_and_modules_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    assert parse_target("a.py", folder=tmp_path).text == f"{tmp_path}/a.py"
    assert parse_target("a.py:flights", folder=tmp_path).text == f"{tmp_path}/a.py:flights"
    (tmp_path / "b.yaml").write_text("")
    assert parse_target("b.yaml:flights-by-night", folder=tmp_path).text == f"{tmp_path}/b.yaml:flights-by-night"
    assert parse_target("package.module:flights", folder=tmp_path).text == "package.module:flights"


def test_a_module_is_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sales = tmp_path / "services" / "sales"
    for path, text in (
        (tmp_path / "pyproject.toml", ""),
        (sales / "pyproject.toml", ""),
        (sales / "src" / "shop" / "__init__.py", ""),
        (sales / "src" / "shop" / "flow.py", "raise SystemExit('imported')"),
        (sales / "inner" / "deep.py", "raise SystemExit('imported')"),
        (tmp_path / "installed" / "edited" / "__init__.py", "raise SystemExit('imported')"),
        (tmp_path / "installed" / "edited" / "flow.py", ""),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    found = parse_target("shop.flow:main", folder=sales)
    assert (found.folder, found.root) == (sales / "src" / "shop", str(sales / "src"))
    assert found.shown(sales) == "shop.flow:main"
    found = parse_target("services.sales.inner.deep:main", folder=tmp_path)
    assert (found.folder, found.root) == (sales / "inner", str(tmp_path))
    assert found.shown(sales) == "inner/deep.py:main", "found again from the project"
    assert find_project(found.folder).folder == sales
    found = parse_target("edited.flow:main", folder=tmp_path)
    assert (found.folder, found.root) == (tmp_path / "installed" / "edited", str(tmp_path / "installed"))
    found = parse_target("absent.flow:main", folder=tmp_path)
    assert (found.folder, found.root, found.shown(tmp_path)) == (tmp_path, "", "absent.flow:main")
    assert parse_target("json.tool:main", folder=tmp_path).folder == tmp_path, "the library's are nobody's project"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not a target"),
        (":", "not a target"),
        ("a.py:", "not a target"),
        ("a.py:x y", "not a target"),
        ("aa.py", "there is no file aa.py; did you mean a.py?"),
        ("no/b.py", "nor is there a folder"),
        ("nosuch.yaml", "there is no file nosuch.yaml"),
        ("folder", "is a folder"),
        ("data.csv", "is neither Python nor YAML"),
        ("a", "there is no 'a' here; did you mean a.py?"),
        ("folder.py", "is not a file"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.py").write_text("")
    (tmp_path / "data.csv").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(InvalidInput) as caught:
        parse_target(text, folder=tmp_path)
    assert told in caught.value.message
    assert caught.value.fix


def test_descriptions_become_errors() -> None:
    with pytest.raises(TargetFailed) as failed:
        require_graph(Description(failure=Failure("builtins:ValueError", "no", (), "Traceback ...")), target="a.py")
    assert failed.value.message == "a.py cannot be imported: ValueError: no"
    assert failed.value.traceback == "Traceback ..."
    with pytest.raises(InvalidInput, match="there is no pipeline"):
        require_graph(Description(error="there is no pipeline"), target="a.py")
    wrong = Diagnostic("cycle", "a waits for b", "Cut it.", Location("a.py", 3))
    with pytest.raises(InvalidPipeline, match=r"a\.py:3: error: a waits for b"):
        require_graph(Description(diagnostics=(wrong.to_json(),)), target="a.py")
    warned = Diagnostic("loop-invariant", "m", severity="warning")
    require_graph(Description(graph={}, diagnostics=(warned.to_json(),)), target="a.py")
