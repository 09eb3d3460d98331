"""What a repeat costs in which every task is a hit: the engine, the controller and the database, beside 100,000 other
entries, without processes and files.

    python bench/repeat.py [--tasks 10000] [--entries 100000] [--rounds 5]

For a chain (every key is known only when the hit before it is), a wide graph and a map: microseconds a task of
processor time, for all of it, and for keys and look-ups alone. Medians; nothing is asserted."""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.app.rehearsing import PlayedClock, PlayedExecutor
from penstock.base.instants import Instant
from penstock.controller import Controller
from penstock.controller.answers import Answers
from penstock.effects import Commit, Holder, Message, Submission
from penstock.engine import progress
from penstock.engine.rows import CacheEntry, RunRow
from penstock.graph.bindings import Constant, Input, Item, Output, Value
from penstock.graph.codec import graph_digest, graph_to_json
from penstock.graph.model import Call, Function, Graph, GraphOutput, InputSpec, Map, OutputSpec
from penstock.graph.types import INT, Type
from penstock.plan.model import CodeKey
from penstock.plan.passes import make_plan
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.stores.sql import SqlStateStore, open_state
from penstock.wire import AttemptRequest, Inline, Outcome, Succeeded

MORE = Function("bench", "more", (InputSpec("x", INT),), (OutputSpec("out", INT),))
NUMBERS = Function("bench", "numbers", (), (OutputSpec("out", Type("list", item=INT)),))
CODES = {"bench:more": CodeKey("c" * 64, "e" * 64), "bench:numbers": CodeKey("d" * 64, "e" * 64)}
HOLDER = Holder("bench", "boot", 1, 1)


def chain(tasks: int) -> Graph:
    def given(number: int) -> Value:
        return Output(f"n{number - 1}", "out") if number else Constant(0)

    nodes = tuple(Call(f"n{number}", MORE, {"x": given(number)}) for number in range(tasks))
    return Graph("chain", (), nodes, (GraphOutput("last", INT, Output(nodes[-1].name, "out")),))


def wide(tasks: int) -> Graph:
    nodes = tuple(Call(f"n{number}", MORE, {"x": Constant(number)}) for number in range(tasks))
    return Graph("wide", (), nodes, ())


def mapped(tasks: int) -> Graph:
    inner = Call("more", MORE, {"x": Input("x")})
    body = Graph("body", (InputSpec("x", INT),), (inner,), (GraphOutput("out", INT, Output("more", "out")),))
    nodes = (Call("numbers", NUMBERS, {}), Map("each", body, Output("numbers", "out"), {"x": Item()}))
    return Graph("map", (), nodes, ())


def other_entries(store: SqlStateStore, count: int) -> None:
    run = RunRow("other", "other", "a" * 64, {}, "b" * 64, 1, Instant(1))
    store.submit(Submission(run, {"name": "other"}), Message("other/submit", "submit", "other", Instant(1)))
    lease = store.acquire("other", HOLDER, now=Instant(1), lease_ms=1 << 40)
    assert lease is not None
    for first in range(0, count, 5_000):
        entries = tuple(
            CacheEntry(
                hashlib.sha256(f"other {number}".encode()).hexdigest(),
                "bench:more",
                "other",
                f"n{number}",
                1,
                {"out": Inline(number)},
                "c" * 64,
                "e" * 64,
                {"x": hashlib.sha256(str(number).encode()).hexdigest()},
                {},
                Instant(1),
            )
            for number in range(first, min(count, first + 5_000))
        )
        store.commit(Commit(Instant(1), (lease,), (), entries=entries))


@dataclass
class Timed:
    """Adds up the processor time of the calls of a function."""

    function: Callable[..., Any]
    seconds: float = 0.0

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        start = time.process_time()
        try:
            return self.function(*arguments, **keywords)
        finally:
            self.seconds += time.process_time() - start


def respond(tasks: int) -> Callable[[AttemptRequest], tuple[Outcome, float]]:
    def answered(request: AttemptRequest) -> tuple[Outcome, float]:
        given = request.inputs.get("x")
        made = given.value + 1 if isinstance(given, Inline) else list(range(tasks))
        return Succeeded({"out": Inline(made)}), 1.0

    return answered


def run_once(store: SqlStateStore, answers: Answers, graph: Graph, *, run_id: str, tasks: int) -> tuple[float, float]:
    """(processor seconds of the whole, those of keys and look-ups)."""
    clock = PlayedClock(1_000_000)
    row = RunRow(run_id, graph.name, graph_digest(graph), {}, "b" * 64, 1, clock.now(), code="f" * 64)
    message = Message(f"{run_id}/submit", "submit", run_id, clock.now())
    store.submit(Submission(row, graph_to_json(graph)), message)
    plan = make_plan(graph, codes=CODES, code_digest="f" * 64)
    answer, key_of = Timed(answers.answer), Timed(progress.key_of)
    progress.key_of = key_of  # type: ignore[assignment]
    executor = PlayedExecutor(clock, respond(tasks), {"cpu": 64_000, "memory": 1 << 40})
    controller = Controller(
        store=store,
        executors=[executor],
        clock=clock,
        holder=HOLDER,
        plan_of=lambda _: plan,
        lease_ms=1 << 40,
        answer=answer,
    )
    try:
        start = time.process_time()
        assert controller.take(run_id)
        while controller.active():
            controller.step(0)
        taken = time.process_time() - start
    finally:
        progress.key_of = key_of.function
    return taken, answer.seconds + key_of.seconds


def measured(folder: Path, graph: Graph, *, entries: int, tasks: int, rounds: int) -> Sequence[tuple[float, float]]:
    store = open_state(folder / f"{graph.name}.db")
    other_entries(store, entries)
    answers = Answers(store, DiskArtifactStore(folder / "artifacts"), lambda path: "")
    run_once(store, answers, graph, run_id="first", tasks=tasks)
    figures = [run_once(store, answers, graph, run_id=f"again{number}", tasks=tasks) for number in range(rounds)]
    origins = {row.origin.value for row in store.task_runs("again0") if ":" in row.component and row.origin}
    assert origins == {"cached"}, origins
    store.close()
    return figures


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for make in (chain, wide, mapped):
        with tempfile.TemporaryDirectory() as name:
            graph = make(options.tasks)
            each = measured(Path(name), graph, entries=options.entries, tasks=options.tasks, rounds=options.rounds)
        whole = statistics.median(one[0] for one in each) / options.tasks * 1e6
        keys = statistics.median(one[1] for one in each) / options.tasks * 1e6
        print(f"{graph.name:6} {whole:7.1f} us a task in all , {keys:6.1f} us of it for key and look-up")


if __name__ == "__main__":
    main()
