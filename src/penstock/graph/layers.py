"""Boxes and links placed in layers so that links go down and cross little: ranks, then orders, then coordinates.

The method is that of K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of hierarchical system
structures", IEEE Trans. SMC 11(2), 1981: orders by barycentres in sweeps, the best one kept. Coordinates are least squares
with kept distances, one layer at a time: isotonic regression by pooling adjacent violators. It knows no pipelines. Lengths
are in pixels; y grows downwards. The same boxes and links give the same places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

GAP_X = 28.0
GAP_Y = 46.0
_WAY_WIDTH = 14.0  # what a link keeps free where it passes a layer
_WAYS_MAX = 20_000  # more would take longer than they help: the longest links are then drawn behind the boxes
_ORDER_WORK = 400_000  # sweeps × elements
_ORDER_SWEEPS_MAX = 24
_SWAPPED_MAX = 400  # elements up to which neighbours are swapped one by one too
_PLACE_SWEEPS = 16
_STRAIGHT = 8.0  # how much more a long link wants to be straight than a short one
_SHELF_RATIO = 2.0  # parts that hang on nothing are set beside each other up to this width by height


@dataclass(frozen=True, slots=True)
class Box:
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Link:
    """From one box to another, by position. It leaves its source `leaves_at` to the right of the middle. Links that leave the
    same source at the same place and are of the same `kind` share their way down."""

    source: int
    target: int
    leaves_at: float = 0.0
    kind: str = ""


Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Layers:
    """Where each box has its left upper corner, and the points each link goes through: it goes straight down between the
    points of one layer, and bends between layers."""

    corners: tuple[tuple[float, float], ...]
    routes: tuple[Points, ...]
    width: float
    height: float


def layered(boxes: Sequence[Box], links: Sequence[Link]) -> Layers:
    """Places for boxes and routes for links. Boxes never overlap. A link to a box above its source (there is a cycle) and the
    longest links of a very large graph go straight, whatever stands between."""
    parts = []
    for members in _parts(len(boxes), links):
        position = {member: index for index, member in enumerate(members)}
        own = [index for index, link in enumerate(links) if link.source in position]
        inner = [replace(links[i], source=position[links[i].source], target=position[links[i].target]) for i in own]
        parts.append((members, own, _Layering([boxes[member] for member in members], inner).layers()))
    return _on_shelves(len(boxes), len(links), parts)


def _parts(count: int, links: Sequence[Link]) -> list[list[int]]:
    """The boxes that hang together, each part in their order."""
    leader = list(range(count))

    def leader_of(member: int) -> int:
        while leader[member] != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    for link in links:
        first, second = sorted((leader_of(link.source), leader_of(link.target)))
        leader[second] = first
    parts: dict[int, list[int]] = {}
    for member in range(count):
        parts.setdefault(leader_of(member), []).append(member)
    return list(parts.values())


def _on_shelves(boxes: int, links: int, parts: Sequence[tuple[list[int], list[int], Layers]]) -> Layers:
    area = sum((part.width + GAP_X) * (part.height + GAP_Y) for _, _, part in parts)
    width_max = max([(area * _SHELF_RATIO) ** 0.5, *(part.width for _, _, part in parts)], default=0.0)
    corners, routes = [(0.0, 0.0)] * boxes, [()] * links  # type: list[tuple[float, float]], list[Points]
    x = y = shelf = width = 0.0
    for members, own, part in parts:
        if x and x + part.width > width_max:
            x, y, shelf = 0.0, y + shelf + GAP_Y, 0.0
        for member, (left, top) in zip(members, part.corners, strict=True):
            corners[member] = (left + x, top + y)
        for link, route in zip(own, part.routes, strict=True):
            routes[link] = tuple((left + x, top + y) for left, top in route)
        width, shelf = max(width, x + part.width), max(shelf, part.height)
        x += part.width + GAP_X
    return Layers(tuple(corners), tuple(routes), width, y + shelf)


@dataclass(slots=True)
class _Element:
    """A box, or the place where a link passes a layer."""

    rank: int
    width: float
    height: float = 0.0
    is_box: bool = False
    above: list[tuple[int, float]] = field(default_factory=list)  # elements, and where the link leaves them
    below: list[tuple[int, float]] = field(default_factory=list)
    x: float = 0.0  # the middle


class _Layering:
    """One part of boxes that hang together."""

    def __init__(self, boxes: Sequence[Box], links: Sequence[Link]) -> None:
        self._links = links
        self._forward = _forward(len(boxes), links)
        ranks = _ranks(len(boxes), self._forward)
        self._elements = [
            _Element(rank, box.width, box.height, is_box=True) for rank, box in zip(ranks, boxes, strict=True)
        ]
        self._ways = self._make_ways()
        self._layers: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
        for index, element in enumerate(self._elements):
            self._layers[element.rank].append(index)

    def _make_ways(self) -> list[list[int]]:
        """For each link the elements that it passes, its ends not among them."""
        elements = self._elements
        ways: list[list[int]] = [[] for _ in self._links]
        shared: dict[tuple[int, float, str], list[int]] = {}
        spans = [
            (elements[link.target].rank - elements[link.source].rank, index)
            for index, link in enumerate(self._links)
            if link in self._forward
        ]
        for span, index in sorted(spans):
            link = self._links[index]
            trunk = shared.setdefault((link.source, link.leaves_at, link.kind), [])
            if len(elements) + span - 1 - len(trunk) > _WAYS_MAX:
                continue
            while len(trunk) < span - 1:
                trunk.append(len(elements))
                elements.append(_Element(elements[link.source].rank + len(trunk), _WAY_WIDTH))
                self._join(trunk[-2] if len(trunk) > 1 else link.source, trunk[-1], link)
            ways[index] = trunk[: span - 1]
            self._join(ways[index][-1] if ways[index] else link.source, link.target, link)
        return ways

    def _join(self, above: int, below: int, link: Link) -> None:
        leaves_at = link.leaves_at if above == link.source else 0.0
        if (above, leaves_at) not in self._elements[below].above:
            self._elements[below].above.append((above, leaves_at))
            self._elements[above].below.append((below, leaves_at))

    def layers(self) -> Layers:
        _Ordering(self._elements, self._layers).improve()
        self._place()
        tops, y = [], 0.0
        for layer in self._layers:
            tops.append(y)
            y += max(self._elements[index].height for index in layer) + GAP_Y
        bottoms = [*(top - GAP_Y for top in tops[1:]), y - GAP_Y]
        left = min(element.x - element.width / 2 for element in self._elements)
        for element in self._elements:
            element.x -= left
        corners = tuple((e.x - e.width / 2, tops[e.rank]) for e in self._elements if e.is_box)
        width = max(element.x + element.width / 2 for element in self._elements)
        routes = tuple(self._route(index, tops, bottoms) for index in range(len(self._links)))
        return Layers(corners, routes, width, bottoms[-1])

    def _route(self, index: int, tops: Sequence[float], bottoms: Sequence[float]) -> Points:
        link = self._links[index]
        source, target = self._elements[link.source], self._elements[link.target]
        x = source.x + link.leaves_at
        points = [(x, tops[source.rank] + source.height)]
        if link in self._forward:
            points.append((x, bottoms[source.rank]))
            for way in self._ways[index]:
                element = self._elements[way]
                points += [(element.x, tops[element.rank]), (element.x, bottoms[element.rank])]
        points.append((target.x, tops[target.rank]))
        return tuple(points)

    # -- coordinates --

    def _place(self) -> None:
        for layer in self._layers:
            x = 0.0
            for left, right in zip([None, *layer], layer, strict=False):
                x += self._distance(left, right) if left is not None else 0.0
                self._elements[right].x = x
            for index in layer:
                self._elements[index].x -= x / 2
        for sweep in range(_PLACE_SWEEPS):
            down = sweep % 2 == 0
            for layer in self._layers if down else reversed(self._layers):
                self._settle(layer, up=down or sweep >= _PLACE_SWEEPS - 4, down=not down or sweep >= _PLACE_SWEEPS - 4)
        self._straighten()

    def _distance(self, left: int, right: int) -> float:
        """Between the middles of neighbours."""
        first, second = self._elements[left], self._elements[right]
        gap = GAP_X if first.is_box and second.is_box else GAP_X / 2 if first.is_box or second.is_box else 0.0
        return (first.width + second.width) / 2 + gap

    def _settle(self, layer: Sequence[int], *, up: bool, down: bool) -> None:
        """Move a layer's elements towards those that they are linked to, their order and distances kept."""
        wanted, weights, offsets, offset = [], [], [], 0.0
        for left, index in zip([None, *layer], layer, strict=False):
            offset += self._distance(left, index) if left is not None else 0.0
            total, weight = 0.0, 0.0
            for x, pull in self._pulls(index, up=up, down=down):
                total, weight = total + x * pull, weight + pull
            element = self._elements[index]
            wanted.append((total / weight if weight else element.x) - offset)
            weights.append(weight or 0.05)
            offsets.append(offset)
        for index, x, offset in zip(layer, _isotonic(wanted, weights), offsets, strict=True):
            self._elements[index].x = x + offset

    def _pulls(self, index: int, *, up: bool, down: bool) -> Iterator[tuple[float, float]]:
        element = self._elements[index]
        if up:
            for other, leaves_at in element.above:
                yield self._elements[other].x + leaves_at, self._pull(element, other)
        if down:
            for other, leaves_at in element.below:
                yield self._elements[other].x - leaves_at, self._pull(element, other)

    def _pull(self, element: _Element, other: int) -> float:
        boxes = element.is_box + self._elements[other].is_box
        return (_STRAIGHT, 2.0, 1.0)[boxes]

    def _straighten(self) -> None:
        """Where a link passes neighbouring layers it stands at one x, as far as the room beside it allows."""
        beside: dict[int, tuple[int | None, int | None]] = {}
        for layer in self._layers:
            for left, index, right in zip([None, *layer], layer, [*layer[1:], None], strict=False):
                beside[index] = (left, right)
        aligned: set[int] = set()
        for way in sorted({tuple(way) for way in self._ways if way}, key=lambda way: (-len(way), way)):
            run: list[int] = []
            low, high = -inf, inf
            for index in way:
                if index in aligned:
                    continue
                room = self._room(index, *beside[index])
                if max(low, room[0]) > min(high, room[1]):
                    self._align(run, low, high)
                    run, low, high = [], -inf, inf
                run.append(index)
                low, high = max(low, room[0]), min(high, room[1])
            self._align(run, low, high)
            aligned.update(way)

    def _room(self, index: int, left: int | None, right: int | None) -> tuple[float, float]:
        low = -inf if left is None else self._elements[left].x + self._distance(left, index)
        high = inf if right is None else self._elements[right].x - self._distance(index, right)
        x = self._elements[index].x
        return min(low, x), max(high, x)  # sums of floats may differ in their last digits

    def _align(self, run: Sequence[int], low: float, high: float) -> None:
        if run:
            x = min(max(sum(self._elements[index].x for index in run) / len(run), low), high)
            for index in run:
                self._elements[index].x = x


