"""A graph as a picture: every node a shape with a place and a size, control flow as shapes that hold others, and edges.

It knows what is shown where, and nothing of the format that it is written in (`graph.drawing`). A shape's place is relative to
the left upper corner of the shape that holds it. Artifacts flow along edges; parameters, which often go everywhere, are named
in the shapes that read them. Lengths are in pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from penstock.graph.bindings import Input, OneOf, Output, StateOf, Value, leaves
from penstock.graph.check_order import values_of
from penstock.graph.layers import GAP_X, GAP_Y, Box, Layers, Link, Points, layered
from penstock.graph.model import (
    Branch,
    Call,
    Finally,
    Graph,
    InputSpec,
    Loop,
    Map,
    Node,
    Trigger,
    Work,
    bodies_of,
    outputs_of,
)
from penstock.graph.render import frame_text, input_text, policy_text, value_text

NAME_SIZE = 13.0
TEXT_SIZE = 11.0
NAME_LINE = 18.0
TEXT_LINE = 15.0
PAD = 12.0
CONDITION_HEIGHT = 20.0
PORT_HEIGHT = 18.0
MARGIN = 20.0
_TEXT_MAX = 44
_READ_MAX = 4  # names of parameters shown in a shape; the others show on hover
_PORTS_MAX = 6
_ARRIVALS_GAP = 14.0

# Advance widths of DejaVu Sans by groups of like letters, as parts of its size, rounded up. It is the widest of the fonts that
# a viewer may take, so that texts fit in all of them.
_LETTERS_BY_WIDTH = {
    0.35: " ',./:;IJ\\ijl|",
    0.45: "!()-[]frt",
    0.53: '"*?_`csz',
    0.9: "#&+<=>DGHOQ^w~→M",
    1.0: "%@Wm…",
}
_WIDTHS = {letter: width for width, letters in _LETTERS_BY_WIDTH.items() for letter in letters}
_WIDTH, _WIDTH_BEYOND_LATIN = 0.66, 1.05
_BOLD = 1.12


class Kind(StrEnum):
    INPUT = "input"
    OUTPUT = "output"
    TASK = "task"
    FINALLY = "finally"
    NOTHING = "nothing"
    PIPELINE = "pipeline"
    MAP = "map"
    BRANCH = "branch"
    CASE = "case"
    LOOP = "loop"


class Carries(StrEnum):
    """What an edge stands for."""

    VALUE = "value"
    CONDITION = "condition"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Port:
    """A named output at the lower end of a shape; `x` is the middle."""

    text: str
    x: float


@dataclass(frozen=True, slots=True)
class Edge:
    """Goes straight down between points 1 and 2, 3 and 4, ... and bends in between. `hover` tells of the values."""

    carries: Carries
    source: str
    target: str
    points: Points
    hover: str


@dataclass(frozen=True, slots=True)
class Shape:
    """`name` over lines of `detail`, a `condition` on top if the node has one, `ports` at the bottom if its outputs have names,
    and what stands inside. `hover` tells what there is no room for."""

    kind: Kind
    name: str
    detail: tuple[str, ...]
    hover: str
    width: float
    height: float
    x: float = 0.0
    y: float = 0.0
    condition: str = ""
    ports: tuple[Port, ...] = ()
    inside: tuple[Shape, ...] = ()
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A whole pipeline. `parameters` stand in a row above the shapes."""

    name: str
    description: str
    parameters: tuple[Shape, ...]
    shapes: tuple[Shape, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float


def picture_of(graph: Graph) -> Picture:
    """Places for everything that is drawn of a graph. The same graph gives the same picture."""
    ends = [_end(Kind.INPUT, spec.name, str(spec.type), input_text(spec)) for spec in _flowing(graph)]
    ends += [
        _end(
            Kind.OUTPUT,
            f"{output.name}",
            str(output.type),
            f"{output.name}: {output.type} = {value_text(output.value)}",
        )
        for output in graph.outputs
    ]
    shapes, edges, width, height = _Drawing().inside(graph, ends)
    parameters = [
        _end(Kind.INPUT, f"{spec.name}", _cut(input_text(spec).partition(": ")[2]), input_text(spec))
        for spec in graph.inputs
        if spec.type.is_parameter
    ]
    top = MARGIN + NAME_LINE + PAD
    row, row_height = _in_rows(parameters, max(width, text_width(graph.name, NAME_SIZE, bold=True), 480.0))
    below = top + row_height + (GAP_Y / 2 if row else 0.0)
    width = max(width, text_width(graph.name, NAME_SIZE * 1.2, bold=True), *(each.x + each.width for each in row), 0.0)
    return Picture(
        graph.name,
        graph.description,
        tuple(replace(each, x=each.x + MARGIN, y=each.y + top) for each in row),
        tuple(_moved(shape, MARGIN, below) for shape in shapes),
        tuple(_moved_edge(edge, MARGIN, below) for edge in edges),
        width + 2 * MARGIN,
        below + height + MARGIN,
    )


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """About how wide a text is in a sans-serif font of this size; rather too much than too little."""
    width = sum(_WIDTHS.get(c, _WIDTH if c < "\u0250" else _WIDTH_BEYOND_LATIN) for c in text)
    return width * size * (_BOLD if bold else 1.0)


def _flowing(graph: Graph) -> Iterator[InputSpec]:
    return (spec for spec in graph.inputs if not spec.type.is_parameter)


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1]}…"


