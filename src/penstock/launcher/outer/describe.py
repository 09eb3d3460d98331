"""What stands behind TARGET: its module is imported here, in a worker, with every first-party source recorded and
pinned, and its pipeline's graph is the answer (semantics 25). The process can then
run attempts of that pin, or be forked into workers that do."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from penstock.base.diagnostics import Diagnostic
from penstock.base.digests import canonical_json
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.base.firstparty import is_first_party
from penstock.code.commands import command_codes
from penstock.code.complaints import warnings_of
from penstock.code.digests import component_codes
from penstock.code.files import pinned_files
from penstock.code.firstparty import source_paths, source_root
from penstock.code.import_reads import ImportReads
from penstock.code.model import ComponentCode, codes_to_json
from penstock.code.pins import OtherPin, Recording
from penstock.code.shared_writes import shared_writes
from penstock.graph.components import component_names, works_in
from penstock.graph.model import Command, Work
from penstock.launcher.inner.outcomes import Stopped, was_stopped
from penstock.launcher.inner.traces import failure_of, message_of
from penstock.launcher.outer.machine import machine_diagnostics
from penstock.launcher.outer.provenance import Inquiry
from penstock.launcher.outer.unstorable import unstorable_outputs
from penstock.values.store import ArtifactStore
from penstock.wire import DescribeRequest, Description, Failure

LISTED_MAX = 50
YAML = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Place:
    """Where TARGET points: a module (empty: a pipeline file, in YAML), the file that it must come from (None: whichever the
    import finds), a name in it. `shown` is how a person wrote the part before the name."""

    module: str
    file: str | None
    name: str
    shown: str
    root: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a target came to. `graph` None: one of the diagnostics is an error. `modules` are those that other processes
    import first, with blanks between them; `functions` Python's components as their definitions say, by `module:name`
    (None: all of the graph's); `files` the pipeline files that were read."""

    pipelines: tuple[str, ...]
    graph: Any
    diagnostics: tuple[Diagnostic, ...]
    modules: str
    functions: Mapping[str, Any] | None = None
    files: tuple[str, ...] = ()


def describe(request: DescribeRequest, *, artifacts: ArtifactStore, scratch: Path | None = None) -> Description:
    """Import TARGET and answer with its graph, diagnostics and pin. What is wrong with it is in the answer: `error`
    and `fix` where the target cannot be used, `failure` where its own code raised. `scratch` may keep compiled code.
    Raises what the store raises, and `Stopped`."""
    inquiry = Inquiry(request.project)
    try:
        place = place_of(request.target, project=request.project)
        paths = source_paths(request.project, place.root or request.root)
        folder = scratch / "compiled" if scratch is not None else None
        recording = Recording(project=request.project, paths=paths, folder=folder)
        _begin(recording, place)
    except InvalidInput as error:
        return Description(error=error.message, fix=error.fix)
    reads = ImportReads(request.project, is_first_party)
    reads.begin()
    try:
        opened = _opened(place)
        diagnostics = opened.diagnostics
        if opened.graph is not None:
            diagnostics += tuple(machine_diagnostics(opened.graph, project=request.project))
            diagnostics += tuple(unstorable_outputs(_uses_in(opened.graph)))
        is_valid = not any(diagnostic.severity == "error" for diagnostic in diagnostics)
        graph = _graph_json(opened.graph) if is_valid else None
    except InvalidPipeline as error:
        return Description(diagnostics=_to_json(error.diagnostics))
    except InvalidInput as error:
        return Description(error=error.message, fix=error.fix)
    except BaseException as error:  # noqa: BLE001 - the target's own code
        return _failed(error, place)
    finally:
        reads.end()
    works = _works_in(opened.graph) if is_valid else {}
    commands = {name: work for name, work in works.items() if isinstance(work, Command)}
    recording.files = pinned_files((*_declared(works), *opened.files), project=request.project)
    pin = recording.end(artifacts, target=opened.modules)
    code, unbuilt = "", list[str]()
    if is_valid:
        sources, project, uses = recording.sources, request.project, list(_uses_in(opened.graph))
        functions = [function for function, _ in uses]
        targets = opened.modules.split()
        codes = component_codes(
            functions, sources=sources, project=project, scratch=scratch, reads=reads, targets=targets
        )
        codes.update(command_codes(commands, project=project))
        shared = shared_writes(functions, sources=sources, project=project)
        diagnostics = (*diagnostics, *warnings_of(uses, codes), *shared)
        if any(work.policy.environment is not None for work in works.values()):
            codes, unbuilt = _with_environments(codes, works, request, recording)
        code = artifacts.put_bytes(canonical_json(codes_to_json(codes)))
    return Description(
        pipelines=opened.pipelines,
        graph=graph,
        text=_text_of(opened) if request.form == "yaml" and is_valid else "",
        diagnostics=_to_json(diagnostics),
        pin=pin,
        provenance=inquiry.answer(),
        code=code,
        unbuilt=tuple(unbuilt),
    )


