"""Parameters that stand in files: YAML, TOML or JSON, by the file's suffix."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.base.errors import InvalidInput

if TYPE_CHECKING:
    from penstock.graph.model import Graph

SUFFIXES = (".json", ".toml", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Data:
    """A parameter as data, not as text that is yet to be read."""

    value: Any


def parameters_in(path: str) -> dict[str, Data]:
    """The parameters of a file, by name. Raises InvalidInput."""
    found = read_data(path)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InvalidInput(f"{path} must hold parameters by name", fix="Write `seed: 3`, one line for each (in YAML).")
    return {name: Data(value) for name, value in found.items()}


def read_data(path: str) -> Any:
    """What a file says. Raises InvalidInput that names it."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput(f"{path} must end with {', '.join(SUFFIXES)}", fix="The suffix says how the file is read.")
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidInput(f"{path} cannot be read: {why}", fix="Paths are relative to the current folder.") from None
    if suffix in (".yaml", ".yml"):
        return _data_of_yaml(path, content)
    try:
        return (
            json.loads(content, object_pairs_hook=_without_duplicates) if suffix == ".json" else tomllib.loads(content)
        )
    except ValueError as error:
        raise InvalidInput(f"{path} is not valid {suffix[1:].upper()}: {error}", fix="Correct the file.") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where it has a key twice, of which one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice, ensure_ascii=False)} is there more than once")
    return found


def _data_of_yaml(path: str, content: str) -> Any:
    """As files of pipelines are read: YAML 1.2, with their limits."""
    from penstock.authoring.yaml.reading import read
    from penstock.authoring.yaml.tree import Dictionary, Part, Sequence, Source, plain_value

    def data(part: Part) -> Any:
        if isinstance(part, Sequence):
            return [data(item) for item in part.items]
        if isinstance(part, Dictionary):
            return {name: data(value) for name, (_, value) in part.entries.items()}
        return plain_value(part)

    source = Source(path, content, [])
    part = read(source)
    errors = [each for each in source.diagnostics if each.severity == "error"]
    if errors:
        first = errors[0]
        raise InvalidInput(f"{first.location}: {first.message}", fix=first.fix)
    return None if part is None else data(part)


def with_files(graph: Graph, given: Mapping[str, str | Data]) -> tuple[dict[str, str], dict[str, Any]]:
    """(texts, values) of what is given: `@FILE` is read where the parameter is not a text or a choice of texts; for one of
    any type where the suffix says how."""
    types = {spec.name: spec.type for spec in graph.inputs}
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, each in given.items():
        if isinstance(each, Data):
            values[name] = each.value
            continue
        type_ = types.get(name)
        is_file = each.startswith("@") and type_ is not None and type_.name not in ("str", "enum", "source")
        if is_file and (type_.name != "any" or each.lower().endswith(SUFFIXES)):  # type: ignore[union-attr]
            values[name] = read_data(each[1:])
        else:
            texts[name] = each
    return texts, values