def _end(kind: Kind, name: str, type_: str, hover: str) -> Shape:
    width = max(text_width(_cut(name), NAME_SIZE, bold=True), text_width(_cut(type_), TEXT_SIZE)) + 2.5 * PAD
    return Shape(kind, _cut(name), (_cut(type_),), hover, width, NAME_LINE + TEXT_LINE + PAD)


def _in_rows(shapes: Sequence[Shape], width: float) -> tuple[list[Shape], float]:
    placed: list[Shape] = []
    x = y = height = 0.0
    for shape in shapes:
        if x and x + shape.width > width:
            x, y = 0.0, height + PAD / 2
        placed.append(replace(shape, x=x, y=y))
        x, height = x + shape.width + PAD, max(height, y + shape.height)
    return placed, height


def _moved(shape: Shape, x: float, y: float) -> Shape:
    return replace(shape, x=shape.x + x, y=shape.y + y)


def _moved_edge(edge: Edge, x: float, y: float) -> Edge:
    return replace(edge, points=tuple((left + x, top + y) for left, top in edge.points))


@dataclass(frozen=True, slots=True)
class _Tie:
    """Something that leads from one node to another: an output by name ("" for order)."""

    source: str
    output: str
    target: str
    carries: Carries


class _Drawing:
    """Draws bodies; one that is used often is placed once."""

    def __init__(self) -> None:
        self._inside_by_body: dict[int, tuple[tuple[Shape, ...], tuple[Edge, ...], float, float]] = {}

    def inside(
        self, graph: Graph, ends: Sequence[Shape] = ()
    ) -> tuple[tuple[Shape, ...], tuple[Edge, ...], float, float]:
        """Shapes, edges, width and height of what stands in a graph. `ends` are the shapes of the pipeline's own inputs and
        outputs; a body has none."""
        known = self._inside_by_body.get(id(graph))
        if known is not None and not ends:
            return known
        ties = _ties(graph, with_ends=bool(ends))
        shapes = [end for end in ends if end.kind is Kind.INPUT]
        names = [f"<{spec.name}" for spec in _flowing(graph)] if ends else []
        shapes += [self._shape(node, _used_outputs(node, ties)) for node in graph.nodes]
        names += [node.name for node in graph.nodes]
        shapes += [end for end in ends if end.kind is Kind.OUTPUT]
        names += [f">{output.name}" for output in graph.outputs] if ends else []
        if not shapes:
            shapes, names = [_nothing()], [""]
        place = {name: index for index, name in enumerate(names)}
        bundles = _bundled({tie: hover for tie, hover in ties.items() if tie.source in place and tie.target in place})
        links = [
            Link(place[tie.source], place[tie.target], _leaves_at(shapes[place[tie.source]], tie), tie.carries)
            for tie in bundles
        ]
        layers = layered([Box(shape.width, shape.height) for shape in shapes], links)
        placed = tuple(_moved(shape, *corner) for shape, corner in zip(shapes, layers.corners, strict=True))
        edges = _edges(bundles, placed, links, layers)
        found = placed, edges, layers.width, layers.height
        if not ends:
            self._inside_by_body[id(graph)] = found
        return found

    def _shape(self, node: Node, outputs: Sequence[str]) -> Shape:
        detail = tuple(_cut(line) for line in _detail(node))
        condition = (
            "" if isinstance(node, Finally) or node.order.when is None else f"when {value_text(node.order.when)}"
        )
        bare = Shape(_kind(node), _cut(node.name), detail, _hover(node), 0.0, 0.0, condition=_cut(condition))
        if isinstance(node, Branch):
            cases = [self._frame(_case(node, position), case.body) for position, case in enumerate(node.cases)]
            x, placed = 0.0, []
            for case in cases:
                placed.append(replace(case, x=x))
                x += case.width + GAP_X / 2
            return _framed(bare, (tuple(placed), (), x - GAP_X / 2, max(case.height for case in cases)), outputs)
        bodies = bodies_of(node)
        return self._frame(bare, bodies[0][0], outputs) if bodies else _framed(bare, ((), (), 0.0, 0.0), outputs)

    def _frame(self, bare: Shape, body: Graph, outputs: Sequence[str] = ()) -> Shape:
        return _framed(bare, self.inside(body), outputs)


