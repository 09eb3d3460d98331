"""How long a graph of 1,000 nodes takes to be drawn as SVG, and how large the picture is: a pipeline as people write them (each
node reads one or two of the last sixty), and one whose nodes read from anywhere before them."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from statistics import median

from penstock.graph.bindings import Output
from penstock.graph.drawing import svg_of
from penstock.graph.model import Call, Function, Graph, InputSpec, OutputSpec
from penstock.graph.types import INT

ADD = Function("bench", "add", (InputSpec("x", INT), InputSpec("y", INT)), (OutputSpec("output", INT),))
START = Function("bench", "start", (), (OutputSpec("output", INT),))


def graph_of(count: int, reach: int) -> Graph:
    chance = random.Random(count + reach)
    nodes = [Call("t0", START, {})]
    for index in range(1, count):
        sources = (chance.randrange(max(0, index - reach), index) for _ in range(2))
        read = {name: Output(f"t{source}", "output") for name, source in zip("xy", sources, strict=True)}
        nodes.append(Call(f"t{index}", ADD, read))
    return Graph("many", (), tuple(nodes), ())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder")
    for name, default in (("nodes", 1_000), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = {}
    for name, reach in (("near", 60), ("from anywhere", given.nodes)):
        graph, took, text = graph_of(given.nodes, reach), [], ""
        for _ in range(given.rounds):
            begun = time.perf_counter()
            text = svg_of(graph)
            took.append(time.perf_counter() - begun)
        figures[f"ms, {given.nodes:,} nodes, reading {name}"] = median(took) * 1e3
        figures[f"KiB of SVG, {given.nodes:,} nodes, reading {name}"] = len(text) / 1024
    if given.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{value:14,.2f}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
