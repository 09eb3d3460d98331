"""The cache in a simulated world: what the code of its functions counts as, graphs that change a little between runs, files
that functions read, blobs that vanish; and what must hold of all that is looked up, claimed and entered.

A function's name says what was changed in it: `ok_f7_v1_e2` is `ok_f7` with its code edited once and its environment twice.
What a function gives depends on the whole name, so whatever is found under a key that forgot one of them shows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from penstock.base.digests import chance
from penstock.base.ids import attempt_id, split_attempt_id
from penstock.base.instants import Instant
from penstock.controller.answers import digests_in
from penstock.effects import Commit
from penstock.engine.events import LookedUp, LookUp
from penstock.engine.rows import AttemptRow, CacheEntry, RunRecord, RunRow, TaskRunRow
from penstock.engine.states import TERMINAL_RUN_STATES, TaskState
from penstock.graph.codec import type_to_json
from penstock.graph.components import name_of
from penstock.graph.model import Branch, Call, Case, Finally, Graph, Loop, Map, Node, Work, bodies_of
from penstock.plan.learning import learned_from_json, learned_to_json
from penstock.plan.model import CodeKey, Plan, Remembered
from penstock.plan.passes import make_plan
from penstock.testing import fakes
from penstock.testing.checkers import demand, inputs_of, spots
from penstock.testing.graphs import Scenario
from penstock.values.reads import MISSING
from penstock.wire import AttemptRequest, Datum, Inline, Outcome, Succeeded

FILES = ("data/a.csv", "data/b.csv")
SETTLED = ("ok", "later1", "later3", "fails", "skips", "lookup", "invalid", "slow")
"""Behaviours whose end does not depend on how often a function was tried."""


# -- graphs ------------------------------------------------------------------------------------------------------------


def rewrite(graph: Graph, change: Callable[[Work], Work]) -> Graph:
    """A graph with every function of it and of its bodies changed."""
    return replace(graph, nodes=tuple(_rewrite(node, change) for node in graph.nodes))


def _rewrite(node: Node, change: Callable[[Work], Work]) -> Node:
    match node:
        case Map() | Loop():
            return replace(node, body=rewrite(node.body, change))
        case Branch():
            return replace(node, cases=tuple(Case(c.when, rewrite(c.body, change), c.inputs) for c in node.cases))
        case Call() | Finally():
            inner = node.component
            return replace(node, component=rewrite(inner, change) if isinstance(inner, Graph) else change(inner))


def with_policies(scenario: Scenario, rng: Random) -> Scenario:
    """Some functions are not cached, some of their entries expire."""

    def change(function: Work) -> Work:
        cache = False if rng.random() < 0.12 else None
        expires_ms = rng.choice((1, 2_000, 60_000)) if rng.random() < 0.12 else None
        return replace(function, policy=replace(function.policy, cache=cache, expires_ms=expires_ms))

    return replace(scenario, graph=rewrite(scenario.graph, change))


def edited(scenario: Scenario, rng: Random) -> Scenario:
    """The same a little later: somebody has edited functions, upgraded what they use, or given other inputs."""
    often = rng.choice((0.0, 0.1, 0.3))

    def change(function: Work) -> Work:
        if rng.random() >= often:
            return function
        return replace(function, name=f"{function.name}_{rng.choice('vew')}{rng.randint(1, 3)}")

    inputs = dict(scenario.inputs)
    for spec in scenario.graph.inputs:
        if spec.name in inputs and rng.random() < 0.2:
            inputs[spec.name] = Inline(fakes.plain_for(spec.type, f"other {rng.randrange(5)}"))
    return replace(scenario, graph=rewrite(scenario.graph, change), inputs=inputs)


def learned_of(graph: Graph, seed: int) -> dict[str, Any]:
    """What a run is told that earlier ones have taught of the memory of some of its functions: sometimes more than there is."""
    memories = {}
    for function in functions_in(graph):
        component = name_of(function)
        luck = chance("memory", seed, component)
        worked = ((0, int(luck * 4e9)),) if luck < 0.3 else ()
        if luck < 0.5:
            memories[component] = Remembered(int(luck * 2e10) if luck > 0.2 else 0, worked)
    return learned_to_json({}, memories)


def planned(graph: Graph, run: RunRow, codes: Mapping[str, CodeKey]) -> Plan:
    """A run's plan, from what its row says."""
    durations, memories = learned_from_json(run.learned)
    return make_plan(
        graph, graph_digest=run.graph_digest, pin=run.pin, codes=codes, history=durations, memories=memories
    )


def codes_of(graph: Graph, seed: int) -> dict[str, CodeKey]:
    """What the functions of a graph count as; not all have a code. Where a graph may be begun again, only those have whose
    end does not depend on how often they were tried: there, what is found may be better than what is computed anew."""
    functions = {name_of(function): function for function in functions_in(graph)}
    begun_again = any(node.policy.retry is not None for node in _holders(graph))
    return {
        component: _code_of(graph, function, seed)
        for component, function in functions.items()
        if chance("coded", seed, *_base_of(function.name)) < 0.85
        and not (begun_again and fakes.behaviour_of(function.name) not in SETTLED)
    }