def _framed(
    bare: Shape, inside: tuple[tuple[Shape, ...], tuple[Edge, ...], float, float], outputs: Sequence[str]
) -> Shape:
    """The shape with its size, with room for its texts and ports and for what stands inside."""
    shapes, edges, width, height = inside
    shown = [*outputs[:_PORTS_MAX], *(["…"] if len(outputs) > _PORTS_MAX else [])]
    port_widths = [text_width(_cut(output), TEXT_SIZE) + PAD for output in shown]
    head = header_height(bare)
    own = max(
        text_width(bare.name, NAME_SIZE, bold=True),
        *(text_width(line, TEXT_SIZE) for line in bare.detail),
        text_width(bare.condition, TEXT_SIZE),
        sum(port_widths) - PAD,
        width,
        60.0,
    )
    full = own + 2 * PAD
    left = (full - width) / 2
    ports, x = [], (full - sum(port_widths)) / 2
    for output, port_width in zip(shown, port_widths, strict=True):
        ports.append(Port(_cut(output), x + port_width / 2))
        x += port_width
    return replace(
        bare,
        width=full,
        height=head + (height + PAD if shapes else 0.0) + (PORT_HEIGHT if ports else 0.0),
        ports=tuple(ports),
        inside=tuple(_moved(shape, left, head) for shape in shapes),
        edges=tuple(_moved_edge(edge, left, head) for edge in edges),
    )


def header_height(shape: Shape) -> float:
    """How far below a shape's upper end its own texts reach."""
    lines = NAME_LINE + TEXT_LINE * len(shape.detail) + PAD
    return lines + (CONDITION_HEIGHT if shape.condition else 0.0)


def _nothing() -> Shape:
    width = text_width("nothing", TEXT_SIZE) + 2 * PAD
    return Shape(Kind.NOTHING, "nothing", (), "There are no nodes here.", width, NAME_LINE + PAD)


def _case(branch: Branch, position: int) -> Shape:
    case = branch.cases[position]
    text = "otherwise" if case.when is None else value_text(case.when)
    bound = [f"{name} = {value_text(value)}" for name, value in case.inputs.items()]
    return Shape(Kind.CASE, _cut(text), (), "\n".join([text, *bound]), 0.0, 0.0)


