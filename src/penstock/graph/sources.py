"""Declared inputs: data that stands outside of Penstock (a file, a folder, an address, a table) and is looked at anew in every
run. A source is a parameter that says where; what reads it is given by resolvers, components of ours that are never cached
and whose answer (content, entity tag, rows) is what counts further down. The resolvers themselves are in `values.sources`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.graph.model import Function, InputSpec, OutputSpec, Policy, Retry
from penstock.graph.types import PATH, SOURCE, STRUCT, Type

if TYPE_CHECKING:
    from penstock.base.diagnostics import Location
    from penstock.graph.builder import GraphBuilder, Scoped

FILE, FOLDER, URL, TABLE = "file", "folder", "url", "table"
KINDS = (FILE, FOLDER, URL, TABLE)
"""Every source is a dict: `{"source": KIND, ...}` with `path` (file, folder: text, relative to the project), `url` (an
address over http, or of a database as SQLAlchemy writes it), and for a table `query` and `version` (a query, or None)."""

MODULE = "penstock.values.sources"
_FIELDS: Mapping[str, tuple[str, ...]] = {
    FILE: ("path",),
    FOLDER: ("path",),
    URL: ("url",),
    TABLE: ("url", "query", "version"),
}
_MAIN_FIELD: Mapping[str, str] = {FILE: "path", FOLDER: "path", URL: "url"}
_ROWS: Mapping[str, str] = {
    "pandas:DataFrame": "read_table_pandas",
    "polars:DataFrame": "read_table_polars",
    "pyarrow:Table": "read_table_arrow",
}
_PASSWORD = re.compile(r"://[^/\s:@]*:(?!\$\{[A-Za-z_][A-Za-z0-9_]*\}@)[^/\s@]+@")
_HTTP = re.compile(r"https?://[^\s/]+")
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9_+]*://\S*")
# The network and databases fail for a moment now and then.
_PATIENT = Retry(attempts_max=3, backoff_ms=1_000)
_NEVER_CACHED = Policy(cache=False)
_PROBING = Policy(cache=False, retry=_PATIENT)
_READING = Policy(retry=_PATIENT, version="1")  # cached by what the probe has seen


def source_of(*kinds: str) -> Type:
    """The type of a source of one of these kinds."""
    return Type(SOURCE, options=kinds)


def source_from_text(type_: Type, text: str) -> Any:
    """The source that `text` names: a path or an address, or JSON with the fields of one. Raises ValueError that reads on
    from the parameter's name."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"must be {words_for(type_)}: {error}") from None
    kinds = [kind for kind in type_.options if kind in _MAIN_FIELD]
    if not kinds:
        example = '{"url": "sqlite:///data.db", "query": "select * from flights"}'
        raise ValueError(f"must be a table as JSON such as {example}")
    if URL in kinds and (kinds == [URL] or _HTTP.match(text)):
        return {"source": URL, "url": text}
    if FOLDER in kinds and (FILE not in kinds or text.endswith("/")):
        return {"source": FOLDER, "path": text}
    return {"source": FILE, "path": text}


def plain_source(type_: Type, value: Any) -> Any:
    """A source from what stands for one in Python: a path or an address as text, or its fields; anything else as it is."""
    if hasattr(value, "__fspath__"):
        value = value.__fspath__()
    if isinstance(value, str) and value:
        try:
            return source_from_text(type_, value)
        except ValueError:
            return value
    if isinstance(value, Mapping) and "source" not in value and len(type_.options) == 1:
        return {"source": type_.options[0], **value}
    return value


