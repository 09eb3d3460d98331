"""Running a target or a pipeline as a new run.

Importing this module is cheap, on purpose: see `describing`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.app.choosing import NOTHING_ASKED, Asked, Choosing
from penstock.app.describing import describe
from penstock.app.places import (
    DATABASE,
    make_state_folder,
    open_artifacts,
    open_executor,
    open_store,
    project_settings,
    remove_if_unused,
)
from penstock.app.targets import Target, diagnostics_of, parse_target

if TYPE_CHECKING:
    from penstock.app.parameter_files import Data
    from penstock.app.progress import Progress
    from penstock.app.results import RunResult
    from penstock.graph.model import Graph
    from penstock.wire import Datum


def run_target(
    text: str,
    texts: Mapping[str, str | Data],
    *,
    progress: Progress,
    cache: str = "use",
    asked: Asked = NOTHING_ASKED,
    labels: Mapping[str, str] | None = None,
) -> RunResult:
    """Run a target with parameters as texts, until it ends. Raises what is wrong with the input, having created
    nothing. `cache`: "use", or "write" to read nothing of it."""
    bind = partial(bind_texts, given=texts)
    return run_new(parse_target(text), bind, progress=progress, cache=cache, asked=asked, labels=labels)


def run_pipeline(pipeline: Any, parameters: Mapping[str, Any], *, tells_stories: bool) -> RunResult:
    """What `pipeline.run(...)` calls; parameters are Python values."""
    from penstock.app.scripts import target_of_pipeline

    target = target_of_pipeline(pipeline)
    progress = _progress_here(tells_stories=tells_stories)
    return run_new(target, lambda graph: bind_values(graph, parameters), progress=progress)


def _progress_here(*, tells_stories: bool) -> Progress:
    """A notebook shows a tree, a terminal lines, anything else nothing. What shows is loaded only where it is needed."""
    from penstock.app.progress import Silent

    if "IPython" in sys.modules:
        from penstock.app.displays import NotebookProgress, is_notebook

        if is_notebook():
            return NotebookProgress()
    from penstock.app.outlets import ERR

    if not ERR.isatty():
        return Silent()
    from penstock.app.progress_lines import ProgressLines

    return ProgressLines(tells_stories=tells_stories)


def bind_texts(graph: Graph, given: Mapping[str, str | Data]) -> dict[str, Datum]:
    """A Datum for every input, from texts of a command line, in which `@FILE` names a file for what is no text itself, and
    from data of files. Raises InvalidInput."""
    from penstock.app.parameter_files import with_files
    from penstock.graph.parameters import bind_parameters

    texts, values = with_files(graph, given)
    return bind_parameters(graph, texts=texts, values=values)


def bind_values(graph: Graph, values: Mapping[str, Any]) -> dict[str, Datum]:
    from penstock.graph.parameters import bind_parameters

    return bind_parameters(graph, values=values)


def run_new(
    target: Target,
    bind: Callable[[Graph], dict[str, Datum]],
    *,
    progress: Progress,
    retry_of: str | None = None,
    cache: str = "use",
    asked: Asked = NOTHING_ASKED,
    labels: Mapping[str, str] | None = None,
) -> RunResult:
    """Describe, bind, choose, submit, drive. Whatever is invalid is raised before a run or a database exists."""
    settings = project_settings(target.folder)
    with ExitStack() as stack:
        if make_state_folder(settings):
            stack.callback(remove_if_unused, settings)
        executor = stack.enter_context(closing(open_executor(settings)))
        described = describe(
            executor, target, settings, meanwhile=progress.prepare, builds=True, say=progress.waiting_for
        )
        inputs = bind(described.graph)
        from penstock.app.driving import Driving, drive, submit
        from penstock.app.planning import learned_in, plan_for, refuse_unmeetable

        known = stack.enter_context(closing(open_store(settings))) if (settings.state / DATABASE).exists() else None
        artifacts = open_artifacts(settings)
        if asked:
            described, inputs = Choosing(settings, artifacts, executor, known, inputs).chosen(described, asked)
        plan = plan_for(
            described.graph,
            pin=described.description.pin,
            code=described.description.code,
            learned=learned_in(known, described.graph),
            artifacts=artifacts,
            executor=executor,
        )
        refuse_unmeetable(plan)
        for diagnostic in diagnostics_of(described.description):
            progress.said(str(diagnostic))
        store = known or stack.enter_context(closing(open_store(settings)))
        run = submit(
            store,
            described,
            inputs,
            capacity=executor.largest,
            plan=plan,
            retry_of=retry_of,
            cache=cache,
            labels=labels or {},
        )
        return drive(Driving(settings, store, artifacts, executor, progress, {run.run_id: plan}), run, how="new")
