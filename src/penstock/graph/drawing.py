"""A picture as SVG 1.1 text (https://www.w3.org/TR/SVG11/): one file that needs nothing else, with no script in it. It is
readable on light and on dark grounds, as the viewer prefers; what there is no room for shows on hover."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from penstock.graph.layout import (
    CONDITION_HEIGHT,
    MARGIN,
    NAME_LINE,
    NAME_SIZE,
    PAD,
    PORT_HEIGHT,
    TEXT_LINE,
    TEXT_SIZE,
    Edge,
    Kind,
    Picture,
    Shape,
    header_height,
    picture_of,
)
from penstock.graph.model import Graph

_ARROW = 7.0
_BASE = 4.0  # from the foot of a line to the middle of its letters
# Every rule begins with the drawing's own class: set into a page, it changes nothing else there.
_LIGHT = {
    ".ground": "fill:#ffffff",
    ".name": "fill:#1b1f24",
    ".text": "fill:#57606a",
    ".shape": "fill:#ffffff;stroke:#8c959f",
    ".input>.shape,.output>.shape": "fill:#f6f8fa;stroke:#8c959f",
    ".finally>.shape": "fill:#fff8f0;stroke:#bc4c00",
    ".nothing>.shape": "fill:none;stroke:#afb8c1",
    ".pipeline>.shape": "fill:#f4f8ff;stroke:#54a0ff",
    ".map>.shape": "fill:#f2fbf5;stroke:#2da44e",
    ".branch>.shape": "fill:#fffaeb;stroke:#d4a72c",
    ".case>.shape": "fill:#ffffff;stroke:#d4a72c",
    ".loop>.shape": "fill:#faf5ff;stroke:#a475f9",
    ".condition": "fill:#fff1c2",
    ".edge>path": "stroke:#6e7781",
    ".edge>.head": "fill:#6e7781",
    ".edge.by-condition>path": "stroke:#b08800",
    ".edge.by-condition>.head": "fill:#b08800",
}
_DARK = {
    ".ground": "fill:#0d1117",
    ".name": "fill:#e6edf3",
    ".text": "fill:#9198a1",
    ".shape": "fill:#161b22;stroke:#6e7681",
    ".input>.shape,.output>.shape": "fill:#21262d;stroke:#6e7681",
    ".finally>.shape": "fill:#2b1b10;stroke:#db6d28",
    ".nothing>.shape": "fill:none;stroke:#484f58",
    ".pipeline>.shape": "fill:#0f1a2b;stroke:#388bfd",
    ".map>.shape": "fill:#0f1f16;stroke:#3fb950",
    ".branch>.shape": "fill:#1f1a0c;stroke:#bb8009",
    ".case>.shape": "fill:#161b22;stroke:#bb8009",
    ".loop>.shape": "fill:#1a1426;stroke:#8957e5",
    ".condition": "fill:#3d2f00",
    ".edge>path": "stroke:#8b949e",
    ".edge>.head": "fill:#8b949e",
    ".edge.by-condition>path": "stroke:#d29922",
    ".edge.by-condition>.head": "fill:#d29922",
}
_FONT = "font-family:Inter,Roboto,'Helvetica Neue',Helvetica,Arial,'Liberation Sans',sans-serif"
_ALWAYS = {
    ".name": f"{_FONT};font-weight:600;font-size:{NAME_SIZE:g}px;text-anchor:middle",
    ".text": f"{_FONT};font-size:{TEXT_SIZE:g}px;text-anchor:middle",
    ".title": f"font-size:{NAME_SIZE * 1.2:g}px;text-anchor:start",
    ".shape": "stroke-width:1.2",
    ".nothing>.shape": "stroke-dasharray:3 3",
    ".edge>path": "fill:none;stroke-width:1.3",
    ".edge>.head": "stroke:none",
    ".edge.by-order>path": "stroke-dasharray:5 4",
    ".edge:hover>path": "stroke-width:2.6",
}
# What XML 1.0 has no place for, whatever is done to it.
_UNSAYABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def svg_of(graph: Graph) -> str:
    """The graph as a standalone SVG image. The same graph gives the same text."""
    return "\n".join(_lines(picture_of(graph))) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    width, height = _number(picture.width), _number(picture.height)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="penstock-graph" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" role="img">'
    )
    yield f"<title>{_escaped(picture.name)}</title>"
    if picture.description:
        yield f"<desc>{_escaped(picture.description)}</desc>"
    yield "<style>"
    yield from _rules(_ALWAYS)
    yield from _rules(_LIGHT)
    yield "@media (prefers-color-scheme:dark){"
    yield from _rules(_DARK)
    yield "}"
    yield "</style>"
    yield f'<rect class="ground" width="{width}" height="{height}" rx="8"/>'
    yield _text("name title", MARGIN, MARGIN + NAME_LINE / 2 + _BASE, picture.name)
    for shape in picture.parameters:
        yield from _shape(shape)
    yield from _edges(picture.edges)
    for shape in picture.shapes:
        yield from _shape(shape)
    yield "</svg>"


def _rules(rules: dict[str, str]) -> Iterator[str]:
    for selectors, declarations in rules.items():
        scoped = ",".join(f".penstock-graph {selector}" for selector in selectors.split(","))
        yield f"{scoped}{{{declarations}}}"


def _shape(shape: Shape) -> Iterator[str]:
    width, height, middle = shape.width, shape.height, shape.width / 2
    yield f'<g class="{shape.kind}" transform="translate({_number(shape.x)} {_number(shape.y)})">'
    yield f"<title>{_escaped(shape.hover)}</title>"
    radius = height / 2 if shape.kind in (Kind.INPUT, Kind.OUTPUT) else 10 if shape.inside else 6
    size = f'width="{_number(width)}" height="{_number(height)}"'
    yield f'<rect class="shape" {size} rx="{_number(radius)}"/>'
    y = PAD / 2
    if shape.condition:
        inner = f'width="{_number(width - 2)}" height="{_number(CONDITION_HEIGHT)}"'
        yield f'<rect class="condition" x="1" y="1" {inner} rx="5"/>'
        yield _text("text", middle, CONDITION_HEIGHT / 2 + _BASE, shape.condition)
        y += CONDITION_HEIGHT
    yield _text("name", middle, y + NAME_LINE / 2 + _BASE, shape.name)
    for position, line in enumerate(shape.detail):
        yield _text("text", middle, y + NAME_LINE + (position + 0.5) * TEXT_LINE + _BASE, line)
    if shape.ports and not shape.inside:
        top = _number(header_height(shape))
        yield f'<path class="shape" d="M0 {top}H{_number(width)}"/>'
    for port in shape.ports:
        yield _text("text", port.x, height - PORT_HEIGHT / 2 + _BASE, port.text)
    yield from _edges(shape.edges)
    for inner_shape in shape.inside:
        yield from _shape(inner_shape)
    yield "</g>"


def _edges(edges: Sequence[Edge]) -> Iterator[str]:
    """Edges that leave the same place for the same reason are one thing with many ends: what they share is drawn once."""
    bundles: dict[tuple[str, str, tuple[float, float]], list[Edge]] = {}
    for edge in edges:
        bundles.setdefault((edge.carries, edge.source, edge.points[0]), []).append(edge)
    for (carries, _source, _place), bundle in bundles.items():
        lines = [line for edge in bundle for line in edge.hover.splitlines()]
        path = "".join(dict.fromkeys(part for edge in bundle for part in _parts(edge)))
        yield f'<g class="edge by-{carries}">'
        yield f"<title>{_escaped(chr(10).join(dict.fromkeys(lines)))}</title>"
        yield f'<path d="{path}"/>'
        for edge in bundle:
            x, y = (_number(place) for place in edge.points[-1])
            yield f'<path class="head" d="M{x} {y}l-{_number(_ARROW / 2)} -{_number(_ARROW)}h{_number(_ARROW)}z"/>'
        yield "</g>"


def _parts(edge: Edge) -> Iterator[str]:
    """Straight down between two points of a layer, a curve from layer to layer, and room for the arrow's head at the end."""
    *before, (end_x, end_y) = edge.points
    points = [*before, (end_x, end_y - _ARROW)]
    for (from_x, from_y), (to_x, to_y) in pairwise(points):
        x, y, middle = _number(to_x), _number(to_y), _number((from_y + to_y) / 2)
        start = f"M{_number(from_x)} {_number(from_y)}"
        bend = f"V{y}" if from_x == to_x else f"C{_number(from_x)} {middle} {x} {middle} {x} {y}"
        if from_y != to_y:
            yield start + bend


def _text(classes: str, x: float, y: float, text: str) -> str:
    return f'<text class="{classes}" x="{_number(x)}" y="{_number(y)}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    text = _UNSAYABLE.sub("\ufffd", text)
    for plain, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(plain, written)
    return text


def _number(value: float) -> str:
    """At most one digit after the point: less than anyone can see."""
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 100_000 else f"{value:.0f}"
