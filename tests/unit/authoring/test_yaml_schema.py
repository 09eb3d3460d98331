"""One description of pipeline files, of which the JSON Schema and the page of reference are made."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.forms import Either, Form, ListOf, MapOf, Plain, Use
from penstock.authoring.yaml.json_schema import json_schema
from penstock.authoring.yaml.kinds import KINDS
from penstock.authoring.yaml.load import load
from penstock.authoring.yaml.reading import read
from penstock.authoring.yaml.schema import RECORDS
from penstock.authoring.yaml.tree import Source, value_of
from penstock.authoring.yaml.write import write
from penstock.graph.codec import graph_digest
from penstock.graph.model import Function, InputSpec, OutputSpec
from penstock.graph.types import ANY, FLOAT, PATH

ROOT = Path(__file__).parents[3]


def forms_in(form: Form) -> list[Form]:
    if isinstance(form, Either):
        return [form, *(inner for each in form.forms for inner in forms_in(each))]
    if isinstance(form, (ListOf, MapOf)):
        return [form, *forms_in(form.item)]
    return [form]


def test_the_page_of_reference_is_made_from_the_schema() -> None:
    place = importlib.util.spec_from_file_location("write_yaml_reference", ROOT / "tools" / "write_yaml_reference.py")
    assert place is not None
    assert place.loader is not None
    writing = importlib.util.module_from_spec(place)
    place.loader.exec_module(writing)
    assert (ROOT / "docs" / "yaml.md").read_text() == writing.page(), "run tools/write_yaml_reference.py"


def test_every_record_and_kind_that_is_used_is_there() -> None:
    used = [form for record in RECORDS.values() for key in record.keys for form in forms_in(key.form)]
    assert {form.record for form in used if isinstance(form, Use)} | {"file"} == set(RECORDS)
    assert {form.kind for form in used if isinstance(form, Plain)} <= set(KINDS)


def test_the_json_schema_stands_by_itself() -> None:
    schema = json_schema()
    text = json.dumps(schema)
    referred = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert referred == set(schema["$defs"])
    assert schema["$defs"]["task"]["properties"]["retry"]["description"].startswith("How many attempts")


# -- the schema beside what loads ---------------------------------------------------------------------------------------


def example() -> str:
    page = (ROOT / "docs" / "yaml.md").read_text()
    return page.partition("```yaml\n")[2].partition("```")[0]


def anything(text: str) -> Found:
    """A function of any inputs, as if it were there."""
    module, _, name = text.partition(":")
    takes = {
        "load": ["table", "days"], "grid": [], "train": ["table", "params"], "best": ["models", "scores"],
        "improve": ["model"], "explain": ["score"], "write": ["score"], "tell": [], "upload": ["model", "to"],
    }[name]  # fmt: skip
    gives = {"load": ["table", "file"], "train": ["model", "score"], "best": ["model"], "improve": ["model", "score"]}
    types = {"score": FLOAT, "file": PATH}
    inputs = tuple(InputSpec(each, ANY) for each in takes)
    outputs = tuple(OutputSpec(each, types.get(each, ANY)) for each in gives.get(name, ["output"]))
    return Found(Function(module, name, inputs, outputs))


def test_the_example_of_the_page_loads_and_survives_being_written() -> None:
    found = load("pipeline.yaml", read_file=lambda _path: example().encode(), find=anything)
    assert [str(each) for each in found.diagnostics] == []
    assert found.names == ("churn", "deploy")
    assert found.graph is not None
    text = write(found.graph, found.functions)
    again = load("again.yaml", read_file=lambda _path: text.encode(), find=anything)
    assert again.graph is not None
    assert graph_digest(again.graph) == graph_digest(found.graph)


def read_data(text: str) -> Any:
    root = read(Source("file", text, []))
    return None if root is None else value_of(root)


@pytest.mark.parametrize("path", [*sorted((ROOT / "examples").rglob("*.yaml")), None], ids=str)
def test_editors_accept_what_loads(path: Path | None) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(json_schema())
    validator = jsonschema.Draft202012Validator(json_schema())
    text = example() if path is None else path.read_text()
    assert [error.message for error in validator.iter_errors(read_data(text))] == []


@pytest.mark.parametrize(
    "name", ["unknown_keys", "task_says_two_things", "stray_keys", "wrong_kinds", "no_version", "bad_names"]
)
def test_editors_refuse_what_has_the_wrong_form(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    text = (ROOT / "tests" / "golden" / "yaml_mistakes" / f"{name}.yaml").read_text()
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(read_data(text))


def test_the_error_that_the_page_shows_is_the_one_that_is_told() -> None:
    wrong = example().replace("model: ${best.model}", "model: ${bst.model}", 1).encode()
    (told,) = load("pipeline.yaml", read_file=lambda _path: wrong, find=anything).diagnostics
    assert f"```text\n{told}\n```" in (ROOT / "docs" / "yaml.md").read_text()
