"""What it costs to load, check and digest a pipeline file of 10,000 tasks.

    python bench/yaml_load.py [--tasks 10000] [--rounds 5] [--json]

A chain of tasks with a reference each, in three ways of writing: `block` (a key on each line), `flow` (a task on each line)
and `written` (as `penstock graph --format yaml` writes it). Seconds of processor time: `parse` (text to a tree), `load` (all of
it: the tree, the check of forms, the graph, `graph.check`) and `digest`; `write` is a graph to text, which reads it again.
Medians; nothing is asserted. 3 s is promised for load and digest together."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from penstock.authoring.yaml.components import Found
from penstock.authoring.yaml.load import Loaded, load
from penstock.authoring.yaml.reading import read
from penstock.authoring.yaml.tree import Source
from penstock.authoring.yaml.write import write
from penstock.graph.bindings import Constant
from penstock.graph.codec import graph_digest
from penstock.graph.model import Function, InputSpec, OutputSpec
from penstock.graph.types import FLOAT, INT

FUNCTIONS = {
    "m:begin": Function("m", "begin", (InputSpec("days", INT),), (OutputSpec("output", FLOAT),)),
    "m:go_on": Function(
        "m",
        "go_on",
        (InputSpec("value", FLOAT), InputSpec("days", INT, Constant(2))),
        (OutputSpec("output", FLOAT),),
    ),
}
HEAD = "penstock: 1\npipeline: chain\nparameters: {days: {type: int, default: 30}}\ntasks:\n"
FIRST = "  t0: {function: m:begin, inputs: {days: '${parameters.days}'}}\n"


def block(count: int) -> str:
    tasks = (
        f"  t{number}:\n    function: m:go_on\n    inputs:\n      value: ${{t{number - 1}}}\n      days: {number % 30}\n"
        for number in range(1, count)
    )
    return HEAD + FIRST + "".join(tasks)


def flow(count: int) -> str:
    tasks = (
        f"  t{number}: {{function: m:go_on, inputs: {{value: '${{t{number - 1}.output}}', days: {number % 30}}}}}\n"
        for number in range(1, count)
    )
    return HEAD + FIRST + "".join(tasks)


def loaded(text: str) -> Loaded:
    data = text.encode()
    return load("/bench.yaml", read_file=lambda _path: data, find=lambda name: Found(FUNCTIONS[name]))


def seconds(work: Callable[[], Any], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def measure(count: int, rounds: int) -> Mapping[str, float]:
    graph = loaded(block(count)).graph
    assert graph is not None
    figures: dict[str, float] = {"tasks": count}
    for name, text in (("block", block(count)), ("flow", flow(count)), ("written", write(graph, FUNCTIONS))):
        found = loaded(text)
        assert found.is_valid
        assert found.graph is not None
        made = found.graph
        figures[f"{name}: bytes"] = len(text)
        figures[f"{name}: parse, s"] = seconds(lambda text=text: read(Source("", text, [])), rounds)
        loading = seconds(lambda text=text: loaded(text), rounds)
        figures[f"{name}: load and digest, s"] = loading + seconds(lambda made=made: graph_digest(made), rounds)
    figures["write, s"] = seconds(lambda: write(graph, FUNCTIONS), 1)
    return figures


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder", help="taken for the sake of bench/main.py; nothing is written")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    figures = measure(given.tasks, given.rounds)
    if given.json:
        print(json.dumps(figures, indent=2))
    else:
        print("\n".join(f"{value:14,.2f}  {name}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