def _forward(count: int, links: Sequence[Link]) -> frozenset[Link]:
    """The links without those that close a cycle."""
    waits = [0] * count
    outgoing: list[list[Link]] = [[] for _ in range(count)]
    for link in links:
        if link.source != link.target:
            waits[link.target] += 1
            outgoing[link.source].append(link)
    free = [index for index in range(count) if not waits[index]]
    place: dict[int, int] = {}
    pending = iter(range(count))
    while len(place) < count:
        index = free.pop() if free else next(index for index in pending if index not in place)
        if index in place:
            continue
        place[index] = len(place)
        for link in outgoing[index]:
            waits[link.target] -= 1
            if not waits[link.target]:
                free.append(link.target)
    return frozenset(link for link in links if place[link.source] < place[link.target])


def _ranks(count: int, links: frozenset[Link]) -> list[int]:
    """Each box below all that lead to it, and no farther above what it leads to than it must."""
    into: list[set[int]] = [set() for _ in range(count)]
    out: list[set[int]] = [set() for _ in range(count)]
    for link in links:
        into[link.target].add(link.source)
        out[link.source].add(link.target)
    waits = [len(sources) for sources in into]
    order = [index for index in range(count) if not waits[index]]
    for index in order:  # grows while it is read
        for target in sorted(out[index]):
            waits[target] -= 1
            if not waits[target]:
                order.append(target)
    ranks = [0] * count
    for index in order:
        ranks[index] = max((ranks[source] + 1 for source in into[index]), default=0)
    for index in reversed(order):
        if len(out[index]) > len(into[index]):
            ranks[index] = min(ranks[target] for target in out[index]) - 1
    lowest = min(ranks)
    return [rank - lowest for rank in ranks]


