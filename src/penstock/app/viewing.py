"""What there is to see of a run while it runs: takes committed rows and progress, answers with a frozen frame to draw.

Pure: no clock, no terminal. What is told is only put aside, the last of each row; it is taken in when a frame is wanted, so
that a task run that comes and goes between two frames costs little more than being counted. What has ended below a node
with a graph is counted and forgotten: memory and frames are as large as what is open, never as large as the run."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.app.frames import CACHED, ENDED, Frame, Lines, Twig, state_of
from penstock.app.paths import place_of
from penstock.base.ids import split_attempt_id
from penstock.plan.devices import on_devices
from penstock.wire import NOTED_PREFIXES, Observation, Progress

if TYPE_CHECKING:
    from penstock.engine.events import Transition
    from penstock.engine.rows import AttemptRow, RunRow, TaskRunRow
    from penstock.plan.model import Plan, PlanGraph, PlanNode
    from penstock.wire import Observed, Usage

# So many rows are put aside at most before they are taken in, whether or not a frame is wanted.
ASIDE_MAX = 20_000
# So many nodes of the pipeline are looked at, at most, for the next ones that wait.
SCANNED_MAX = 500
# Of the nodes that have ended, so many are kept to be shown; the rest are counted.
ENDED_KEPT_MAX = 100

SHOWN_ORDER = ("succeeded", CACHED, "failed", "skipped", "cancelled")


class View:
    """What a person sees of one run. `plan` is the run's; `capacity` what its executors have; `rows` those that it had when
    it was taken up again."""

    def __init__(
        self, run: RunRow, plan: Plan, *, capacity: Mapping[str, int], rows: Sequence[TaskRunRow] = ()
    ) -> None:
        self._run = run
        self._plan = plan
        self._capacity = dict(capacity)
        self._usual_ms = {name: mean / 1000 for name, (count, mean) in plan.duration_us_by_component.items() if count}
        self._leaves: dict[int, int] = {}
        self._root = Twig("", "", None, None, known=self._leaves_of(plan.root))
        self._twigs: dict[str, Twig] = {}
        self._ended: deque[Twig | TaskRunRow] = deque(maxlen=ENDED_KEPT_MAX)
        """The pipeline's own nodes that ended last; a row where the task run had come and gone between two looks."""
        self._ended_attempts: dict[str, AttemptRow] = {}
        """The attempts of such rows, the last ones."""
        self._ended_count: Counter[str] = Counter()
        self._entered: set[str] = set()
        self._cursor = 0
        self._flights: dict[str, AttemptRow] = {}
        self._used: Counter[str] = Counter()
        self._aside: dict[str, TaskRunRow] = {}
        self._attempts_aside: dict[str, AttemptRow] = {}
        self._progress_aside: dict[str, Progress] = {}
        self._metrics_aside: dict[tuple[str, str], float] = {}
        self._saved_ms = 0.0
        self._stopping = ""
        self.ended: Counter[str] = Counter()
        """How many task runs have ended, by state; hits are `cached`. Complete after `settle`."""
        for row in rows:
            self._task(row)

    # -- what is told --------------------------------------------------------------------------------------------------

    def tell(self, transitions: Sequence[Transition]) -> None:
        aside, attempts, run_id = self._aside, self._attempts_aside, self._run.run_id
        for transition in transitions:
            if transition.run_id != run_id:
                continue
            row: Any = transition.row
            if transition.machine == "task":
                aside[transition.id] = row
            elif transition.machine == "attempt":
                attempts[transition.id] = row
            else:
                self._run = row
        if len(aside) + len(attempts) > ASIDE_MAX:
            self.settle()

    def observe(self, observed: Sequence[Observed]) -> None:
        """What the code of task runs says of how far it is, and the metrics that it logs; of one that has ended it is
        dropped."""
        for each in observed:
            if isinstance(each, Progress):
                self._progress_aside[each.attempt_id] = each
            elif isinstance(each, Observation) and not each.name.startswith(NOTED_PREFIXES):
                self._metrics_aside[each.attempt_id, each.name] = each.value

    def stop(self, *, force: bool) -> None:
        self._stopping = "kill" if force else self._stopping or "cancel"

    @property
    def open_attempts(self) -> int:
        """How many attempts are submitted and have not ended."""
        self.settle()
        return len(self._flights)

    def settle(self) -> None:
        """Take in what was put aside."""
        aside, self._aside = self._aside, {}
        attempts, self._attempts_aside = self._attempts_aside, {}
        for row in aside.values():
            self._task(row)
        for attempt_id, attempt in attempts.items():
            self._attempt(attempt_id, attempt)
        if self._progress_aside or self._metrics_aside:
            self._take_in_observed()

    def _take_in_observed(self) -> None:
        progress, self._progress_aside = self._progress_aside, {}
        metrics, self._metrics_aside = self._metrics_aside, {}
        for attempt_id, said in progress.items():
            twig = self._twig_of(attempt_id)
            if twig is not None:
                twig.progress = said
        for (attempt_id, name), value in metrics.items():
            twig = self._twig_of(attempt_id)
            if twig is not None:
                twig.metrics.pop(name, None)
                twig.metrics[name] = value  # the latest one stands last

    def _twig_of(self, attempt_id: str) -> Twig | None:
        run_id, path, _ = split_attempt_id(attempt_id)
        return self._twigs.get(path) if run_id == self._run.run_id else None

    def _task(self, row: TaskRunRow) -> None:
        has_ended = row.state in ENDED
        twig = self._twigs.get(row.path)
        if twig is None:
            if has_ended and self._count_leaf(row):
                return
            name, node, holder = self._place(row.path)
            twig = self._twigs[row.path] = holder.open[row.path] = Twig(row.path, name, node, holder)
            if holder is self._root:
                self._entered.add(name)
        before, twig.row = twig.row, row
        if before is not None and before.attempt != row.attempt:
            twig.progress, twig.metrics = None, {}
        if twig.node is not None and twig.node.bodies:
            self._learn(twig, before, row)
        if has_ended:
            self._end(twig, row)

    def _count_leaf(self, row: TaskRunRow) -> bool:
        """Count a function that has come and gone since the last look: the way of nearly all task runs of a large run.
        False: it is none, or its holder is not known yet."""
        base, key, name, _ = place_of(row.path)
        body, holder = self._plan.root, self._root
        if base:
            known = self._twigs.get(base)
            if known is None or known.node is None:
                return False
            bodies, holder = known.node.bodies, known
            body = bodies[int(key) if key and len(bodies) > 1 else 0]
        node = _node_in(body, name)
        if node is None or node.bodies:
            return False
        self._count(holder, row)
        if not base:
            self._entered.add(name)
            self._keep_ended(row, row)
        return True

    def _learn(self, twig: Twig, before: TaskRunRow | None, row: TaskRunRow) -> None:
        """How many functions a node with a graph turns out to hold: a map's length, a branch's case, a loop's rounds are
        known only now."""
        assert twig.node is not None
        leaves = [self._leaves_of(body) for body in twig.node.bodies]
        was, now = (before.detail if before is not None else {}), row.detail
        more = 0
        if before is None and type(twig.node.node).__name__ in ("Call", "Finally"):
            twig.known = leaves[0]  # counted in what holds it from the start
        elif "length" in now and "length" not in was:
            more = now["length"] * leaves[0]
        elif now.get("case") is not None and was.get("case") is None:
            more = leaves[now["case"]]
        elif "round" in now:
            more = (now["round"] - was.get("round", 0)) * leaves[0]
        if more:
            _add_known(twig, more)

    def _end(self, twig: Twig, row: TaskRunRow) -> None:
        holder = twig.holder
        assert holder is not None
        holder.open.pop(twig.path, None)
        is_leaf = twig.node is None or not twig.node.bodies
        if is_leaf:
            self._count(holder, row)
        else:
            # What it held and never came to be is not waited for any more.
            _add_known(twig, twig.done - twig.known)
            self.ended[state_of(row)] += 1
        if holder is self._root:
            self._keep_ended(twig, row)
        else:
            del self._twigs[twig.path]

    def _keep_ended(self, kept: Twig | TaskRunRow, row: TaskRunRow) -> None:
        if len(self._ended) == ENDED_KEPT_MAX:
            self._twigs.pop(self._ended[0].path, None)
        self._ended.append(kept)
        self._ended_count[state_of(row)] += 1

    def _count(self, holder: Twig, row: TaskRunRow) -> None:
        """A function's task run has ended."""
        state = state_of(row)
        self.ended[state] += 1
        is_cached, is_failed = state == CACHED, state == "failed"
        if is_cached:
            self._saved_ms += self._usual_ms.get(row.component, 0.0)
        above: Twig | None = holder
        while above is not None:
            above.done += 1
            above.cached += is_cached
            above.failed += is_failed
            above = above.holder

    def _attempt(self, attempt_id: str, row: AttemptRow) -> None:
        known = self._flights.get(attempt_id)
        if row.state != "ended":
            if known is None:
                self._used.update(dict(row.amounts))
            self._flights[attempt_id] = row
        elif known is not None:
            del self._flights[attempt_id]
            self._used.subtract(dict(known.amounts))
        twig = self._twigs.get(row.path)
        if twig is not None:
            twig.attempt = row
        elif "/" not in row.path:
            self._ended_attempts[row.path] = row
            if len(self._ended_attempts) > ENDED_KEPT_MAX:
                del self._ended_attempts[next(iter(self._ended_attempts))]

    # -- the tree ------------------------------------------------------------------------------------------------------

    def _place(self, path: str) -> tuple[str, PlanNode | None, Twig]:
        """Of a task run: its name below its holder, its node in the plan, its holder."""
        base, key, name, _ = place_of(path)
        if not base:
            return name, _node_in(self._plan.root, name), self._root
        holder = self._twigs.get(base)
        if holder is None:
            shown, node, over = self._place(base)
            holder = self._twigs[base] = over.open[base] = Twig(base, shown, node, over)
        bodies = holder.node.bodies if holder.node is not None else ()
        chosen = int(key) if key and len(bodies) > 1 else 0
        node = _node_in(bodies[chosen], name) if chosen < len(bodies) else None
        return (f"{key}/{name}" if key else name), node, holder

    def _leaves_of(self, graph: PlanGraph) -> int:
        """The functions of a graph that are known to come, whatever its values are."""
        known = self._leaves.get(id(graph))
        if known is None:
            known = 0
            for node in graph.nodes:
                if not node.bodies:
                    known += 1
                elif type(node.node).__name__ in ("Call", "Finally"):
                    known += self._leaves_of(node.bodies[0])
            self._leaves[id(graph)] = known
        return known

    # -- frames --------------------------------------------------------------------------------------------------------

    def frame(self, now: int, *, lines_max: int, usage: Mapping[str, Usage] | None = None) -> Frame:
        """What there is to see at `now` (ms since the epoch). `usage` is what running attempts use, by attempt id."""
        self.settle()
        run = self._run
        began = run.started_at if run.started_at is not None else run.created_at
        until = run.ended_at if run.ended_at is not None else now
        return Frame(
            pipeline=run.pipeline,
            run_id=run.run_id,
            state=run.state.value,
            took_ms=max(until - began, 0),
            done=self._root.done,
            known=max(self._root.known, self._root.done),
            counts=tuple((state, self.ended[state]) for state in SHOWN_ORDER if self.ended[state]),
            saved_ms=self._saved_ms,
            attempts=len(self._flights),
            amounts=self._amounts(),
            lines=tuple(Lines(self, now, usage or {}).chosen(lines_max))[:lines_max],
            stopping=self._stopping,
        )

    def _amounts(self) -> tuple[tuple[str, int, int], ...]:
        """What is in use of each resource; of GPUs, of all of them together."""
        together: dict[str, tuple[int, int]] = {}
        for name, capacity in sorted(self._capacity.items()):
            kind, of_device, _ = name.partition(":")
            if not (of_device and kind == "gpu_memory"):
                used, all_ = together.get(kind, (0, 0))
                together[kind] = (used + self._used[name], all_ + capacity)
        return tuple((name, used, all_) for name, (used, all_) in together.items())

    def waiting(self, count: int) -> list[PlanNode]:
        """The next nodes of the pipeline, in written order, that have not left `waiting`."""
        nodes = self._plan.root.nodes
        while self._cursor < len(nodes) and nodes[self._cursor].name in self._entered:
            self._cursor += 1
        found: list[PlanNode] = []
        for node in nodes[self._cursor : self._cursor + SCANNED_MAX]:
            if len(found) == count:
                break
            if node.name not in self._entered:
                found.append(node)
        return found

    @property
    def waiting_count(self) -> int:
        return len(self._plan.root.nodes) - len(self._entered)

    @property
    def root(self) -> Twig:
        return self._root

    def recent(self, count: int) -> list[Twig]:
        """The nodes of the pipeline that ended last, oldest first."""
        kept = list(self._ended)[-count:] if count > 0 else []
        return [each if isinstance(each, Twig) else self._twig_again(each) for each in kept]

    def _twig_again(self, row: TaskRunRow) -> Twig:
        node = _node_in(self._plan.root, row.path)
        return Twig(row.path, row.path, node, self._root, row=row, attempt=self._ended_attempts.get(row.path))

    @property
    def ended_count(self) -> Counter[str]:
        """How many nodes of the pipeline itself have ended, by state."""
        return self._ended_count

    def usual_ms(self, component: str) -> float | None:
        return self._usual_ms.get(component)

    def order_of(self, twig: Twig) -> int:
        return twig.node.index if twig.node is not None else len(self._plan.root.nodes)

    def lacking(self, amounts: Mapping[str, int]) -> list[str]:
        """The resources that are in use to such an amount that these do not fit."""
        free = {name: amount - self._used[name] for name, amount in self._capacity.items()}
        short = [name for name, amount in sorted(amounts.items()) if name in free and amount > free[name]]
        if "gpu" in amounts and on_devices(amounts, free) is None:
            short.append("gpu")
        return short


def _node_in(graph: PlanGraph, name: str) -> PlanNode | None:
    index = graph.index_by_name.get(name)
    return graph.nodes[index] if index is not None else None


def _add_known(twig: Twig, more: int) -> None:
    above: Twig | None = twig
    while above is not None:
        above.known += more
        above = above.holder
