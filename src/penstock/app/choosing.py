"""What a run is asked for of its pipeline: a task and what it needs, a task alone, outputs that are given as files. The graph of
the run is made by `graph.selection`; here its given outputs get their values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.base.errors import InvalidInput
from penstock.wire import Datum

if TYPE_CHECKING:
    from penstock.app.describing import Described
    from penstock.effects import StateStore
    from penstock.executors.local.executor import LocalExecutor
    from penstock.graph.bindings import Output
    from penstock.graph.model import Graph
    from penstock.settings import Settings
    from penstock.values.store import ArtifactStore


@dataclass(frozen=True, slots=True)
class Asked:
    """`until` and `only` are tasks of the pipeline; `files` are paths by TASK.OUTPUT. `values` are given outputs of an earlier
    run that is made again, by TASK.OUTPUT as well, with where they came from in `origins`."""

    until: str = ""
    only: str = ""
    files: Mapping[str, Path] = field(default_factory=dict)
    values: Mapping[str, Datum] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.until and self.only:
            raise InvalidInput("--until and --only exclude each other", fix="Give one of them.")

    def __bool__(self) -> bool:
        return bool(self.until or self.only or self.files or self.values)

    def to_json(self, origins: Mapping[str, str]) -> dict[str, Any]:
        """What a run keeps of it. `origins` says where each given output comes from."""
        return {
            **({"until": self.until} if self.until else {}),
            **({"only": self.only} if self.only else {}),
            **({"given": dict(origins)} if origins else {}),
        }


NOTHING_ASKED = Asked()


def asked_again(data: Mapping[str, Any], inputs: Mapping[str, Datum]) -> Asked:
    """What an earlier run was asked for, from what it kept; what was given is among its inputs."""
    values = {text: inputs[name] for text, name in given_inputs(data).items()}
    return Asked(data.get("until", ""), data.get("only", ""), values=values, origins=data.get("given", {}))


def given_inputs(data: Mapping[str, Any]) -> dict[str, str]:
    """The inputs that given outputs became, by TASK.OUTPUT."""
    from penstock.graph.bindings import Output
    from penstock.graph.selection import input_name

    return {text: input_name(Output(*text.split(".", 1))) for text in data.get("given", {})}


@dataclass(frozen=True, slots=True)
class Choosing:
    """What it takes to give outputs their values."""

    settings: Settings
    artifacts: ArtifactStore
    executor: LocalExecutor
    known: StateStore | None
    inputs: Mapping[str, Datum]
    stored: ArtifactStore | None = None
    """What earlier runs have made, where `artifacts` is for something that leaves nothing behind."""

    def chosen(self, described: Described, asked: Asked) -> tuple[Described, dict[str, Datum]]:
        """The part of a pipeline that is asked for, and its inputs. Raises InvalidInput for names and files that are not
        there, and where `only` is asked for and something that the task needs has no result."""
        from penstock.graph.codec import graph_to_json
        from penstock.graph.selection import Selection, input_name, require_node, require_output, text_of

        graph = described.graph
        values: dict[Output, Datum] = {}
        origins: dict[str, str] = {}
        for text, path in asked.files.items():
            output = require_output(graph, text)
            values[output] = self._read(graph, output, path)
            origins[text_of(output)] = str(path)
        for name, datum in asked.values.items():
            values[require_output(graph, name)] = datum
            origins[name] = asked.origins.get(name, "")
        if asked.only:
            require_node(graph, asked.only)
            for output, (datum, source) in self._results(described, asked.only, values).items():
                values[output], origins[text_of(output)] = datum, source
        selected = Selection(asked.until, asked.only, frozenset(values)).of(graph)
        inputs = {**self.inputs, **{input_name(output): datum for output, datum in values.items()}}
        description = replace(described.description, graph=graph_to_json(selected))
        return replace(described, graph=selected, description=description, asked=asked.to_json(origins)), inputs

    def _read(self, graph: Graph, output: Output, path: Path) -> Datum:
        from penstock.app.given_files import read_given
        from penstock.graph.model import outputs_of
        from penstock.graph.selection import require_node

        type_ = outputs_of(require_node(graph, output.node))[output.name]
        return read_given(type_, path, artifacts=self.artifacts, settings=self.settings)

    def _results(
        self, described: Described, only: str, values: Mapping[Output, Datum]
    ) -> dict[Output, tuple[Datum, str]]:
        """What a task needs of others that is not given: what a run would find in the cache, with the task run that made it."""
        from penstock.app.rehearsing import is_unknown
        from penstock.graph.selection import Selection, inputs_of_node, require_node

        graph = described.graph
        needed = [output for output in inputs_of_node(graph, only) if output not in values]
        if not needed:
            return {}
        part = Selection(until=only, given=frozenset(values)).of(graph)
        rows = self._foreseen(replace(described, graph=part), values)
        found: dict[Output, tuple[Datum, str]] = {}
        missing: list[str] = []
        for output in needed:
            row = rows.get(output.node)
            datum = row.outputs.get(output.name) if row is not None else None
            if row is None or datum is None or is_unknown(datum):
                location = require_node(graph, output.node).location
                missing.append(f"{f'{location}: ' if location else ''}{output.node} has no result yet")
            else:
                found[output] = (datum, row.cause.by or output.node)
        if missing:
            lines = [*dict.fromkeys(missing), f"{only} alone needs it as its code and inputs are now"]
            raise InvalidInput("\n".join(lines), fix=f"`--until {only}` computes what it needs; `--set` gives a file.")
        return found

    def _foreseen(self, described: Described, values: Mapping[Output, Datum]) -> dict[str, Any]:
        """The rows of the task runs that a run would have, by path; what it would compute has unknown outputs."""
        from penstock.app.caching import answer_of, codes_of, digest_at_of
        from penstock.app.planning import plan_for
        from penstock.app.previewing import answer_at
        from penstock.app.rehearsing import rehearse
        from penstock.app.verdicts import Foresight
        from penstock.base.ids import run_id
        from penstock.controller import SystemClock
        from penstock.engine.rows import RunRow
        from penstock.graph.codec import graph_digest
        from penstock.graph.selection import input_name

        description, graph, now = described.description, described.graph, SystemClock().now()
        plan = plan_for(
            graph,
            pin=description.pin,
            code=description.code,
            learned=({}, {}),
            artifacts=self.artifacts,
            executor=self.executor,
        )
        run = RunRow(
            run_id=run_id(now, int.from_bytes(os.urandom(3), "big")),
            pipeline=graph.name,
            graph_digest=graph_digest(graph),
            inputs={**self.inputs, **{input_name(output): datum for output, datum in values.items()}},
            pin=description.pin,
            seed=0,
            created_at=now,
            code=description.code,
        )
        foresight = Foresight(
            plan,
            now=now,
            store=self.known,
            artifacts=self.stored or self.artifacts,
            codes=codes_of(self.artifacts, description.code),
            code=description.code,
            described_in=self.artifacts,
            executor=self.executor,
            digest_at=digest_at_of(self.settings),
        )
        answer = None
        if self.known is not None:
            answer = answer_at(now, answer_of(self.settings, self.known, self.stored or self.artifacts, only_look=True))
        played = rehearse(run, plan, respond=foresight.respond, capacity=self.executor.largest, answer=answer)
        return {row.path: row for row in played.task_runs}