def _isotonic(wanted: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The non-decreasing numbers nearest to those wanted, by weighted squares (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(wanted, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            other = pools.pop()
            both = other[1] + pool[1]
            pool = ((other[0] * other[1] + pool[0] * pool[1]) / both, both, other[2] + pool[2])
        pools.append(pool)
    return [value for value, _weight, length in pools for _ in range(length)]


class _Ordering:
    """Puts the elements of each layer in an order in which links cross little. The layers are changed in place."""

    def __init__(self, elements: Sequence[_Element], layers: list[list[int]]) -> None:
        self._elements, self._layers = elements, layers
        self._place = [0] * len(elements)
        for layer in layers:
            self._number(layer)

    def improve(self) -> None:
        size = len(self._elements)
        best, fewest = [list(layer) for layer in self._layers], self._crossings()
        for sweep in range(min(_ORDER_SWEEPS_MAX, max(4, _ORDER_WORK // size))):
            if not fewest:
                break
            self._sweep(down=sweep % 2 == 0)
            if size <= _SWAPPED_MAX:
                self._swap()
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(layer) for layer in self._layers], crossings
        self._layers[:] = best

    def _number(self, layer: Sequence[int]) -> None:
        for place, index in enumerate(layer):
            self._place[index] = place

    def _sweep(self, *, down: bool) -> None:
        for layer in self._layers if down else reversed(self._layers):
            centre = {index: self._centre(index, up=down) for index in layer}
            layer.sort(key=centre.__getitem__)
            self._number(layer)

    def _centre(self, index: int, *, up: bool) -> float:
        others = self._elements[index].above if up else self._elements[index].below
        if not others:
            return float(self._place[index])
        return sum(self._at(other, leaves_at if up else 0.0) for other, leaves_at in others) / len(others)

    def _at(self, index: int, leaves_at: float) -> float:
        return self._place[index] + leaves_at / (self._elements[index].width + 1)

    def _ends(self, index: int, *, up: bool) -> list[float]:
        if up:
            return sorted(self._at(other, leaves_at) for other, leaves_at in self._elements[index].above)
        return sorted(float(self._place[other]) for other, _ in self._elements[index].below)

    def _swap(self) -> None:
        for layer in self._layers:
            ends = {index: (self._ends(index, up=True), self._ends(index, up=False)) for index in layer}
            for place in range(len(layer) - 1):
                left, right = layer[place], layer[place + 1]
                if sum(_inversions(a, b) - _inversions(b, a) for a, b in zip(ends[left], ends[right], strict=True)) > 0:
                    layer[place], layer[place + 1] = right, left
            self._number(layer)

    def _crossings(self) -> int:
        return sum(self._crossings_above(layer) for layer in self._layers[1:])

    def _crossings_above(self, layer: Sequence[int]) -> int:
        """Inversions among the upper ends of links, taken in the order of their lower ends (a Fenwick tree)."""
        ends = [end for index in layer for end in self._ends(index, up=True)]
        position = {end: place for place, end in enumerate(sorted(set(ends)), start=1)}
        tree, crossings = [0] * (len(position) + 1), 0
        for seen, end in enumerate(ends):
            place, smaller = position[end], 0
            while place:
                smaller += tree[place]
                place &= place - 1
            crossings += seen - smaller
            place = position[end]
            while place < len(tree):
                tree[place] += 1
                place += place & -place
        return crossings


def _inversions(left: Sequence[float], right: Sequence[float]) -> int:
    """How many pairs cross when `left` stands before `right`; both are sorted."""
    count = smaller = 0
    for end in left:
        while smaller < len(right) and right[smaller] < end:
            smaller += 1
        count += smaller
    return count