def _uses_in(graph: Any) -> Iterator[Any]:
    """The Python functions among the components of a graph, at every depth, with the policy of each use."""
    from penstock.graph.model import Function, bodies_of

    for node in graph.nodes:
        component = getattr(node, "component", None)
        if isinstance(component, Function):
            yield component, node.policy
        for body, _ in bodies_of(node):
            yield from _uses_in(body)


def _works_in(graph: Any) -> dict[str, Work]:
    """The functions and commands of a graph, at every depth, by the names they have in it."""
    works = list(works_in(graph))
    names = component_names(works)
    return {names[id(work)]: work for work in works}


def _declared(works: Mapping[str, Work]) -> Iterator[str]:
    """The files of the project that stand in folders of commands, or say what environments hold."""
    for work in works.values():
        if isinstance(work, Command):
            yield from work.policy.files
        if work.policy.environment is not None and work.policy.environment.requirements:
            yield work.policy.environment.requirements


def _with_environments(
    codes: Mapping[str, ComponentCode], works: Mapping[str, Work], request: DescribeRequest, recording: Recording
) -> tuple[dict[str, ComponentCode], list[str]]:
    from penstock.launcher.outer.environment_codes import Environments

    held = {path: file.content for path, file in recording.files.items() if file.content is not None}
    environments = Environments(Path(request.environments), Path(request.project), request.build, held)
    return environments.applied(codes, works)


def _begin(recording: Recording, place: Place) -> None:
    try:
        recording.begin()
        if place.file is not None and place.module:
            recording.claim(place.module, place.file)
    except OtherPin as error:
        raise InvalidInput(error.message, fix="Ask a worker that has served nothing yet.") from error
    except OSError as error:
        raise InvalidInput(f"{place.shown} cannot be read: {error.strerror}") from error


def _opened(place: Place) -> Opened:
    """The pipeline that is meant. Raises InvalidInput where none or several may be, and what the target's code raises."""
    if place.module == "":
        from penstock.launcher.outer.pipeline_files import open_pipeline_file

        assert place.file is not None
        return open_pipeline_file(place.file, name=place.name, shown=place.shown)
    module = import_module(place.module)
    found = pipelines_in(module)
    pipeline = choose(place, module, found)
    diagnostics = tuple(pipeline.diagnostics())
    is_valid = not any(diagnostic.severity == "error" for diagnostic in diagnostics)
    return Opened(tuple(found), pipeline.graph() if is_valid else None, diagnostics, place.module)


def _graph_json(graph: Any) -> Mapping[str, Any]:
    from penstock.graph.codec import graph_to_json

    answer: Mapping[str, Any] = graph_to_json(graph)
    return answer


def _text_of(opened: Opened) -> str:
    from penstock.launcher.outer.pipeline_files import pipeline_file_of

    return pipeline_file_of(opened.graph, opened.functions)


def _to_json(diagnostics: Iterable[Diagnostic]) -> tuple[Mapping[str, Any], ...]:
    return tuple(diagnostic.to_json() for diagnostic in diagnostics)


def _failed(error: BaseException, place: Place) -> Description:
    if was_stopped(error):
        raise Stopped(message_of(error)) from error
    if isinstance(error, ModuleNotFoundError) and error.name and _is_module_of(place.module, error.name):
        return Description(
            error=f"there is no module {error.name}",
            fix="It is looked for in the project, its src folder, and what is installed.",
        )
    line = _line_not_utf8(place.file) if isinstance(error, (UnicodeDecodeError, SyntaxError)) else 0
    if line:
        return Description(error=f"{place.shown} is not valid UTF-8 (line {line})", fix="Save it as UTF-8.")
    failure = failure_of(error)
    fix = "Mend the error and try again."
    if isinstance(error, ModuleNotFoundError):
        fix = f"Install the package that offers {error.name}, or correct the import."
    elif isinstance(error, SystemExit):
        message = f"the file called sys.exit({error.code!r:.200}) while it was imported"
        failure = Failure(failure.type, message, failure.bases, failure.traceback)
        fix = "Put what a script does under `if __name__ == '__main__':`."
    return Description(failure=failure, error=f"{place.shown} could not be imported", fix=fix)


