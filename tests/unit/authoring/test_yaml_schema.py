"""One description of pipeline files, of which the JSON Schema and the page of reference are made."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from penstock.authoring.yaml.forms import Either, Form, ListOf, MapOf, Plain, Use
from penstock.authoring.yaml.json_schema import json_schema
from penstock.authoring.yaml.kinds import KINDS
from penstock.authoring.yaml.schema import RECORDS

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
