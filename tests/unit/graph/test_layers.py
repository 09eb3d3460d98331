"""Boxes and links in layers: whatever is asked for, boxes never meet and links go down round them."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from penstock.graph.layers import Box, Layers, Link, layered

SIZES = st.builds(Box, st.integers(10, 300).map(float), st.integers(10, 300).map(float))


@st.composite
def asked(draw: st.DrawFn) -> tuple[list[Box], list[Link]]:
    boxes = draw(st.lists(SIZES, min_size=1, max_size=14))
    ends = st.integers(0, len(boxes) - 1)
    pairs = draw(st.lists(st.tuples(ends, ends), max_size=30))
    links = [Link(*sorted(pair), draw(st.sampled_from((0.0, 4.0))), draw(st.sampled_from("ab"))) for pair in pairs]
    return boxes, [link for link in links if link.source != link.target]


def crossings_of(links: list[Link], layers: Layers) -> int:
    """Pairs of links that change sides between two layers."""
    ends = sorted((top[1], top[0], bottom[0]) for route in layers.routes for top, bottom in list(pairwise(route))[1::2])
    return sum(a[0] == b[0] and (a[1] - b[1]) * (a[2] - b[2]) < 0 for a, b in combinations(ends, 2))


@given(asked())
def test_boxes_never_meet_and_stand_in_the_picture(given_: tuple[list[Box], list[Link]]) -> None:
    boxes, links = given_
    layers = layered(boxes, links)
    areas = [(x, y, x + box.width, y + box.height) for box, (x, y) in zip(boxes, layers.corners, strict=True)]
    for left, top, right, bottom in areas:
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= layers.width + 1e-6
        assert bottom <= layers.height + 1e-6
    for a, b in combinations(areas, 2):
        assert a[2] <= b[0] + 1e-6 or b[2] <= a[0] + 1e-6 or a[3] <= b[1] + 1e-6 or b[3] <= a[1] + 1e-6


@given(asked())
def test_links_go_down_from_box_to_box_and_through_none(given_: tuple[list[Box], list[Link]]) -> None:
    boxes, links = given_
    layers = layered(boxes, links)
    assert len(layers.routes) == len(links)
    for link, route in zip(links, layers.routes, strict=True):
        (left, top), (target_left, target_top) = layers.corners[link.source], layers.corners[link.target]
        assert route[0] == (left + boxes[link.source].width / 2 + link.leaves_at, top + boxes[link.source].height)
        assert route[-1] == (target_left + boxes[link.target].width / 2, target_top)
        assert all(upper[1] <= lower[1] for upper, lower in pairwise(route))
        assert route[0][1] < route[-1][1]
        for (x, upper), (same_x, lower) in list(pairwise(route))[::2]:
            assert x == same_x
            for index, (box, (box_left, box_top)) in enumerate(zip(boxes, layers.corners, strict=True)):
                beside = x <= box_left + 1e-6 or x >= box_left + box.width - 1e-6
                assert index == link.source or beside or lower <= box_top + 1e-6 or upper >= box_top + box.height - 1e-6


@given(asked())
def test_the_same_again_is_the_same(given_: tuple[list[Box], list[Link]]) -> None:
    assert layered(*given_) == layered(*given_)


def test_a_ladder_that_need_not_cross_does_not() -> None:
    # Two rows of six, each linked to the one that stands opposite at the other end.
    links = [Link(index, 6 + (index * 5 + 1) % 6) for index in range(6)]
    links += [Link(6 + index, 12) for index in range(6)]
    layers = layered([Box(40, 20)] * 13, links)
    assert crossings_of(links, layers) == 0


def test_what_is_in_a_row_stands_in_a_column() -> None:
    layers = layered([Box(40 + 20 * (index % 3), 20) for index in range(8)], [Link(i, i + 1) for i in range(7)])
    middles = {round(x + (40 + 20 * (index % 3)) / 2, 6) for index, (x, _) in enumerate(layers.corners)}
    assert len(middles) == 1


def test_a_long_link_passes_straight() -> None:
    """Beside a column of boxes, from the first to the last."""
    links = [*(Link(index, index + 1) for index in range(9)), Link(0, 9)]
    (*_, route) = layered([Box(80, 20)] * 10, links).routes
    assert len({x for x, _ in route[2:-1]}) == 1
    assert len(route) == 2 + 2 * 8 + 1


def test_a_cycle_is_drawn_all_the_same() -> None:
    links = [Link(0, 1), Link(1, 2), Link(2, 0), Link(1, 1)]
    layers = layered([Box(10, 10)] * 3, links)
    assert [len(route) for route in layers.routes] == [3, 3, 2, 2]


def test_what_hangs_on_nothing_is_set_in_rows() -> None:
    layers = layered([Box(100, 40)] * 90, [])
    assert len({y for _, y in layers.corners}) > 5
    assert 0.5 < layers.width / layers.height < 4


def test_a_great_many_long_links_are_not_all_led_round() -> None:
    """Each of a thousand in a chain leads to the last as well: half a million places to pass, most of them not made."""
    links = [Link(i, i + 1) for i in range(999)] + [Link(i, 999) for i in range(998)]
    random.Random(3).shuffle(links)
    layers = layered([Box(100, 40)] * 1_000, links)
    bent = sum(len(route) for route in layers.routes)
    assert bent < 100_000
    assert len({y for _, y in layers.corners}) == 1_000
