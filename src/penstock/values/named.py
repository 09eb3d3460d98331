"""Which classes and functions a stored value names, so that reading it runs their code (cache rule 10): those of a pickle, of
a joblib or skops file, of a torch module, of dataclasses, enumerations and a user's own types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from penstock.values.custom import is_custom
from penstock.values.names import class_name

PICKLED = frozenset({"joblib", "pickle", "skops", "torch-module"})
_TAGS = ("$record", "$model", "$enum", "$flags")


def names_in_data(encoded: Any) -> Iterator[str]:
    """The names of the classes in JSON that `values.data` has made, and of what stands beside it."""
    pending = [encoded]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            for tag in _TAGS:
                if isinstance(item.get(tag), str):
                    yield item[tag]
            pending.extend(item.values())


def names_of(value: Any, form: str) -> list[str]:
    """What a value that is stored in this form names."""
    if form in PICKLED:
        from penstock.values.pickled import contents_of_pickle

        return list(contents_of_pickle(value).names)
    return [class_name(type(value))] if is_custom(form) else []


def metadata_with(metadata: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Metadata of an artifact that says which code of the author's it names."""
    return {**metadata, "names": list(names)} if names else dict(metadata)
