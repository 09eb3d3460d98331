"""`@pipeline`: a function whose calls of tasks become a graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import update_wrapper
from inspect import cleandoc, isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any, Generic, Protocol, overload

from penstock.authoring.dsl.annotations import (
    Signature,
    output_fields,
    path_parameter,
    signature_of,
    type_of_annotation,
)
from penstock.authoring.dsl.building import Building, building_of, current_building
from penstock.authoring.dsl.components import Configured, P, R, call, use_options
from penstock.authoring.dsl.handles import Handle, as_scoped, primary_outputs, ref_of, value_of
from penstock.authoring.dsl.options import NO_OPTIONS, labels_of
from penstock.authoring.dsl.places import function_location, importable_module
from penstock.base.diagnostics import Diagnostic
from penstock.base.errors import InvalidInput, InvalidPipeline
from penstock.base.instants import duration_ms
from penstock.graph.builder import UNKNOWN_SCOPED, GraphBuilder, Scoped
from penstock.graph.model import Graph
from penstock.graph.types import PATH, Type


class RunResult(Protocol):
    """What `Pipeline.run` gives: `state` is how the run ended, `outputs` its values by name."""

    @property
    def id(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def outputs(self) -> Mapping[str, Any]: ...

    def failure(self) -> Exception | None: ...


@dataclass(frozen=True, slots=True)
class Declared:
    """What `@pipeline(...)` was given."""

    name: str | None = None
    fail_fast: bool = False
    timeout: float | str | None = None
    labels: Mapping[str, str] | None = None


class Pipeline(Generic[P, R]):
    """A function whose body says what runs: every call of a task in it becomes a node. The body runs once, when the
    graph is first asked for, with a handle for each parameter; what it returns are the outputs."""

    def __init__(self, function: Callable[P, R], declared: Declared) -> None:
        self.function = function
        self._declared = declared
        self._built: tuple[Graph, tuple[Diagnostic, ...]] | None = None
        self._checked: tuple[Diagnostic, ...] | None = None
        self._is_building = False
        update_wrapper(self, function)

    @property
    def name(self) -> str:
        return self._declared.name or str(getattr(self.function, "__name__", "pipeline"))

    @property
    def module(self) -> str:
        """The name by which the module that defines it can be imported."""
        return importable_module(getattr(self.function, "__module__", None) or "__main__")

    @property
    def source_file(self) -> str | None:
        """The file that it is written in; None if there is none."""
        location = function_location(self.function)
        return location.file if location else None

    def graph(self) -> Graph:
        """The graph. Raises InvalidPipeline with every diagnostic if one of them is an error, and whatever the body
        raises."""
        diagnostics = self.diagnostics()
        if any(diagnostic.severity == "error" for diagnostic in diagnostics):
            raise InvalidPipeline(diagnostics)
        return self.built()[0]

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Everything that is wrong with the pipeline, in the order of the lines; raises only what the body raises."""
        if self._checked is None:
            from penstock.graph.check import check

            graph, found = self.built()
            together = dict.fromkeys((*found, *self._of_paths(graph, found), *check(graph)))
            self._checked = tuple(sorted(together, key=_place))
        return self._checked

    @staticmethod
    def _of_paths(graph: Graph, found: tuple[Diagnostic, ...]) -> list[Diagnostic]:
        """For parameters that are a Path: a run cannot be given one. Within another pipeline it is a task's output."""
        said = {each.message for each in found}
        paths = [path_parameter(graph.name, spec.name, graph.location) for spec in graph.inputs if spec.type == PATH]
        return [each for each in paths if each.message not in said]

    def built(self) -> tuple[Graph, tuple[Diagnostic, ...]]:
        """The graph as far as it could be built, and what went wrong while building; not checked yet."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def run(
        self, given: Mapping[str, Any] | None = None, /, *, check: bool | None = None, **parameters: Any
    ) -> RunResult:
        """Run it here and now, and wait for its end. Parameters are given by name, or as a mapping. Raises RunFailed for a
        run that did not succeed, caused by what its task raised; with `check=False` the result's `state` says so instead."""
        from importlib import import_module

        if check is not None and "check" in getattr(self.function, "__annotations__", {}):
            raise InvalidInput(
                f"{self.name!r} has a parameter `check`, which `run` has as well",
                fix=f'Give the parameter in a mapping: {self.name}.run({{"check": ...}}).',
            )
        values = {**(given or {}), **parameters}
        raises = check is not False
        result: RunResult = import_module("penstock.app").run_pipeline(self, values, tells_stories=not raises)
        failure = result.failure() if raises else None
        if failure is not None:
            raise failure
        return result

    def options(self, **given: Any) -> Configured[P, R]:
        """This pipeline with options for its next uses in another pipeline; see `Task.options`."""
        return Configured(self, NO_OPTIONS.with_more(use_options(given)))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        building = current_building()
        if building is None:
            raise InvalidInput(
                f"{self.name!r} is a pipeline and cannot be called like a function",
                fix=f"Run it with {self.name}.run(...), or call it in the body of another pipeline.",
            )
        called: Any = call(building, self, NO_OPTIONS, args=args, kwargs=kwargs)
        return called  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<pipeline {self.name}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What a notebook shows: the graph as a drawing; in its place what is wrong with it, if anything is."""
        try:
            graph = self.graph()
        except InvalidPipeline as error:
            return {"text/plain": f"{self!r}\n{error.message}"}
        from penstock.graph.drawing import svg_of

        drawing = svg_of(graph)
        # Within the page what there is no room for shows on hover; as an image the drawing is shown everywhere.
        return {"text/plain": repr(self), "text/html": drawing, "image/svg+xml": drawing}

    def __reduce__(self) -> str:
        return str(getattr(self, "__qualname__", self.name))

    def _build(self) -> tuple[Graph, tuple[Diagnostic, ...]]:
        location = function_location(self.function)
        builder = GraphBuilder(self.name, location=location)
        if self._is_building:
            builder.report("recursive-pipeline", f"{self.name!r} calls itself", "Use loop_until to repeat something.")
            signature = signature_of(self.function)
            for spec in signature.inputs:
                builder.add_input(spec.name, spec.type, default=spec.default)
            for output in signature.outputs or ():
                builder.add_output(output.name, UNKNOWN_SCOPED, type_=output.type)
            return builder.finish(), tuple(builder.diagnostics)
        if not self._check_function(builder):
            return builder.finish(), tuple(builder.diagnostics)
        self._is_building = True
        try:
            with building_of(builder) as building:
                return self._run_body(building, signature_of(self.function, of_pipeline=True))
        finally:
            self._is_building = False

    def _check_function(self, builder: GraphBuilder) -> bool:
        """Whether the body can be run to build a graph."""
        function: Any = self.function
        name = getattr(function, "__qualname__", "")
        if isinstance(function, type) or not callable(function):
            message = f"@pipeline on {function!r}, which is not a function"
            builder.report("not-a-function", message, "Write a function whose body calls tasks.")
        elif iscoroutinefunction(function) or isasyncgenfunction(function):
            builder.report(
                "async-function", f"{name!r} is an async function", "Write a plain one: it only builds a graph."
            )
        elif isgeneratorfunction(function):
            builder.report("generator-function", f"{name!r} is a generator", "Return the outputs.")
        elif "." in name.rpartition("<locals>.")[2]:
            message = f"@pipeline on the method {name!r}"
            builder.report("not-a-function", message, "Write it as a function; the object becomes a parameter.")
        else:
            return True
        return False

    def _run_body(self, building: Building, signature: Signature) -> tuple[Graph, tuple[Diagnostic, ...]]:
        builder = building.root
        builder.diagnostics.extend(signature.diagnostics)
        function: Any = self.function
        handles = {
            spec.name: Handle(None, builder.add_input(spec.name, spec.type, default=spec.default))
            for spec in signature.inputs
        }
        try:
            returned = function(**handles)
        except Exception as error:
            for diagnostic in building.diagnostics():
                error.add_note(str(diagnostic))
            raise
        building.place = builder.location
        _Returned(building, signature, function).add(returned)
        graph = builder.finish(
            fail_fast=self._declared.fail_fast,
            timeout_ms=self._timeout_ms(builder),
            labels=labels_of(self._declared.labels, builder.report),
            description=cleandoc(function.__doc__ or ""),
        )
        return graph, building.diagnostics()

    def _timeout_ms(self, builder: GraphBuilder) -> int | None:
        if self._declared.timeout is None:
            return None
        try:
            return duration_ms(self._declared.timeout)
        except ValueError as error:
            builder.report("bad-timeout", f"timeout: {error}", 'Give seconds or text, such as timeout="2h".')
            return None


class _Returned:
    """Makes what a pipeline's body returned into the outputs of its graph."""

    def __init__(self, building: Building, signature: Signature, function: Callable[..., Any]) -> None:
        self.building = building
        self.function = function
        self.name = building.root.name
        self.declared = {spec.name: spec.type for spec in signature.outputs or ()}
        self.has_annotation = signature.outputs is not None
        self.output_class = signature.output_class

    def add(self, returned: Any) -> None:
        if returned is None:
            values: Mapping[str, Any] = {}
        elif isinstance(returned, Handle):
            values = self._of_handle(returned)
        elif (fields := output_fields(type(returned))) is not None:
            values = {name: getattr(returned, name) for name in fields}
        elif isinstance(returned, dict):
            values = self._of_dict(returned)
        elif isinstance(returned, tuple):
            values = self._of_tuple(returned)
        else:
            values = {"output": returned}
        self._add_all(values)

    def _of_handle(self, handle: Handle) -> Mapping[str, Any]:
        ref = ref_of(handle)
        names = primary_outputs(ref) if ref is not None and handle._scoped is None else ("output",)
        if len(names) == 1:
            return {next(iter(self.declared), "output") if len(self.declared) == 1 else "output": handle}
        return {name: handle[name] for name in names}

    def _of_dict(self, returned: dict[Any, Any]) -> Mapping[str, Any]:
        for name in returned:
            if not isinstance(name, str):
                self._report(
                    "bad-name", f"{name!r} cannot be the name of an output", "Return a dict with text as keys."
                )
        if self.declared.keys() - {"output"}:
            return returned
        declared = self.declared.get("output")
        if declared is not None and declared.name not in ("struct", "json", "any"):
            self._report(
                "wrong-outputs",
                f"{self.name!r} returns a dict of outputs; its annotation says one value of type {declared}",
                "Return that value, or annotate a dict, NamedTuple or dataclass.",
            )
        self.declared = {}  # `-> dict` says that there are outputs, not which
        return {name: value for name, value in returned.items() if isinstance(name, str)}

    def _of_tuple(self, returned: tuple[Any, ...]) -> Mapping[str, Any]:
        if self.output_class is not None and len(self.declared) == len(returned):
            return dict(zip(self.declared, returned, strict=True))
        if self.output_class is not None:
            self._report(
                "wrong-outputs",
                f"{self.name!r} returns {len(returned)} values; its annotation names {len(self.declared)}",
                f"Return {', '.join(self.declared)}.",
            )
            self.declared = {}
            return {}
        hints = getattr(self.function, "__annotations__", {})
        types = _tuple_types(signature_hint(self.function) if "return" in hints else None, len(returned))
        self.declared = {f"output_{n}": type_ for n, type_ in enumerate(types, start=1)}
        return {f"output_{n}": value for n, value in enumerate(returned, start=1)}

    def _add_all(self, values: Mapping[str, Any]) -> None:
        builder = self.building.root
        for name, value in values.items():
            scoped: Scoped = value_of(value) if isinstance(value, Handle) else as_scoped(value)
            declared = self.declared.get(name)
            keeps = declared is None or declared.name == "any"
            builder.add_output(name, scoped, type_=None if keeps else declared, location=builder.location)
        if self.has_annotation:
            missing = [name for name in self.declared if name not in values]
            if missing:
                self._report(
                    "wrong-outputs",
                    f"{self.name!r} does not return {', '.join(map(repr, missing))}, which its annotation names",
                    "Return it, or change the annotation.",
                )

    def _report(self, code: str, message: str, fix: str) -> None:
        self.building.root.report(code, message, fix)


