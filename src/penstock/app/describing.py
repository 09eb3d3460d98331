"""Asking a worker what stands behind TARGET, and the verbs that need no more than that: check and graph.

Importing this module is cheap, on purpose: a run starts its worker first, and loads what drives a run (engine, plan,
stores) while that worker imports the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from penstock.app.marks import UNCLEAR, because
from penstock.app.outlets import Say, in_silence
from penstock.app.places import DATABASE, ENVIRONMENTS, aside, open_executor, open_store_to_read, project_settings
from penstock.app.targets import Target, diagnostics_of, parse_target, require_graph
from penstock.base.diagnostics import Diagnostic
from penstock.settings import Settings
from penstock.wire import DescribeRequest, Description

if TYPE_CHECKING:
    from penstock.executors.local.executor import LocalExecutor
    from penstock.graph.model import Graph


LATE_S = 0.5
"""A target whose import takes longer is named while it lasts."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid pipeline: its name, how many nodes it has at every depth, the warnings about it, and which of its components
    the project knows as nondeterministic."""

    pipeline: str
    nodes: int
    diagnostics: tuple[Diagnostic, ...]
    nondeterministic: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    """Components that gave two results for one key, with other sources in between: nondeterministic, or stale once."""

    def to_json(self) -> dict[str, Any]:
        found = [item.to_json() for item in self.diagnostics]
        return {
            "pipeline": self.pipeline,
            "valid": True,
            "nodes": self.nodes,
            "diagnostics": found,
            "nondeterministic": list(self.nondeterministic),
            "unclear": list(self.unclear),
        }


@dataclass(frozen=True, slots=True)
class Described:
    """A target that can be run: what the worker said, and the graph that it gave."""

    description: Description
    graph: Graph
    shown: str
    """The target as it is recorded: relative to the project where it lies in it."""
    asked: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for of it (`app.choosing`); empty: the whole."""


def describe(
    executor: LocalExecutor,
    target: Target,
    settings: Settings,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    form: str = "",
    builds: bool = False,
    say: Say = in_silence,
) -> Described:
    """Raises TargetFailed, InvalidInput or InvalidPipeline for a target that cannot be run. `meanwhile` is done while the
    worker is at work. `form` asks for the graph as text as well. `builds`: environments that are missing are built. `say`
    gets a line for each of them, and one when importing the target takes long."""
    environments = str(settings.state.absolute() / ENVIRONMENTS)
    request = DescribeRequest(target.text, str(settings.project), form, environments, root=target.root)

    def work() -> None:
        _load_what_drives_a_run()
        meanwhile()

    shown = target.shown(settings.project)
    description = _meanwhile(lambda: executor.describe(request), work, late=lambda: say(f"importing {shown}"))
    if description.unbuilt and builds:
        for environment in description.unbuilt:
            say(f"building the environment of {environment}")
        description = executor.describe(replace(request, build=True))
    require_graph(description, target=shown)
    assert description.graph is not None
    from penstock.graph.codec import graph_from_json

    return Described(description, graph_from_json(dict(description.graph)), shown)


def _meanwhile(ask: Callable[[], Description], work: Callable[[], None], *, late: Callable[[], None]) -> Description:
    """What `ask` answers or raises; `work` is done while it waits. `late` is called once when the answer takes longer than
    LATE_S."""
    begun = monotonic()
    answers: list[Description | Exception] = []

    def asked() -> None:
        try:
            answers.append(ask())
        except Exception as error:  # noqa: BLE001 it is raised again below
            answers.append(error)

    asking = Thread(target=asked, daemon=True)
    asking.start()
    work()
    asking.join(max(0.0, begun + LATE_S - monotonic()))
    if asking.is_alive():
        late()
    asking.join()
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]


def _load_what_drives_a_run() -> None:
    import penstock.app.driving
    import penstock.app_artifacts
    import penstock.graph.parameters
    import penstock.stores.sql  # noqa: F401


def describe_aside(text: str, *, meetable: bool = False, form: str = "", say: Say = in_silence) -> Described:
    """Describe a target without touching its project: state goes into a temporary folder. `meetable`: raise
    InvalidPipeline for requests that this machine could never meet."""
    import tempfile

    target = parse_target(text)
    settings = project_settings(target.folder)
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        with closing(open_executor(aside(settings, Path(folder)))) as executor:
            described = describe(executor, target, settings, form=form, say=say)
            if meetable:
                from penstock.app.planning import refuse_unmeetable
                from penstock.plan.passes import make_plan

                refuse_unmeetable(make_plan(described.graph, pin="", capacity=executor.largest))
            return described


def check_target(text: str, *, say: Say = in_silence) -> Checked:
    described = describe_aside(text, meetable=True, say=say)
    graph = described.graph
    marked = _marked(text, graph)
    surely, unclear = (tuple(name for name, why in marked.items() if why == kind) for kind in ("", UNCLEAR))
    return Checked(graph.name, _count_nodes(graph), diagnostics_of(described.description), surely, unclear)


def _marked(text: str, graph: Graph) -> dict[str, str]:
    """The components of a graph that gave two results for one key in this project (semantics 32), and why."""
    settings = project_settings(parse_target(text).folder)
    if not (settings.state / DATABASE).exists():
        return {}
    from penstock.app.planning import components_of

    with closing(open_store_to_read(settings)) as store:
        marks = store.nondeterministic()
        return {name: because(marks[name].detail) for name in sorted(components_of(graph) & marks.keys())}


def graph_of_target(text: str, *, form: str, say: Say = in_silence) -> str:
    """Raises what `check_target` raises."""
    described = describe_aside(text, form="yaml" if form == "yaml" else "", say=say)
    if form == "yaml":
        return described.description.text
    if form == "json":
        import json

        return json.dumps(described.description.graph, indent=2, ensure_ascii=False)
    if form == "svg":
        from penstock.graph.drawing import svg_of

        return svg_of(described.graph)
    from penstock.graph.render import graph_mermaid, graph_text

    return graph_mermaid(described.graph) if form == "mermaid" else graph_text(described.graph)


def _count_nodes(graph: Graph) -> int:
    from penstock.graph.model import bodies_of

    return sum(1 + sum(_count_nodes(body) for body, _ in bodies_of(node)) for node in graph.nodes)
