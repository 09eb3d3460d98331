"""What shapes a pipeline beyond plain calls: `map_over`, `when` and `otherwise`, `one_of`, `loop_until`, `finally_`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, TypeVar, cast

from penstock.authoring.dsl.building import Building
from penstock.authoring.dsl.components import bind_arguments, building_for, component_of, split_options
from penstock.authoring.dsl.handles import UNKNOWN_HANDLE, Handle, as_scoped, ref_of
from penstock.authoring.dsl.lists import Lists, list_and_items
from penstock.authoring.dsl.options import (
    CALL_OPTION_NAMES,
    NO_OPTIONS,
    Options,
    limit_of,
    node_options,
)
from penstock.authoring.dsl.places import caller_location
from penstock.authoring.dsl.sources import is_source, kind_of
from penstock.base.diagnostics import Location
from penstock.graph.bindings import Index, Item, OneOf, Round, StateOf
from penstock.graph.builder import GraphBuilder, NodeOptions, NodeRef, Scoped
from penstock.graph.model import Graph, Work
from penstock.graph.names import nearest
from penstock.graph.sources import resolve, source_of
from penstock.graph.types import ANY, INT, SOURCE, STR, Type, list_of
from penstock.graph.value_types import merge_types

T = TypeVar("T")
NO_SOURCES: Mapping[str, Type] = {}


def map_over(
    component: Any,
    items: Any = None,
    *,
    parallel_max: int | None = None,
    failures_max: int = 0,
    index_to: str | None = None,
    **shared: Any,
) -> Any:
    """Use a task or pipeline once for each item of a list, in parallel (at most `parallel_max` at a time).

    The item goes to the first parameter that `shared` does not give; `index_to` names the parameter that gets the
    item's position. `items` may be several lists, by the names of the parameters that get their items: `in_step(x=xs,
    y=ys)` goes over them in step, `product(x=xs, y=ys)` over every combination. `map_over(fit, x=xs, y=ys)`, with no
    list by position, goes over all of them in step. Each output of the result is a list in item order, and `.indexes`
    the positions that it holds. More than `failures_max` failed items fail the whole. `name`, `after`, `when`, `trigger`
    and `labels` are taken as in a call; options for each item's attempts are given with `component.options(...)`.
    """
    building, location = building_for("map_over"), caller_location()
    used = component_of(component, "map_over")
    if used is None:
        return UNKNOWN_HANDLE
    built = building.use(used.component)
    options, shared_inputs = split_options(built, used.options, shared)
    types = {spec.name: spec.type for spec in built.inputs}
    if items is None:
        items, shared_inputs = Lists("step", shared_inputs), {}
    shared_inputs = {**used.keywords(built), **shared_inputs}
    given = {name: as_scoped(value, types.get(name)) for name, value in shared_inputs.items()}
    if index_to is not None:
        given[index_to] = Scoped(None, Index(), INT)
    sources: Mapping[str, Type] = NO_SOURCES
    if isinstance(items, Lists):
        list_, per_item = list_and_items(building, items, types, location)
        given.update(per_item)
    else:
        free = next((spec for spec in built.inputs if spec.name not in given), None)
        whole = list_of(free.type) if free is not None and free.type.parts else None
        list_ = as_scoped(items, _sources_in(items) or whole)
        item = Scoped(None, Item(), list_.type.item or ANY)
        if free is None:
            building.report(
                "no-input-for-item",
                f"every input of {built.name!r} is given, so there is none for the item",
                "Leave out the input that the items of the list are for.",
                location,
            )
        else:
            given[free.name] = item
            sources = {free.name: item.type} if item.type.name == SOURCE and free.type.name != SOURCE else NO_SOURCES
    limit = _limits(building, location)
    body, node = _body_and_options(building, built, options, location, sources=sources)
    inputs = {name: given[name] for name in _in_order(built, given)}
    return Handle(
        building.builder.add_map(
            body,
            list_,
            inputs,
            parallel_max=None if parallel_max is None else limit("parallel_max", parallel_max, 1),
            failures_max=limit("failures_max", failures_max, 0) or 0,
            options=node,
        )
    )


def loop_until(
    component: Any,
    condition: Callable[..., Any] | str,
    *,
    rounds_max: int,
    carry: Mapping[str, str] | str | None = None,
    exhausted: str = "succeed",
    round_to: str | None = None,
    **inputs: Any,
) -> Any:
    """Use a task or pipeline again and again until a condition holds, at most `rounds_max` times.

    `condition` is a function of the round's outputs (and of the round's number, from 1, if it takes two), or the name
    of an output that is a bool. `carry` says which output feeds which input in the next round (`{"model": "start"}`;
    for a single output just the input's name); left out: outputs that are named like an input of the same type.
    `round_to` names the parameter that gets the round's number. `exhausted="fail"` makes it a failure to use up the
    rounds. The result has the last round's outputs, `.met` and `.rounds`. `name`, `after`, `when`, `trigger` and
    `labels` are taken as in a call.
    """
    building, location = building_for("loop_until"), caller_location()
    used = component_of(component, "loop_until")
    if used is None:
        return UNKNOWN_HANDLE
    built = building.use(used.component)
    options, given = split_options(built, used.options, {**used.keywords(built), **inputs})
    types = {spec.name: spec.type for spec in built.inputs}
    bound = {name: as_scoped(value, types.get(name)) for name, value in given.items()}
    if round_to is not None:
        bound[round_to] = Scoped(None, Round(), INT)
    body, node = _body_and_options(building, built, options, location)
    until = _until(building, condition, building.builder.round_of(body), location)
    return Handle(
        building.builder.add_loop(
            body,
            {name: bound[name] for name in _in_order(built, bound)},
            until,
            carry=_carry(building, built, carry, location),
            rounds_max=_limits(building, location)("rounds_max", rounds_max, 1) or 1,
            exhausted=exhausted,
            options=node,
        )
    )


def finally_(component: Any, *watched: Any, **inputs: Any) -> Any:
    """Use a task or pipeline when everything else has ended, however it ended; also when the run is cancelled.

    `watched` are the handles to wait for; none: every other task of the pipeline. A parameter named `state` that is not
    given gets how they ended: failed if any failed, else cancelled if any was, else succeeded. `name` and `labels` are
    taken as in a call.
    """
    building, location = building_for("finally_"), caller_location()
    used = component_of(component, "finally_")
    if used is None:
        return UNKNOWN_HANDLE
    built = building.use(used.component)
    options, given = split_options(built, used.options, {**used.keywords(built), **inputs})
    for name in ("after", "when", "trigger"):
        if getattr(options, name) is not None:
            building.report(
                "bad-finally", f"finally_ takes no {name}=", "It runs whatever happened; watch tasks.", location
            )
    options = replace(options, after=None, when=None, trigger=None)
    bound = bind_arguments(building, built, args=(), kwargs=given, location=location)
    if "state" not in bound and any(spec.name == "state" for spec in built.inputs):
        bound["state"] = Scoped(building.builder, StateOf(""), STR)
    node = node_options(options, building, component=built, location=location)
    watch = _watched(building, watched, location)
    return Handle(building.builder.add_finally(built, bound, watch, node))


def one_of(*sources: T) -> T:
    """The first of these values that there is, in this order, once all of them are decided."""
    building, location = building_for("one_of"), caller_location()
    if not sources:
        building.report("one-of-nothing", "one_of() without a value", "Give it the values to choose from.", location)
        return cast("T", UNKNOWN_HANDLE)
    scoped = [as_scoped(source) for source in sources]
    owner = building.builder.common_owner(scoped)
    values = tuple([owner.bring(one, location) for one in scoped])
    chosen = Handle(None, Scoped(owner, OneOf(values), merge_types([one.type for one in scoped])))
    return cast("T", chosen)  # in a body, handles stand for values of the types that functions are annotated with


def when(
    condition: Any,
    /,
    *,
    name: str | None = None,
    after: Any = None,
    trigger: Any = None,
    labels: Mapping[str, str] | None = None,
) -> Block:
    """`with when(score > 0.9):` the tasks called in the block run if the condition holds. `otherwise(...)` may follow.
    What the block makes can be used after it; it is absent if the block did not run (see `one_of`)."""
    building, location = building_for("when"), caller_location()
    options = NO_OPTIONS.with_more({"name": name, "after": after, "trigger": trigger, "labels": labels})
    node = node_options(options, building, component=None, location=location)
    scoped = as_scoped(condition)
    return Block(building, lambda: building.builder.add_branch(node).case(scoped, location=location), location)


def otherwise(condition: Any = None, /) -> Block:
    """`with otherwise():` directly after the block of a `when`: the tasks in it run if no earlier condition held. With
    a condition, only if that one holds then."""
    building, location = building_for("otherwise"), caller_location()
    scoped = None if condition is None else as_scoped(condition)

    def begin() -> GraphBuilder:
        branch = building.builder.open_branch()
        if branch is None:
            building.report(
                "otherwise-without-when",
                "otherwise does not follow the block of a when",
                "Put it directly after the block of `with when(...)`, and the one without a condition last.",
                location,
            )
            branch = building.builder.add_branch(NodeOptions(location=location))
        return branch.case(scoped, location=location)

    return Block(building, begin, location)


class Block:
    """What `when` and `otherwise` give: for `with`, once."""

    __slots__ = ("_begin", "_building", "_inside", "_location")

    def __init__(self, building: Building, begin: Callable[[], GraphBuilder], location: Location) -> None:
        self._building = building
        self._begin = begin
        self._location = location
        self._inside: AbstractContextManager[None] | None = None
        building.unopened[id(self)] = (self, location)

    def __enter__(self) -> None:
        self._building.unopened.pop(id(self), None)
        self._inside = self._building.inside(self._begin())
        self._inside.__enter__()

    def __exit__(self, *raised: Any) -> None:
        if self._inside is not None:
            self._inside.__exit__(*raised)


def _sources_in(items: Any) -> Type | None:
    """The type of a list of sources that is written out: each is looked at where its item is."""
    if not isinstance(items, (list, tuple)) or not items or not all(is_source(item) for item in items):
        return None
    return list_of(source_of(*dict.fromkeys(kind_of(item) for item in items)))


def _limits(building: Building, location: Location) -> Callable[[str, Any, int], int | None]:
    """What checks limits that were given at a place: by name, value and least allowed."""

    def report(code: str, message: str, fix: str) -> None:
        building.report(code, message, fix, location)

    return lambda what, given, minimum: limit_of(what, given, minimum, report)


def _in_order(built: Work | Graph, given: Mapping[str, Any]) -> list[str]:
    """The names in `given` in the order of the component's inputs; unknown ones last."""
    names = [spec.name for spec in built.inputs if spec.name in given]
    return [*names, *(name for name in given if name not in names)]


def _body_and_options(
    building: Building,
    built: Work | Graph,
    options: Options,
    location: Location,
    *,
    sources: Mapping[str, Type] = NO_SOURCES,
) -> tuple[Graph | GraphBuilder, NodeOptions]:
    """The body of a map or loop over a component, and the options of the node itself: those about order stay with it,
    those about attempts go to the call inside. `sources` are inputs of the body that its component takes the content
    of."""
    order = Options(**{name: getattr(options, name) for name in CALL_OPTION_NAMES})
    attempts = replace(options, **dict.fromkeys(CALL_OPTION_NAMES))
    node = node_options(order, building, component=None, location=location)
    if isinstance(built, Graph) and attempts == NO_OPTIONS and built.timeout_ms is None and not sources:
        return built, node
    body = building.builder.child(built.name, location=location)
    inputs = {}
    for spec in built.inputs:
        if spec.name in sources:
            inputs[spec.name] = resolve(
                body, body.add_input(spec.name, sources[spec.name]), wanted=spec.type, location=location
            )
        else:
            inputs[spec.name] = body.add_input(spec.name, spec.type, default=spec.default)
    with building.inside(body):
        inner = node_options(attempts, building, component=built, location=location)
    call = body.add_call(built, inputs, inner)
    for output in built.outputs:
        body.add_output(output.name, call.output(output.name))
    return body, node


def _until(building: Building, condition: Any, round_: NodeRef, location: Location) -> Scoped | None:
    if isinstance(condition, str):
        if condition in round_.outputs:
            return round_.output(condition)
        building.report(
            "unknown-output", f"a round has no output {condition!r}", nearest(condition, round_.outputs), location
        )
        return None
    if not callable(condition):
        building.report(
            "bad-condition",
            "the condition of loop_until is neither a function of a round's outputs nor the name of an output",
            "Write loop_until(train, lambda round: round.loss < 0.1, ...).",
            location,
        )
        return None
    handle = Handle(round_)
    number = Handle(None, Scoped(None, Round(), INT))
    return as_scoped(condition(handle, number) if _takes_two(condition) else condition(handle))


def _takes_two(condition: Callable[..., Any]) -> bool:
    import inspect

    try:
        parameters = inspect.signature(condition).parameters.values()
    except (TypeError, ValueError):
        return False
    required = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    return len(required) >= 2


def _carry(
    building: Building, built: Work | Graph, carry: Mapping[str, str] | str | None, location: Location
) -> Mapping[str, str]:
    outputs = {output.name: output.type for output in built.outputs}
    if carry is None:
        return {spec.name: spec.name for spec in built.inputs if outputs.get(spec.name) == spec.type}
    if isinstance(carry, str):
        if len(outputs) == 1:
            return {next(iter(outputs)): carry}
        building.report(
            "unknown-carry",
            f"carry={carry!r} does not say which of {', '.join(outputs) or 'no outputs'} to carry",
            f'Write carry={{"OUTPUT": "{carry}"}}.',
            location,
        )
        return {}
    return dict(carry)


def _watched(building: Building, watched: tuple[Any, ...], location: Location) -> list[NodeRef] | None:
    refs: list[NodeRef] = []
    for handle in watched:
        ref = ref_of(handle) if isinstance(handle, Handle) else None
        if ref is not None:
            refs.append(ref)
        elif handle is not UNKNOWN_HANDLE:
            building.report(
                "bad-watched", f"finally_ cannot watch {handle!r}", "Give what calls of tasks return.", location
            )
    return refs if watched else None