def signature_hint(function: Callable[..., Any]) -> Any:
    """The return annotation of a function, evaluated; None if it cannot be."""
    from typing import get_type_hints

    try:
        return get_type_hints(function).get("return")
    except Exception:  # noqa: BLE001 - recorded by signature_of already
        return None


def _tuple_types(annotation: Any, count: int) -> list[Type]:
    from typing import get_args, get_origin

    arguments = get_args(annotation) if get_origin(annotation) is tuple else ()
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * count
    return [type_of_annotation(argument) for argument in (arguments if len(arguments) == count else (Any,) * count)]


def _place(diagnostic: Diagnostic) -> tuple[str, int]:
    location = diagnostic.location
    return (location.file, location.line) if location else ("", 0)


@overload
def pipeline(function: Callable[P, R], /) -> Pipeline[P, R]: ...


@overload
def pipeline(
    *,
    name: str | None = None,
    fail_fast: bool = False,
    timeout: float | str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Callable[[Callable[P, R]], Pipeline[P, R]]: ...


def pipeline(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    fail_fast: bool = False,
    timeout: float | str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Any:
    """Mark a function as a pipeline: `@pipeline`, or `@pipeline(name=..., fail_fast=True, timeout="2h")`.

    Its parameters are the pipeline's, with types and defaults; what it returns are the outputs: one handle (named
    `output`), a dict, or a NamedTuple or dataclass. The docstring is its description. `fail_fast`: the first failed
    task cancels the rest. `timeout` bounds a whole run, in seconds or as text.
    """
    declared = Declared(name, fail_fast, timeout, labels)
    if function is None:
        return lambda decorated: Pipeline(decorated, declared)
    return Pipeline(function, declared)
