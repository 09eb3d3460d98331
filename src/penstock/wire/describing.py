"""What is asked about a target, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.wire.outcomes import Failure
from penstock.wire.requests import WIRE_VERSION


@dataclass(frozen=True, slots=True)
class DescribeRequest:
    """Import TARGET and answer with its graph. `project` is the project's root folder; `parameters` are the texts given
    with `-p`, still untyped. `form` asks for the graph as text as well: "yaml"."""

    target: str
    project: str
    form: str = ""
    environments: str = ""
    """The folder with the environments of components' own; empty: they are not known."""
    build: bool = False
    """Environments that are not there may be built."""
    root: str = ""
    """The folder that a target which is a module is imported from; empty: it is looked for in the project."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a worker found behind TARGET. `graph` is the graph's JSON (None when it has errors), `diagnostics`
    everything that `graph.check` and the author's front end say (as JSON), `pin` the digest of the code manifest,
    `failure` the user's traceback when the import raised, `pipelines` the names found in the file, `provenance` what
    the run is made of (distributions, interpreter)."""

    pipelines: tuple[str, ...] = ()
    graph: Mapping[str, Any] | None = None
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    pin: str = ""
    code: str = ""
    """Digest of the blob `{component: ComponentCode}` in the artifact store."""
    failure: Failure | None = None
    error: str = ""
    fix: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    worker: str = ""
    text: str = ""
    """The graph in the form that was asked for."""
    unbuilt: tuple[str, ...] = ()
    """Environments that are not there yet, as a person reads them."""


def description_to_json(description: Description) -> dict[str, Any]:
    failure = description.failure
    return {
        "version": WIRE_VERSION,
        "pipelines": list(description.pipelines),
        "graph": description.graph,
        "diagnostics": list(description.diagnostics),
        "pin": description.pin,
        "code": description.code,
        "failure": [failure.type, failure.message, list(failure.bases), failure.traceback] if failure else None,
        "error": description.error,
        "fix": description.fix,
        "provenance": dict(description.provenance),
        "worker": description.worker,
        "text": description.text,
        "unbuilt": list(description.unbuilt),
    }


def description_from_json(data: Mapping[str, Any]) -> Description:
    failure = data["failure"]
    return Description(
        pipelines=tuple(data["pipelines"]),
        graph=data["graph"],
        diagnostics=tuple(data["diagnostics"]),
        pin=data["pin"],
        code=data["code"],
        failure=Failure(failure[0], failure[1], tuple(failure[2]), failure[3]) if failure else None,
        error=data["error"],
        fix=data["fix"],
        provenance=data["provenance"],
        worker=data["worker"],
        text=data["text"],
        unbuilt=tuple(data.get("unbuilt", ())),
    )
