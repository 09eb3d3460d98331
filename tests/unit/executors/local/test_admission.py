"""Whatever workers pick from their sockets, what runs fits; and whatever can run does."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.executors.local.admission import Admission, Place, Shape

CAPACITY = {"cpu": 4000, "licence": 2}
SHAPES: list[Shape] = [
    (("cpu", 1000),),
    (("cpu", 2000),),
    (("cpu", 4000),),
    (("cpu", 500), ("licence", 1)),
    (("cpu", 3000), ("licence", 2)),
]


class Floor:
    """A pump over an admission, with workers that take whatever a chooser says."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.waiting: deque[tuple[str, Shape]] = deque()
        self.sockets: dict[str, list[Shape]] = {}
        self.running: dict[str, list[Shape]] = {}
        self.workers: dict[str, int] = {}

    def pump(self) -> None:
        while self.waiting:
            key, shape = self.waiting[0]
            place = self.admission.place(key, shape)
            if place is Place.WAIT:
                return
            if place is Place.GROW:
                self.admission.hired(key)
                self.workers[key] = self.workers.get(key, 0) + 1
            self.admission.take(key, shape)
            self.sockets.setdefault(key, []).append(shape)
            self.waiting.popleft()

    def take(self, key: str) -> None:
        """An idle worker takes the oldest request of its pool."""
        if self.sockets.get(key) and len(self.running.get(key, [])) < self.workers[key]:
            self.running.setdefault(key, []).append(self.sockets[key].pop(0))

    def end(self, key: str, which: int) -> None:
        running = self.running.get(key, [])
        if running:
            self.admission.release(key, running.pop(which % len(running)))

    def die(self, key: str, which: int) -> None:
        """A worker's process ends, and with it what it runs."""
        if self.workers.get(key):
            idle = self.workers[key] - len(self.running.get(key, []))
            if not idle:
                self.end(key, which)
            self.workers[key] -= 1
            self.admission.left(key)

    def used(self, name: str) -> int:
        return sum(dict(shape).get(name, 0) for shapes in self.running.values() for shape in shapes)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("ab"), st.sampled_from(SHAPES)),
        st.tuples(st.just("burst"), st.sampled_from("ab"), st.sampled_from(SHAPES)),
        st.tuples(st.just("take"), st.sampled_from("ab"), st.just(0)),
        st.tuples(st.just("end"), st.sampled_from("ab"), st.integers(0, 9)),
        st.tuples(st.just("die"), st.sampled_from("ab"), st.integers(0, 9)),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(moves)
def test_what_runs_fits_and_everything_runs(script: list[tuple[str, str, object]]) -> None:
    floor = Floor(Admission(CAPACITY, workers_max=6, ahead_max=5))
    for move, key, what in script:
        if move in ("submit", "burst"):
            assert isinstance(what, tuple)
            floor.waiting.extend([(key, what)] * (1 if move == "submit" else 12))
        elif move == "take":
            floor.take(key)
        else:
            assert isinstance(what, int)
            (floor.end if move == "end" else floor.die)(key, what)
        floor.pump()
        assert floor.used("cpu") <= CAPACITY["cpu"]
        assert floor.used("licence") <= CAPACITY["licence"]
        assert sum(floor.workers.values()) <= 6
    left = len(floor.waiting) + sum(map(len, floor.sockets.values())) + sum(map(len, floor.running.values()))
    for _ in range(left):
        # A pool that has lost all its workers gets its requests back, as the executor does it.
        for key in "ab":
            if floor.sockets.get(key) and not floor.workers.get(key):
                floor.waiting.extendleft((key, shape) for shape in reversed(floor.sockets[key]))
                for shape in floor.sockets[key]:
                    floor.admission.release(key, shape)
                floor.sockets[key] = []
        floor.pump()
        for key in "ab":
            for _ in range(6):
                floor.take(key)
            floor.end(key, 0)
            assert floor.used("cpu") <= CAPACITY["cpu"]
    for _ in range(left + 1):
        floor.pump()
        for key in "ab":
            floor.take(key)
            floor.end(key, 0)
    assert not floor.waiting
    assert not any(floor.sockets.values())
    assert not any(floor.running.values())
    assert not any(floor.admission.used.values())


def test_like_requests_go_ahead_up_to_a_limit() -> None:
    floor = Floor(Admission({"cpu": 2000}, workers_max=64, ahead_max=10))
    floor.waiting.extend([("a", SHAPES[0])] * 30)
    floor.pump()
    assert floor.workers == {"a": 2}
    assert len(floor.sockets["a"]) == 12
    assert floor.admission.used == {"cpu": 2000}


def test_requests_of_another_shape_do_not_go_ahead() -> None:
    floor = Floor(Admission({"cpu": 2000}, workers_max=64, ahead_max=10))
    floor.waiting.extend([("a", SHAPES[0]), ("a", SHAPES[0]), ("a", SHAPES[1])])
    floor.pump()
    assert [shape for _, shape in floor.waiting] == [SHAPES[1]]


def test_shrunken_capacity_is_kept_to_as_attempts_end() -> None:
    floor = Floor(Admission({"cpu": 4000}, workers_max=64, ahead_max=10))
    floor.waiting.extend([("a", SHAPES[0])] * 100)
    floor.pump()
    for _ in range(4):
        floor.take("a")
    assert floor.used("cpu") == 4000
    floor.admission.capacity = {"cpu": 2000}
    seen = []
    while floor.running["a"]:
        floor.end("a", 0)
        floor.pump()
        for _ in range(4):
            floor.take("a")
        seen.append(floor.used("cpu"))
    assert max(seen[12:]) == 2000
    assert all(abs(b - a) <= 1000 for a, b in pairwise(seen))
    assert not floor.waiting


def test_more_than_there_is_runs_alone() -> None:
    """Capacity is advice: what has been asked for runs sooner or later."""
    floor = Floor(Admission({"cpu": 1000}, workers_max=64, ahead_max=10))
    floor.waiting.extend([("a", SHAPES[1]), ("b", SHAPES[0])])
    floor.pump()
    assert [key for key, _ in floor.waiting] == ["b"]
    floor.take("a")
    floor.end("a", 0)
    floor.pump()
    assert not floor.waiting