def source_complaint(type_: Type, value: Any) -> str | None:
    """Why `value` is no source of this type, in words that follow the parameter's name; None: it is one."""
    kind = value.get("source") if isinstance(value, Mapping) else None
    if kind not in type_.options or kind not in _FIELDS:
        return f"must be {words_for(type_)}, not {_shown(value)}"
    fields = _FIELDS[kind]
    unknown = [name for name in value if name != "source" and name not in fields]
    if unknown:
        return f"is a {kind} with {unknown[0]!r}, which a {kind} does not have (it has {', '.join(fields)})"
    for name in fields:
        given = value.get(name)
        if name == "version" and given is None:
            continue
        if not isinstance(given, str) or not given.strip() or "\0" in given:
            return f"is a {kind} whose {name} must be text, not {given!r}"
    address = value.get("url", "")
    if kind == URL and not _HTTP.match(address):
        return f"is an address that does not begin with http:// or https://: {address!r}"
    if kind == TABLE and not _DATABASE.match(address):
        return (
            f"is a table whose database must be given as sqlite:///file.db or dialect://user@host/name, not {address!r}"
        )
    if _PASSWORD.search(address):
        return "is an address with a password in it: write ${NAME} there, and it is read from that environment variable"
    return None


def words_for(type_: Type) -> str:
    """A source type as a person reads it."""
    words = {FILE: "a file", FOLDER: "a folder", URL: "an address", TABLE: "a table"}
    return " or ".join(words[kind] for kind in type_.options if kind in words)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


# -- resolvers -----------------------------------------------------------------------------------------------------------


def resolve(
    builder: GraphBuilder, scoped: Scoped, *, wanted: Type | None = None, location: Location | None = None
) -> Scoped:
    """Add what a consumer reads of a source, and answer it: its content as a file or folder, the rows of a table as the
    consumer's type of table (`wanted`), or else as a list of dicts."""
    from penstock.graph.builder import NodeOptions

    kinds, optional = scoped.type.options, scoped.type.optional
    base = name_of_source(scoped)

    def added(function: Function, given: Scoped, name: str) -> Scoped:
        free = builder.free_name(name)
        options = NodeOptions(name=free, labels={"source": base}, location=location)
        return builder.add_call(function, {"source": given}, options).output("output")

    def component(name: str, output: Type, policy: Policy, *, given: Type) -> Function:
        return _function(name, replace(given, optional=optional), replace(output, optional=optional), policy)

    source = source_of(*kinds)
    if kinds not in ((TABLE,), (URL,)):
        name = f"resolve_{kinds[0]}" if len(kinds) == 1 else "resolve_any"
        return added(component(name, PATH, _NEVER_CACHED, given=source), scoped, f"source-{base}")
    if kinds == (URL,):
        probe, read, output = "probe_url", "fetch_url", PATH
    else:
        named = _ROWS.get(wanted.name) if wanted is not None else None
        output = Type(wanted.name) if named is not None and wanted is not None else Type("list")
        probe, read = "probe_table", named or "read_table_rows"
    seen = added(component(probe, STRUCT, _PROBING, given=source), scoped, f"probe-{base}")
    return added(component(read, output, _READING, given=STRUCT), seen, f"{read.partition('_')[0]}-{base}")


def name_of_source(scoped: Scoped) -> str:
    """A name for the nodes that look at a source: made from its path or address, or from the input that gives it."""
    from penstock.graph.bindings import Constant
    from penstock.graph.names import made_valid, name_of_value

    value = scoped.value
    if not isinstance(value, Constant) or not isinstance(value.value, Mapping):
        return name_of_value(value, "data")
    text = str(value.value.get("path") or value.value.get("url", "")).rstrip("/")
    stem = re.sub(r"[?#].*", "", text).rpartition("/")[2].partition(".")[0]
    return made_valid(stem).strip("_") or "data"


def _function(name: str, input_: Type, output: Type, policy: Policy) -> Function:
    key = (name, input_, output)
    known = _FUNCTIONS.get(key)
    if known is None:
        inputs, outputs = (InputSpec("source", input_),), (OutputSpec("output", output),)
        known = _FUNCTIONS[key] = Function(MODULE, name, inputs, outputs, policy)
    return known


_FUNCTIONS: dict[tuple[str, Type, Type], Function] = {}
