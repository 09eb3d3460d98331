"""Using components: how a task or pipeline is called, and how what is given to it is bound to its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

from penstock.authoring.dsl.building import Building, Component, current_building
from penstock.authoring.dsl.handles import Handle, as_scoped
from penstock.authoring.dsl.options import CALL_OPTION_NAMES, NO_OPTIONS, TASK_OPTION_NAMES, Options, node_options
from penstock.authoring.dsl.places import caller_location
from penstock.base.diagnostics import Location
from penstock.base.errors import InvalidInput
from penstock.graph.builder import Scoped
from penstock.graph.model import Graph, Work

P = ParamSpec("P")
R = TypeVar("R")


class Configured(Generic[P, R]):
    """A component with options for its next uses: `fit.options(memory="8GiB")(data)`. Callable like the component, and
    taken by `map_over`, `loop_until` and `finally_` as well."""

    __slots__ = ("component", "given")

    def __init__(self, component: Component, given: Options) -> None:
        self.component = component
        self.given = given

    def options(self, **given: Any) -> Configured[P, R]:
        """These options laid over the ones given so far; see `Task.options`."""
        return Configured(self.component, self.given.with_more(use_options(given)))

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        building = current_building()
        if building is None:
            return self.component(*args, **kwargs)  # type: ignore[no-any-return]
        called: Any = call(building, self.component, self.given, args=args, kwargs=kwargs)
        return called  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<{self.component.name} with options>"


def use_options(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """`given` if every name in it is an option of a use. Raises TypeError."""
    for name in TASK_OPTION_NAMES:
        if name in given:
            raise TypeError(f"{name!r} belongs to the definition of a task: @task({name}=...)")
    return known_options(given)


def known_options(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """`given` if every name in it is an option. Raises TypeError as a call with an unknown keyword does."""
    for name in given:
        if name not in Options.__dataclass_fields__:
            from penstock.graph.names import nearest

            raise TypeError(f"there is no option {name!r}. {nearest(name, Options.__dataclass_fields__)}")
    return given


def call(
    building: Building, component: Component, options: Options, *, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Handle:
    """Add a Call of `component` to the graph that is being built."""
    location = caller_location()
    built = building.use(component)
    options, kwargs = split_options(built, options, kwargs)
    inputs = bind_arguments(building, built, args=args, kwargs=kwargs, location=location)
    chosen = node_options(options, building, component=built, location=location)
    return Handle(building.builder.add_call(built, inputs, chosen))


def split_options(
    built: Work | Graph, options: Options, kwargs: Mapping[str, Any]
) -> tuple[Options, Mapping[str, Any]]:
    """Take out of the keywords of a call those that are options of it, because the component has no input of that
    name."""
    taken = {name: kwargs[name] for name in CALL_OPTION_NAMES if name in kwargs}
    if taken:
        names = {spec.name for spec in built.inputs}
        taken = {name: value for name, value in taken.items() if name not in names}
        options = options.with_more(taken)
        kwargs = {name: value for name, value in kwargs.items() if name not in taken}
    return options, kwargs


def bind_arguments(
    building: Building,
    built: Work | Graph,
    *,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    location: Location,
) -> dict[str, Scoped]:
    """The Values of a component's inputs by name, in the order of its signature. Inputs that are missing or unknown are
    left to `graph.check`."""
    specs = built.inputs
    bound: dict[str, Scoped] = {}
    rest = dict(kwargs)
    for position, spec in enumerate(specs):
        name = spec.name
        if position < len(args):
            bound[name] = as_scoped(args[position], spec.type)
            if name in rest:
                building.report(
                    "input-given-twice",
                    f"input {name!r} of {built.name!r} is given by position and by name",
                    "Give it once.",
                    location,
                )
                del rest[name]
        elif name in rest:
            bound[name] = as_scoped(rest.pop(name), spec.type)
    for name, value in rest.items():
        bound[name] = as_scoped(value)
    if len(args) > len(specs):
        building.report(
            "too-many-inputs",
            f"{built.name!r} takes {len(specs)} input{'s' if len(specs) != 1 else ''}, {len(args)} are given",
            f"Its inputs are: {', '.join(spec.name for spec in specs) or 'none'}.",
            location,
        )
    return bound


@dataclass(frozen=True, slots=True)
class Used:
    """What was given to `map_over` and the like: a component, options for its uses, and the arguments that a
    `functools.partial` of it holds."""

    component: Component
    options: Options
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def keywords(self, built: Work | Graph) -> dict[str, Any]:
        """The arguments by the names of the inputs."""
        named = dict(zip([spec.name for spec in built.inputs], self.args, strict=False))
        return {**named, **self.kwargs}


def component_of(given: Any, what: str) -> Used | None:
    """The component behind what was given to `map_over` and the like; a mistake is recorded."""
    if isinstance(given, partial):
        used = component_of(given.func, what)
        return used and replace(used, args=(*used.args, *given.args), kwargs={**used.kwargs, **given.keywords})
    if isinstance(given, Configured):
        return Used(given.component, given.given)
    if callable(getattr(given, "built", None)):
        return Used(given, NO_OPTIONS)
    building = current_building()
    assert building is not None
    if callable(given):
        name = getattr(given, "__qualname__", repr(given))
        closure = "<lambda>" in name or "<locals>" in name
        message = f"{what} takes a task or pipeline, not {'the closure' if closure else 'the plain function'} {name!r}"
        fix = "Write it as a function at the top of a module and mark it with @task."
        building.report("closure-as-component" if closure else "not-a-component", message, fix)
    else:
        building.report(
            "not-a-component", f"{what} takes a task or pipeline, not {given!r}", "Give a function with @task."
        )
    return None


def building_for(what: str) -> Building:
    """The pipeline being built. Raises InvalidInput outside of one."""
    building = current_building()
    if building is None:
        raise InvalidInput(f"{what} is for use inside a pipeline", fix="Call it in the body of a @pipeline function.")
    return building
