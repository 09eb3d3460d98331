"""The schema of pipeline files as JSON Schema (https://json-schema.org/draft/2020-12), for editors that complete and check."""

from __future__ import annotations

from typing import Any

from penstock.authoring.yaml.forms import Anything, Choice, Either, Form, Key, ListOf, MapOf, Plain, Record, Use
from penstock.authoring.yaml.kinds import KINDS
from penstock.authoring.yaml.schema import RECORDS, VERSION
from penstock.base.ids import NAME

Json = dict[str, Any]


def json_schema() -> Json:
    """The whole schema; every record stands below `$defs`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Penstock pipeline file, version {VERSION}",
        "$ref": "#/$defs/file",
        "$defs": {name: _record(record) for name, record in RECORDS.items()},
    }


def _record(record: Record) -> Json:
    schema: Json = {"description": record.says, "type": "object", "properties": {}}
    for key in record.keys:
        schema["properties"][key.name] = _key(
            key, [forms[key.name] for forms in record.instead.values() if key.name in forms]
        )
    required = [key.name for key in record.keys if key.required]
    if required:
        schema["required"] = required
    if record.exactly_one:
        schema["oneOf"] = [{"required": [name]} for name in record.exactly_one]
    if record.only_with:
        schema["dependentSchemas"] = {
            name: {"anyOf": [{"required": [beside]} for beside in needed]} for name, needed in record.only_with.items()
        }
    schema["additionalProperties"] = False if record.others is None else _form(record.others)
    return schema


def _key(key: Key, instead: list[Form]) -> Json:
    schemas = [_form(form) for form in (key.form, *instead)]
    if key.unset:
        schemas.append({"type": "null"})
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    says = f"{key.says} Default: {key.default}." if key.default else key.says
    return {"description": says, **schema}


def _form(form: Form) -> Json:
    match form:
        case Plain(kind, least):
            schema = dict(KINDS[kind].schema)
            return {**schema, "minimum": least} if least is not None else schema
        case Choice(options):
            return {"enum": list(options)}
        case ListOf(item, or_one):
            listed: Json = {"type": "array", "items": _form(item)}
            return {"anyOf": [_form(item), listed]} if or_one else listed
        case MapOf(item, keys):
            names: Json = {"propertyNames": {"pattern": f"^{NAME.pattern}$"}} if keys == "name" else {}
            return {"type": "object", "additionalProperties": _form(item), **names}
        case Use(name):
            return {"$ref": f"#/$defs/{name}"}
        case Either(forms):
            return {"anyOf": [_form(each) for each in forms]}
        case Anything():
            return {}
