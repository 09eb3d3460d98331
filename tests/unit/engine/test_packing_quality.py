"""How well the engine packs, in played time: mixed tasks on machines of several shapes, against what no packing can beat."""

from __future__ import annotations

from random import Random

import pytest

from penstock.app.rehearsing import rehearse, unknown_outputs
from penstock.base.instants import Instant
from penstock.engine.rows import RunRow
from penstock.graph.model import Call, Function, Graph, OutputSpec, Policy, Resources
from penstock.graph.types import ANY
from penstock.plan.passes import make_plan
from penstock.testing.notation import graph
from penstock.wire import Succeeded

GIB = 1 << 30
COUNT = 200

Task = tuple[int, int, int]
"""Milliseconds, thousandths of a processor, bytes."""


def mixed(cores: int, memory: int, seed: int) -> list[Task]:
    """Tasks that compute, and tasks that take much memory (up to two fifths of what four processors have) and wait."""
    rng = Random(f"{cores} {seed}")
    tasks: list[Task] = []
    for number in range(COUNT):
        took_ms = rng.randint(50, 500)
        share = rng.uniform(0.1, 0.4) / max(1.0, cores / 4)
        tasks.append((took_ms, 1000, memory // cores // 30) if number % 2 else (took_ms, 250, int(memory * share)))
    rng.shuffle(tasks)
    return tasks


def played_ms(tasks: list[Task], cores: int, memory: int, *, known: bool) -> float:
    """How long the real engine takes for them. `known`: durations have been learned."""
    text = "; ".join(f"t{number}[cpu={cpu / 1000} memory={size}]" for number, (_, cpu, size) in enumerate(tasks))
    took_by_name = {f"t{number}": float(took_ms) for number, (took_ms, _, _) in enumerate(tasks)}
    history = {f"notation:{name}": (5, took_ms * 1000) for name, took_ms in took_by_name.items()} if known else {}
    rehearsed = rehearse(
        RunRow("1" * 13, "p", "d", {}, "pin", 0, Instant(1_000)),
        make_plan(graph(text), history=history),
        respond=lambda request: (Succeeded(unknown_outputs(request)), took_by_name[request.component.name]),  # type: ignore[union-attr]
        capacity={"cpu": cores * 1000, "memory": memory},
    )
    assert rehearsed.run.state == "succeeded"
    return rehearsed.took_ms


def least_ms(tasks: list[Task], cores: int, memory: int) -> float:
    """No packing is shorter: neither processors nor memory are there twice."""
    cpu = sum(took_ms * cpu for took_ms, cpu, _ in tasks) / (cores * 1000)
    return max(cpu, sum(took_ms * size for took_ms, _, size in tasks) / memory)


@pytest.mark.parametrize("known", [True, False], ids=["learned", "unknown"])
@pytest.mark.parametrize(("cores", "memory"), [(2, GIB), (4, 16 * GIB), (8, 32 * GIB), (16, 64 * GIB)])
def test_mixed_tasks_take_little_longer_than_they_must(cores: int, memory: int, known: bool) -> None:
    ratios = []
    for seed in range(3):
        tasks = mixed(cores, memory, seed)
        ratios.append(played_ms(tasks, cores, memory, known=known) / least_ms(tasks, cores, memory))
    assert max(ratios) <= 1.15, ratios


@pytest.mark.parametrize("means", [(0, 0), (270, 270), (350, 270), (270, 350)])
def test_two_maps_that_need_different_things_run_beside_each_other(means: tuple[int, int]) -> None:
    """Whatever is known of them, and though all items of the one stand before those of the other: one kind after the other
    takes a fifth longer."""
    cores, memory = 2, GIB
    tasks = sorted(mixed(cores, memory, 1), key=lambda task: task[1] == 1000)
    functions = [Function("m", name, (), (OutputSpec("out", ANY),)) for name in ("waits", "computes")]
    calls = tuple(
        Call(f"t{number:03}", functions[cpu == 1000], {}, policy=Policy(Resources(cpu / 1000, size)))
        for number, (_, cpu, size) in enumerate(tasks)
    )
    history = {f"m:{f.name}": (5, mean * 1000.0) for f, mean in zip(functions, means, strict=True) if mean}
    rehearsed = rehearse(
        RunRow("1" * 13, "p", "d", {}, "pin", 0, Instant(1_000)),
        make_plan(Graph("g", (), calls, ()), history=history),
        respond=lambda request: (
            Succeeded(unknown_outputs(request)),
            float(tasks[int(request.attempt_id.partition("/t")[2][:3])][0]),
        ),
        capacity={"cpu": cores * 1000, "memory": memory},
    )
    assert rehearsed.took_ms / least_ms(tasks, cores, memory) <= 1.15