def _line_not_utf8(file: str | None) -> int:
    """The first line of a file that is not UTF-8; 0 where all are, or the file cannot be read."""
    try:
        content = Path(file).read_bytes() if file is not None else b""
        content.decode()
    except OSError:
        return 0
    except UnicodeDecodeError as error:
        return content[: error.start].count(b"\n") + 1
    return 0


def _is_module_of(target: str, missing: str) -> bool:
    return target == missing or target.startswith(f"{missing}.")


# -- places ------------------------------------------------------------------------------------------------------------


def place_of(target: str, *, project: str) -> Place:
    """The place that `file.py`, `file.yaml`, either with `:name`, or `module:name` points to; a relative file is looked for
    in the project. Raises InvalidInput."""
    shown, colon, name = target.rpartition(":")
    if not colon or name.endswith((".py", *YAML)):
        shown, name = target, ""
    if shown.endswith(YAML):
        file = os.path.normpath(os.path.join(project, shown))
        if not os.path.isfile(file):
            raise InvalidInput(f"there is no file {shown}")
        return Place("", file, name, shown, source_root(file)[0])
    if not shown.endswith(".py"):
        if name and os.path.sep not in shown and all(part.isidentifier() for part in shown.split(".")):
            return Place(shown, None, name, shown, None)
        raise InvalidInput(
            f"{target!r} is not a target", fix="Give file.py, file.yaml, either with :name, or module:name."
        )
    file = os.path.normpath(os.path.join(project, shown))
    if not os.path.isfile(file):
        raise InvalidInput(f"there is no file {shown}{_near(os.path.basename(shown), _python_files(file))}")
    root, module = source_root(file)
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("penstock", "__main__"):
        raise InvalidInput(
            f"{shown} would be the module {top!r}, which is already the name of another",
            fix="Rename the file.",
        )
    return Place(module, file, name, shown, root)


def _python_files(file: str) -> list[str]:
    try:
        return [name for name in os.listdir(os.path.dirname(file)) if name.endswith(".py")]
    except OSError:
        return []


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(names), n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""


# -- pipelines ---------------------------------------------------------------------------------------------------------


def pipelines_in(module: Any) -> dict[str, Any]:
    """The pipelines of a module by the name that they have in it: those that it defines, else those that it has
    imported."""
    from penstock.authoring.dsl.pipelines import Pipeline

    found = {name: value for name, value in vars(module).items() if isinstance(value, Pipeline)}
    own = {name: value for name, value in found.items() if value.module == module.__name__}
    unique: dict[int, str] = {}
    for name, value in (own or found).items():
        unique.setdefault(id(value), name)
    return {name: found[name] for name in unique.values()}


def choose(place: Place, module: Any, found: Mapping[str, Any]) -> Any:
    """The pipeline that is meant. Raises InvalidInput that lists what there is."""
    if place.name:
        return _named(place, module, found)
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise InvalidInput(
            f"there is no pipeline in {place.shown}",
            fix="Mark the function that calls the tasks with @pipeline.",
        )
    listed = [f"{place.shown}:{name}" for name in list(found)[:LISTED_MAX]]
    raise InvalidInput(f"there are {len(found)} pipelines in {place.shown}", fix=f"Say which: {', '.join(listed)}")


def _named(place: Place, module: Any, found: Mapping[str, Any]) -> Any:
    from penstock.authoring.dsl.pipelines import Pipeline

    value = getattr(module, place.name, None)
    if isinstance(value, Pipeline):
        return value
    by_own_name = [pipeline for pipeline in found.values() if pipeline.name == place.name]
    if len(by_own_name) == 1:
        return by_own_name[0]
    listed = ", ".join(f"{place.shown}:{name}" for name in list(found)[:LISTED_MAX])
    fix = f"There is {listed}." if listed else "Mark the function that calls the tasks with @pipeline."
    if value is not None:
        raise InvalidInput(f"{place.name} in {place.shown} is not a pipeline", fix=fix)
    near = _near(place.name, found)
    raise InvalidInput(f"there is no {place.name!r} in {place.shown}{near}", fix=fix)