def _kind(node: Node) -> Kind:
    if isinstance(node, Finally):
        return Kind.FINALLY
    if isinstance(node, Call):
        return Kind.PIPELINE if isinstance(node.component, Graph) else Kind.TASK
    return {Map: Kind.MAP, Branch: Kind.BRANCH, Loop: Kind.LOOP}[type(node)]


# -- what the shapes say -----------------------------------------------------------------------------------------------


def _detail(node: Node) -> Iterator[str]:
    if isinstance(node, (Map, Loop)):
        yield frame_text(node)
    elif isinstance(node, Branch):
        yield "the first case that holds"
    else:
        called = node.component.name
        if isinstance(node, Finally):
            yield "finally" if called == node.name else f"finally {called}"
        elif called != node.name or isinstance(node.component, Graph):
            yield f"pipeline {called}" if isinstance(node.component, Graph) else called
    read = list(
        dict.fromkeys(leaf.name for value in values_of(node) for leaf in leaves(value) if isinstance(leaf, Input))
    )
    if read:
        more = f" and {len(read) - _READ_MAX} more" if len(read) > _READ_MAX else ""
        yield f"reads {', '.join(read[:_READ_MAX])}{more}"
    if not isinstance(node, Finally) and node.order.trigger is not Trigger.ALL_SUCCEEDED:
        yield f"if {node.order.trigger}"


def _hover(node: Node) -> str:
    """Everything that is known of a node: what it is, its inputs and outputs with types, how it is run."""
    lines = [f"{node.name}: {frame_text(node)}"]
    if not isinstance(node, Branch):
        specs = node.body.inputs if isinstance(node, (Map, Loop)) else node.component.inputs
        type_by_input = {spec.name: f": {spec.type}" for spec in specs}
        lines += [f"{name}{type_by_input.get(name, '')} = {value_text(value)}" for name, value in node.inputs.items()]
    lines += [f"→ {name}: {type_}" for name, type_ in outputs_of(node).items()]
    if isinstance(node, Finally):
        lines.append(f"after {', '.join(node.watch) or 'nothing'}, however they ended")
    else:
        lines += [f"after {', '.join(node.order.after)}"] if node.order.after else []
        lines += [f"when {value_text(node.order.when)}"] if node.order.when is not None else []
    lines.append(policy_text(node).strip())
    component = node.component if isinstance(node, (Call, Finally)) else None
    if isinstance(component, Work):
        lines.append(component.description)
    lines += [f"{key}={text}" for key, text in node.labels.items()]
    return "\n".join(line for line in lines if line)


# -- edges -------------------------------------------------------------------------------------------------------------


def _ties(graph: Graph, *, with_ends: bool) -> dict[_Tie, str]:
    """What leads from node to node, each with what it says on hover."""
    ties: dict[_Tie, list[str]] = {}
    drawn_inputs = {spec.name: spec.type for spec in _flowing(graph)} if with_ends else {}
    types = {node.name: outputs_of(node) for node in graph.nodes}

    def tie(value: Value, target: str, carries: Carries, meant: str) -> None:
        for leaf in leaves(value):
            if isinstance(leaf, Output) and leaf.node in types:
                type_ = types[leaf.node].get(leaf.name, "?")
                said = f"{leaf.node}.{leaf.name}: {type_} → {meant}"
                ties.setdefault(_Tie(leaf.node, leaf.name, target, carries), []).append(said)
            elif isinstance(leaf, StateOf) and leaf.node in types:
                ties.setdefault(_Tie(leaf.node, "", target, Carries.ORDER), []).append(
                    f"how {leaf.node} ended → {meant}"
                )
            elif isinstance(leaf, Input) and leaf.name in drawn_inputs:
                said = f"{leaf.name}: {drawn_inputs[leaf.name]} → {meant}"
                ties.setdefault(_Tie(f"<{leaf.name}", "", target, carries), []).append(said)

    for node in graph.nodes:
        for meant, value, carries in _meant(node):
            tie(value, node.name, carries, meant)
        before = _last_watched(graph, node) if isinstance(node, Finally) else node.order.after
        for name in before:
            if not any(each.source == name and each.target == node.name for each in ties):
                said = f"{node.name} runs after {name}"
                ties.setdefault(_Tie(name, "", node.name, Carries.ORDER), []).append(said)
    for output in graph.outputs if with_ends else ():
        tie(output.value, f">{output.name}", Carries.VALUE, _chosen(output.value, output.name))
    return {each: "\n".join(dict.fromkeys(said)) for each, said in ties.items()}