def _code_of(graph: Graph, function: Work, seed: int) -> CodeKey:
    types = [spec.type for spec in function.inputs] + [spec.type for spec in function.outputs]
    signature = [str(type_to_json(of_type)) for of_type in types]
    changes = function.name.split("_")[2:]
    code, environment, version = (
        "".join(change for change in changes if change[0] == letter) for letter in ("v", "e", "w")
    )
    unresolved = ("exec",) if is_unresolved(function, seed) else ()
    base = " ".join((graph.name, *_base_of(function.name), *signature, code))
    return CodeKey(base, f"environment {environment}", unresolved, version or None)


def is_unresolved(function: Work, seed: int) -> bool:
    return chance("unresolved", seed, *_base_of(function.name)) < 0.06


def runs_outside(name: str) -> bool:
    """Whether a function runs code that its closure does not hold."""
    return chance("outside", *_base_of(name)) < 0.05


def _base_of(name: str) -> list[str]:
    return name.split("_")[:2]


def functions_in(graph: Graph) -> Iterator[Work]:
    for node in graph.nodes:
        if isinstance(node, (Call, Finally)) and not isinstance(node.component, Graph):
            yield node.component
        for body, _ in bodies_of(node):
            yield from functions_in(body)


def _holders(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        bodies = [body for body, _ in bodies_of(node)]
        if bodies:
            yield node
        for body in bodies:
            yield from _holders(body)


def function_at(graph: Graph, path: str) -> Work:
    """What a function's task run calls."""
    component = list(spots(graph, path))[-1].node.component  # type: ignore[union-attr]
    assert not isinstance(component, Graph)
    return component


def is_cached_at(graph: Graph, path: str) -> bool:
    """Whether the author lets a function's task run be cached: a finally node is only if that is asked for."""
    asked = function_at(graph, path).policy.cache
    return asked is not False and (asked is not None or not isinstance(list(spots(graph, path))[-1].node, Finally))


# -- the world ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Things:
    """Files that may be rewritten and blobs that may vanish."""

    files: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILES, 0))
    gone: set[str] = field(default_factory=set)

    def digest_at(self, path: str) -> str:
        """As a project's files and environment answer; of those not here, that there is nothing."""
        return f"blake3:{path} {self.files[path]}" if path in self.files else MISSING

    def keep(self, digest: str) -> bool:
        """As an artifact store answers."""
        return digest not in self.gone

    def beside(self, request: AttemptRequest, outcome: Outcome) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """What is reported beside an outcome: what was read, and what ran outside the closure. Blobs are there again."""
        if not isinstance(outcome, Succeeded):
            return {}, ()
        base = _base_of(request.component.name)
        self.gone.difference_update(digest for datum in outcome.outputs.values() for digest in digests_in(datum))
        reads = {path: self.digest_at(path) for path in FILES if chance("reads", path, *base) < 0.12}
        outside = (f"{request.component.component}:elsewhere",) if runs_outside(request.component.name) else ()
        return reads, outside


# -- what must hold ----------------------------------------------------------------------------------------------------


def id_of(entry: CacheEntry) -> str:
    """The id of the attempt that made an entry."""
    return attempt_id(entry.run_id, entry.path, entry.attempt)


