"""What a run of a target would do, before anything runs: hit, run or maybe for each task run, and why (semantics 35).

The run is rehearsed by the real engine over the project's own store, which is only read. What would be computed answers
with values that nobody knows; a task run that is given such a value may still be a hit, if an entry holds all that is
known of it. Declared sources are looked at as a run would look at them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.asking import OverAsked, over_asked
from penstock.app.caching import answer_of, codes_of, digest_at_of
from penstock.app.choosing import NOTHING_ASKED, Asked, Choosing
from penstock.app.describing import describe
from penstock.app.outlets import Say, in_silence
from penstock.app.places import DATABASE, aside, open_artifacts, open_executor, open_store_to_read, project_settings
from penstock.app.planning import components_of, learned_in, plan_for, refuse_unmeetable
from penstock.app.rehearsing import Rehearsed, rehearse
from penstock.app.running import bind_texts
from penstock.app.targets import diagnostics_of, parse_target
from penstock.app.verdicts import Foresight, Verdict, node_at, verdicts_of
from penstock.base.diagnostics import Diagnostic
from penstock.base.ids import run_id
from penstock.controller import SystemClock
from penstock.engine.rows import RunRow
from penstock.graph.codec import graph_digest

if TYPE_CHECKING:
    from penstock.app.parameter_files import Data
    from penstock.base.instants import Instant
    from penstock.controller.controller import Answer
    from penstock.engine.events import LookedUp, LookUp


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do. `predicted_ms` is its predicted length on this machine if every `maybe` turned out a hit,
    `predicted_ms_max` if every one of them ran; task runs of which nothing is known count as nothing, and `unknown` says
    how many those are."""

    pipeline: str
    verdicts: tuple[Verdict, ...]
    predicted_ms: float
    predicted_ms_max: float
    unknown: int
    machine: Mapping[str, int]
    diagnostics: tuple[Diagnostic, ...] = ()
    over_asked: tuple[OverAsked, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many functions there are by verdict."""
        counts: dict[str, int] = {}
        for verdict in self.verdicts:
            if verdict.is_function:
                counts[verdict.verdict] = counts.get(verdict.verdict, 0) + 1
        return counts

    def to_json(self) -> dict[str, Any]:
        return {
            "pipeline": self.pipeline,
            "task_runs": [verdict.to_json() for verdict in self.verdicts],
            "counts": self.counts,
            "predicted_ms": round(self.predicted_ms, 3),
            "predicted_ms_max": round(self.predicted_ms_max, 3),
            "unknown": self.unknown,
            "machine": dict(self.machine),
            "over_asked": [each.to_json() for each in self.over_asked],
        }


def plan_target(
    text: str, texts: Mapping[str, str | Data], *, asked: Asked = NOTHING_ASKED, say: Say = in_silence
) -> Preview:
    """Raises what is wrong with the target, its parameters or what is asked of it, as a run would. Nothing is written into
    the project."""
    import tempfile

    target = parse_target(text)
    settings = project_settings(target.folder)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-"))
        elsewhere = aside(settings, Path(folder))
        executor = stack.enter_context(closing(open_executor(elsewhere)))
        described = describe(executor, target, settings, say=say)
        inputs = bind_texts(described.graph, texts)
        known = (
            stack.enter_context(closing(open_store_to_read(settings))) if (settings.state / DATABASE).exists() else None
        )
        code, aside_artifacts = described.description.code, open_artifacts(elsewhere)
        if asked:
            choosing = Choosing(elsewhere, aside_artifacts, executor, known, inputs, stored=open_artifacts(settings))
            described, inputs = choosing.chosen(described, asked)
        plan = plan_for(
            described.graph,
            pin=described.description.pin,
            code=code,
            learned=learned_in(known, described.graph),
            artifacts=aside_artifacts,
            executor=executor,
        )
        refuse_unmeetable(plan)
        now = SystemClock().now()
        run = RunRow(
            run_id=run_id(now, int.from_bytes(os.urandom(3), "big")),
            pipeline=described.graph.name,
            graph_digest=graph_digest(described.graph),
            inputs=inputs,
            pin=described.description.pin,
            seed=0,
            created_at=now,
            code=code,
        )
        foresight = Foresight(
            plan,
            now=now,
            store=known,
            artifacts=open_artifacts(settings),
            codes=codes_of(aside_artifacts, code),
            code=code,
            described_in=aside_artifacts,
            executor=executor,
            digest_at=digest_at_of(settings),
        )
        answer = None
        if known is not None:
            answer = answer_at(now, answer_of(settings, known, open_artifacts(settings), only_look=True))
        short = rehearse(run, plan, respond=foresight.respond, capacity=executor.largest, answer=answer)
        verdicts = tuple(verdicts_of(plan, short, foresight))
        may_differ = any(verdict.verdict == "maybe" for verdict in verdicts)
        longest = _longest(run, foresight, short, answer=answer) if may_differ else short.took_ms
        return Preview(
            described.graph.name,
            verdicts,
            predicted_ms=short.took_ms,
            predicted_ms_max=max(longest, short.took_ms),
            unknown=sum(_is_unpredicted(verdict) for verdict in verdicts),
            machine=executor.largest,
            diagnostics=diagnostics_of(described.description),
            over_asked=over_asked(plan, known.history(sorted(components_of(described.graph))) if known else {}),
        )


def answer_at(now: Instant, answer: Answer) -> Answer:
    """The answers as of the present, whatever the played clock says; what another run computes now is a miss."""

    def answered(queries: Sequence[LookUp], played: Instant) -> Sequence[LookedUp]:
        return [replace(one, how="miss") if one.how == "claimed" else one for one in answer(queries, now)]

    return answered


def _longest(run: RunRow, foresight: Foresight, short: Rehearsed, *, answer: Answer | None) -> float:
    """How long the run would take if everything ran that may run."""
    foresight.maybe_runs = True
    for row in short.task_runs:
        node = node_at(foresight.plan.root, row.path) if row.cause.code == "condition_error" else None
        if node is not None and foresight.verdicts.get(row.path):
            node.when = None  # as if the condition held
    return rehearse(run, foresight.plan, respond=foresight.respond, capacity=foresight.largest(), answer=answer).took_ms


def _is_unpredicted(verdict: Verdict) -> bool:
    return verdict.is_function and verdict.verdict in ("run", "maybe") and verdict.predicted_ms is None


def shown_first(verdicts: Sequence[Verdict]) -> Iterator[Verdict]:
    """In order of path, so that what belongs together stands together."""
    return iter(sorted(verdicts, key=lambda verdict: verdict.path))
