"""`@task`: a plain function as a component."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, update_wrapper
from inspect import cleandoc, isasyncgenfunction, isgeneratorfunction
from os import PathLike
from typing import Any, Generic, Literal, overload

from penstock.authoring.dsl.annotations import Signature, signature_of
from penstock.authoring.dsl.building import current_building
from penstock.authoring.dsl.components import Configured, P, R, call, known_options, use_options
from penstock.authoring.dsl.options import CALL_OPTION_NAMES, NO_OPTIONS, Options, policy_of
from penstock.authoring.dsl.own_folder import with_scratch
from penstock.authoring.dsl.places import function_location, importable_module, unwrapped
from penstock.authoring.dsl.sources import as_argument, is_source
from penstock.base.diagnostics import Diagnostic
from penstock.graph.model import Function, InputSpec, OutputSpec
from penstock.graph.sources import TABLE
from penstock.graph.types import ANY, PATH, SOURCE, Type


class Task(Generic[P, R]):
    """A function that is a component. Inside a pipeline a call adds it to the graph and gives a handle on its outputs;
    anywhere else it calls the function. `function` is what was decorated, `component` what a graph says of it."""

    def __init__(self, function: Callable[P, R], options: Options) -> None:
        self._options = options
        self._built: tuple[Function, tuple[Diagnostic, ...]] | None = None
        self.function = function
        update_wrapper(self, function)

    @property
    def name(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    @property
    def component(self) -> Function:
        return self.built()[0]

    def built(self) -> tuple[Function, tuple[Diagnostic, ...]]:
        """The component and what is wrong with its definition. Worked out at first use, when its module is complete."""
        if self._built is None:
            self._built = self._build()
        return self._built

    def options(self, **given: Any) -> Configured[P, R]:
        """This task with options for its next uses: `fit.options(name="fit-large", memory="16GiB")(data)`.

        How the node stands in the graph: `name`, `after` (handles to wait for), `when` (a condition), `trigger` (such
        as "all_ended"), `labels`. A call takes these itself where the function has no such parameter. How attempts are
        made: `resources`, `cpu`, `memory`, `gpu`, `disk`, `retry`, `timeout`, `priority`, `fresh`. What the cache is told:
        `cache`, `version`, `expires`. Raises TypeError for any other name.
        """
        return Configured(self, NO_OPTIONS.with_more(use_options(given)))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        building = current_building()
        if building is None:
            return self._called_plainly(args, kwargs)
        called: Any = call(building, self, NO_OPTIONS, args=args, kwargs=kwargs)
        return called  # type: ignore[no-any-return]

    def _called_plainly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        function: Any = self.function
        if any(map(is_source, args)) or any(map(is_source, kwargs.values())):
            args, kwargs = tuple(map(as_argument, args)), {name: as_argument(given) for name, given in kwargs.items()}
        return with_scratch(function)(*args, **kwargs)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<task {getattr(self.function, '__qualname__', self.name)}>"

    def __reduce__(self) -> str:
        return str(getattr(self, "__qualname__", self.name))

    def _build(self) -> tuple[Function, tuple[Diagnostic, ...]]:
        diagnostics: list[Diagnostic] = []
        location = function_location(self.function)

        def report(code: str, message: str, fix: str) -> None:
            diagnostics.append(Diagnostic(code, message, fix, location))

        self._check_function(report)
        signature = signature_of(self.function) if callable(self.function) else Signature((), None, None, ())
        diagnostics += signature.diagnostics
        outputs = signature.outputs
        function = Function(
            module=importable_module(getattr(self.function, "__module__", None) or "__main__"),
            name=getattr(self.function, "__qualname__", self.name),
            inputs=tuple(content_input(spec) for spec in signature.inputs),
            outputs=(OutputSpec("output", ANY),) if outputs is None else outputs,
            policy=policy_of(self._options, None, report=report),
            location=location,
            description=cleandoc(self.function.__doc__ or ""),
        )
        return function, tuple(diagnostics)

    def _check_function(self, report: Callable[[str, str, str], None]) -> None:
        """Whether a worker could import this function by its module and name."""
        function: Any = self.function
        name = getattr(function, "__qualname__", None)
        top = "Write it as a function at the top of a module."
        if isinstance(function, type):
            report("not-a-function", f"@task on the class {name!r}", "Write a function that uses the class.")
        elif isinstance(function, (staticmethod, classmethod)):
            report("not-a-function", f"@task on the method {name!r}", top)
        elif isinstance(function, partial):
            fix = "Mark the function itself with @task, and use partial(TASK, ...) in the pipeline."
            of = getattr(function.func, "__qualname__", type(function.func).__name__)
            report("not-a-function", f"@task on a functools.partial of {of!r}", fix)
        elif not isinstance(name, str) or not callable(function):
            report("not-a-function", f"@task on {function!r}, which is not a function", top)
        elif "<lambda>" in name:
            report("closure-as-component", "a lambda cannot be a task: no other process can import it", top)
        elif "<locals>" in name:
            message = f"{name.rpartition('.')[2]!r} is defined inside {name.partition('.<locals>')[0]!r}: no other process can "
            report("closure-as-component", message + "import it", f"{top} What it captures becomes a parameter.")
        elif "." in name:
            report("not-a-function", f"@task on the method {name!r}", f"{top} The object becomes a parameter.")
        elif isgeneratorfunction(function) or isasyncgenfunction(function):
            fix = "Return a list, or write a file and return its Path."
            report("generator-function", f"{name!r} is a generator, whose values cannot be kept", fix)
        else:
            self._check_found(name, report)

    def _check_found(self, name: str, report: Callable[[str, str, str], None]) -> None:
        module = sys.modules.get(getattr(self.function, "__module__", None) or "")
        found = getattr(module, name, self)
        if found is self or found is self.function or unwrapped(found) is unwrapped(self.function):
            return
        report(
            "not-importable",
            f"{name!r} of module {module.__name__ if module else '?'} is now something else, which would run instead",
            "Give the two different names.",
        )


def content_input(spec: InputSpec) -> InputSpec:
    """What a task is given for a parameter that is annotated as a source: its content."""
    type_ = spec.type
    if type_.name != SOURCE:
        return spec
    content = Type("list") if type_.options == (TABLE,) else PATH
    return replace(spec, type=replace(content, optional=type_.optional))


@overload
def task(function: Callable[P, R], /) -> Task[P, R]: ...


@overload
def task(
    *,
    cpu: float | None = None,
    memory: int | str | None = None,
    disk: int | str | None = None,
    gpu: float | Mapping[str, Any] | None = None,
    resources: Any = None,
    retry: Any = None,
    timeout: float | str | None = None,
    priority: int | None = None,
    cache: bool | Literal["trust"] | None = None,
    version: str | int | None = None,
    expires: float | str | None = None,
    files: Sequence[str | PathLike[str]] | None = None,
    env: Sequence[str] | None = None,
    depends: Sequence[Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    fresh: bool | None = None,
) -> Callable[[Callable[P, R]], Task[P, R]]: ...


def task(function: Any = None, /, **options: Any) -> Any:
    """Mark a function as a task: `@task`, or `@task(cpu=2, memory="4GiB", retry=3, timeout="10m")`.

    Its parameters are the inputs, its return annotation the outputs: one named `output`, or the fields of a NamedTuple
    or dataclass. `gpu` is a number of GPUs, a share of one (`0.5`), or `{"count": 2, "memory": "40GiB"}` (memory on each);
    `resources` is a dict of named amounts or `Resources(...)`; `retry` a number of attempts in all or `Retry(...)`;
    `timeout` bounds each attempt, in seconds or as text; `fresh` gives each attempt a process of its own.

    What the cache is told: `cache=False` always runs it, `cache="trust"` caches it though something in it cannot be
    followed; another `version` makes it run again; `expires` is how long its results hold. Beside its code and inputs it
    depends on `files` (also folders, relative to the project), on the environment variables `env` (`"secret:NAME"` and
    names that look like secrets count by name, never by value), and on the code `depends` (functions, classes, modules,
    or text: `"module:name"`). No other option counts as a change of the task, but `environment`: the Python version and
    packages of its own that it runs in, such as `{"python": "3.12", "packages": ["lightgbm"]}`.
    """
    for name in CALL_OPTION_NAMES:
        if name in options:
            raise TypeError(f"{name!r} belongs to a use of a task: task.options({name}=...)")
    chosen = NO_OPTIONS.with_more(known_options(options))
    if function is None:
        return lambda decorated: Task(decorated, chosen)
    return Task(function, chosen)