@dataclass(slots=True)
class Ledger:
    """What has been entered and claimed so far, as the commits said."""

    things: Things
    seed: int
    graphs: Mapping[str, Graph]
    """By run."""
    entries: dict[str, list[CacheEntry]] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    """Who computes, by key: the run."""
    computing: dict[str, str] = field(default_factory=dict)
    """Keys of attempts that have not ended and whose result may be shared, by attempt id."""
    reads: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """What attempts read that left no entry, by run and path."""
    unusable: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    """By run and path: the entries of its key that did not hold when it was looked up last, by the ids of the attempts that
    made them."""

    def valid(self, key: str, now: Instant) -> list[CacheEntry]:
        return [
            entry
            for entry in self.entries.get(key, ())
            if (entry.expires_at is None or entry.expires_at > now)
            and all(self.things.digest_at(path) == digest for path, digest in entry.reads.items())
            and self._is_there(entry.outputs)
        ]

    def _is_there(self, outputs: Mapping[str, Datum]) -> bool:
        return not any(digest in self.things.gone for datum in outputs.values() for digest in digests_in(datum))

    def check_answer(self, query: LookUp, answer: LookedUp, now: Instant, adoptable: Sequence[TaskRunRow]) -> None:
        """An answer is about its query, and as good as can be."""
        where = f"{query.run_id}/{query.path}: {answer}"
        asked = (query.run_id, query.path, query.key)
        demand((answer.run_id, answer.path, answer.key) == asked, f"{where} answers {query}")
        valid = self.valid(query.key, now) if query.read else []
        unusable = [entry for entry in self.entries.get(query.key, ()) if entry not in valid]
        self.unusable[query.run_id, query.path] = frozenset(map(id_of, unusable))
        match answer.how:
            case "hit":
                demand(any(entry.outputs == answer.outputs for entry in valid), f"{where} and no valid entry: {valid}")
                newest = self.valid(query.key, now)[-1]
                demand(newest.outputs == answer.outputs, f"{where} is not the newest: {newest}")
            case "adopted":
                rows = [row for row in adoptable if row.key == query.key and row.state is TaskState.SUCCEEDED]
                demand(any(row.outputs == answer.outputs for row in rows), f"{where} was nowhere: {rows}")
                demand(self._is_there(answer.outputs), f"{where}, and blobs are gone")
                read = self.reads.get(answer.source, {})
                changed = [path for path, digest in read.items() if self.things.digest_at(path) != digest]
                demand(not changed, f"{where}, and {changed} were read and have changed")
            case _:
                demand(not valid, f"{where}, and there is {valid}")

    def follow(self, commit: Commit, is_live: Callable[[str, Instant], bool]) -> None:
        """Check and note what one commit entered, claimed and gave back."""
        held = {lease.run_id for lease in commit.leases}
        ended = (change.row for change in commit.transitions if isinstance(change.row, AttemptRow))
        self.reads.update((f"{row.run_id}/{row.path}", row.reads) for row in ended if row.outcome == "succeeded")
        for entry in commit.entries:
            self._check_entry(entry, commit)
            self.entries.setdefault(entry.key, []).append(entry)
        over = {c.run_id for c in commit.transitions if c.machine == "run" and c.after in TERMINAL_RUN_STATES}
        written = {(entry.key, entry.run_id) for entry in commit.entries}
        released = {(key, run_id) for key in commit.released for run_id in held}
        self.claims = {
            key: run_id
            for key, run_id in self.claims.items()
            if run_id not in over and (key, run_id) not in written | released
        }
        for claim in commit.claims:
            holder = self.claims.get(claim.key, claim.run_id)
            taken = holder != claim.run_id and is_live(holder, commit.at)
            demand(not taken, f"{claim} is claimed by {holder}, which is live")
            self.claims[claim.key] = claim.run_id

    def _check_entry(self, entry: CacheEntry, commit: Commit) -> None:
        """An entry is of the attempt whose outcome the same commit accepts."""
        function = function_at(self.graphs[entry.run_id], entry.path)
        may_be = is_cached_at(self.graphs[entry.run_id], entry.path) and not is_unresolved(function, self.seed)
        demand(may_be and not runs_outside(function.name), f"{entry} is entered, and is not to be cached")
        rows = [change.row for change in commit.transitions if change.run_id == entry.run_id]
        ended = [row for row in rows if isinstance(row, AttemptRow) and row.path == entry.path]
        tasks = [row for row in rows if isinstance(row, TaskRunRow) and row.path == entry.path]
        accepted = any((row.number, row.outcome) == (entry.attempt, "succeeded") for row in ended)
        same = any((row.key, row.outputs, row.attempt) == (entry.key, entry.outputs, entry.attempt) for row in tasks)
        demand(accepted and same, f"{entry} is entered, and was not accepted: {tasks} {ended}")

    def check_submitted(
        self, row: AttemptRow, task: TaskRunRow, open_ids: Container[str], *, aside: Container[str]
    ) -> None:
        """What is computed to be shared (its run reads the cache) is computed once at a time, under a claim, and only while no
        entry of its key holds. `aside`: attempts whose entries are of the same commit, and of runs that share nothing."""
        if task.key is None or not is_cached_at(self.graphs[row.run_id], row.path):
            return
        self.computing = {each: key for each, key in self.computing.items() if each in open_ids}
        mine = attempt_id(row.run_id, row.path, row.number)
        for other, key in self.computing.items():
            twice = key == task.key and other != mine and split_attempt_id(other)[0] == row.run_id
            demand(not twice, f"{mine} computes what {other} computes: {key}")
        demand(self.claims.get(task.key) == row.run_id, f"{mine} computes without a claim: {self.claims}")
        unusable = self.unusable.get((row.run_id, row.path), frozenset())
        holding = [id_of(entry) for entry in self.valid(task.key, row.submitted_at)]
        needless = [one for one in holding if one not in unusable and one not in aside]
        demand(not needless, f"{mine} computes what {needless} entered: {task.key}")
        self.computing[mine] = task.key

    def check_found(self, row: TaskRunRow, record: RunRecord) -> None:
        """What was found is what the function gives for these inputs."""
        graph = self.graphs[row.run_id]
        function = function_at(graph, row.path)
        outputs = {spec.name: spec.type for spec in function.outputs}
        given = inputs_of(row.path, graph, record)
        expected: Any = fakes.outcome_of(function.name, outputs, given, 99)
        right = isinstance(expected, Succeeded) and expected.outputs == row.outputs
        demand(right, f"{row.path}: found {row.outputs} ({row.cause}), and it gives {expected}")