def _chosen(value: Value, name: str) -> str:
    return f"{name} (the first that there is)" if isinstance(value, OneOf) else name


def _meant(node: Node) -> Iterator[tuple[str, Value, Carries]]:
    """The Values of a node, each with what it is for."""
    if isinstance(node, Branch):
        for case in node.cases:
            if case.when is not None:
                yield f"condition {value_text(case.when)}", case.when, Carries.CONDITION
            for name, value in case.inputs.items():
                yield f"{node.name}.{name}", value, Carries.VALUE
    else:
        for name, value in node.inputs.items():
            yield _chosen(value, f"{node.name}.{name}"), value, Carries.VALUE
    if isinstance(node, Map):
        yield f"items of {node.name}", node.items, Carries.VALUE
    if isinstance(node, Loop) and node.until is not None:
        yield f"until {value_text(node.until)}", node.until, Carries.CONDITION
    if not isinstance(node, Finally) and node.order.when is not None:
        yield f"when {value_text(node.order.when)}", node.order.when, Carries.CONDITION


def _last_watched(graph: Graph, node: Finally) -> list[str]:
    """The watched nodes that no other watched node comes after: edges from the others would say nothing more."""
    watched = set(node.watch)
    followed: set[str] = set()
    for other in graph.nodes:
        if other.name in watched and not isinstance(other, Finally):
            followed.update(other.order.after)
            for leaf in (leaf for value in values_of(other) for leaf in leaves(value)):
                if isinstance(leaf, (Output, StateOf)):
                    followed.add(leaf.node)
    return [name for name in node.watch if name not in followed]


def _used_outputs(node: Node, ties: Iterable[_Tie]) -> list[str]:
    """The outputs that something reads, in their order; none if there is nothing but the unnamed one."""
    used = {tie.output for tie in ties if tie.source == node.name and tie.output}
    return [name for name in outputs_of(node) if name in used] if used - {"output"} else []


def _bundled(ties: Mapping[_Tie, str]) -> dict[_Tie, str]:
    """A value that is read as an input and as a condition too is drawn once."""
    return {
        tie: hover
        for tie, hover in ties.items()
        if tie.carries is not Carries.CONDITION or replace(tie, carries=Carries.VALUE) not in ties
    }


def _leaves_at(shape: Shape, tie: _Tie) -> float:
    for port in shape.ports:
        if tie.output and port.text in (_cut(tie.output), "…"):
            return port.x - shape.width / 2
    return 0.0


def _edges(
    ties: Mapping[_Tie, str], shapes: Sequence[Shape], links: Sequence[Link], layers: Layers
) -> tuple[Edge, ...]:
    """Edges end side by side on the shape they lead to, in the order in which they come."""
    arriving: dict[int, list[int]] = {}
    for index, link in enumerate(links):
        arriving.setdefault(link.target, []).append(index)
    points = list(layers.routes)
    for target, coming in arriving.items():
        coming.sort(key=lambda index: (points[index][-2][0], index))
        sources = list(dict.fromkeys(points[index][-2][0] for index in coming))
        shape = shapes[target]
        gap = min(_ARRIVALS_GAP, (shape.width - 2 * PAD) / max(len(sources) - 1, 1))
        for index in coming:
            x = shape.x + shape.width / 2 + (sources.index(points[index][-2][0]) - (len(sources) - 1) / 2) * gap
            points[index] = (*points[index][:-1], (x, points[index][-1][1]))
    return tuple(
        Edge(tie.carries, tie.source, tie.target, route, hover)
        for (tie, hover), route in zip(ties.items(), points, strict=True)
    )
