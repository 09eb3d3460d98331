"""The mutants: one plausible mistake each, as a replacement of text in one file of the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` stands exactly once in `file` (below the package); `story` says what the mistake does."""

    name: str
    file: str
    before: str
    after: str
    story: str

    def apply(self, package: Path) -> None:
        """Raises ValueError when the sources no longer have the text: then the mutant must be written anew."""
        if not self.before:
            return
        path = package / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(f"mutant {self.name}: {self.file} has its text {text.count(self.before)} times, not once")
        path.write_text(text.replace(self.before, self.after))


MUTANTS = (
    Mutant(
        "skip-not-spread",
        "engine/judge.py",
        "return failed if c.failed else skipped if c.skipped else GO",
        "return failed if c.failed else GO",
        "all_succeeded runs after a skipped upstream",
    ),
    Mutant(
        "trigger-before-data",
        "engine/judge.py",
        "return GO if early and not c.data_open else WAIT",
        "return GO if early else WAIT",
        "one_succeeded runs before the values it refers to are there",
    ),
    Mutant(
        "one-failed-inverted",
        "engine/judge.py",
        "return GO if c.failed else skipped",
        "return skipped if c.failed else GO",
        "one_failed runs when nothing failed",
    ),
    Mutant(
        "one-retry-too-many",
        "engine/judge.py",
        "or not wanted or tried.failed_count + 1 >= retry.attempts_max",
        "or not wanted or tried.failed_count >= retry.attempts_max",
        "attempts_max counts retries instead of attempts",
    ),
    Mutant(
        "fail-is-retried",
        "engine/judge.py",
        "if outcome.final or tried.stopping",
        "if tried.stopping",
        "`raise Fail` is retried",
    ),
    Mutant(
        "retry-on-ignored",
        "engine/judge.py",
        "wanted = not retry.retry_on or any(name in names for name in retry.retry_on)",
        "wanted = True",
        "every exception is retried",
    ),
    Mutant(
        "not-yet-costs",
        "engine/judge.py",
        'Again(Instant(now + after_ms), "", Cause("not_yet", text=why))',
        'Again(Instant(now + after_ms), "failed", Cause("not_yet", text=why))',
        "waiting for something uses up attempts",
    ),
    Mutant(
        "lost-costs",
        "engine/judge.py",
        'return Again(now, "lost", Cause("lost", text=why))',
        'return Again(now, "failed", Cause("lost", text=why))',
        "a crash uses up attempts of the function",
    ),
    Mutant(
        "report-counted-twice",
        "engine/outcomes.py",
        "task = run.in_flight.pop(event.attempt_id, None)",
        "task = run.in_flight.get(event.attempt_id)",
        "an end that is reported twice is taken twice",
    ),
    Mutant(
        "late-report-taken",
        "engine/outcomes.py",
        "task = run.in_flight.pop(event.attempt_id, None)\n",
        'current = [a for a in run.in_flight if a.rpartition("#")[0] == event.attempt_id.rpartition("#")[0]]\n'
        "    event = replace(event, attempt_id=current[0]) if current else event\n"
        "    task = run.in_flight.pop(event.attempt_id, None)\n",
        "a superseded attempt's report ends the present one",
    ),
    Mutant(
        "tolerates-one-less",
        "engine/control.py",
        "if progress.failed > progress.tolerance:",
        "if progress.failed >= max(1, progress.tolerance):",
        "failures_max is one too strict",
    ),
    Mutant(
        "collected-unordered",
        "engine/control.py",
        "kept = [position for position, fate in enumerate(progress.fates) if fate == KEPT]",
        "kept = list(next(iter(progress.collected.values()), {}))",
        "collected lists are in the order in which items ended",
    ),
    Mutant(
        "parallel-max-ignored",
        "engine/control.py",
        "window = min(window, node.parallel_max)",
        "window = max(window, node.parallel_max)",
        "a map runs as many items at once as it likes",
    ),
    Mutant(
        "carry-forgotten",
        "engine/control.py",
        'return {**inputs, **data_from_json(task.detail["carried"])}',
        "return inputs",
        "every round of a loop gets the first one's inputs",
    ),
    Mutant(
        "one-round-more",
        "engine/control.py",
        "elif met or number >= node.rounds_max:",
        "elif met or number > node.rounds_max:",
        "a loop goes on beyond rounds_max",
    ),
    Mutant(
        "error-is-false",
        "engine/control.py",
        "            holds = condition(case.when, frame) if case.when is not None else True\n"
        "        except ExpressionError as error:\n",
        "            holds = condition(case.when, frame) if case.when is not None else True\n"
        "        except ExpressionError as error:\n"
        "            continue\n",
        "a branch takes an error in a condition for false",
    ),
    Mutant(
        "one-of-takes-last",
        "engine/binding.py",
        "found = (value_of(source, frame) for source in sources)",
        "found = (value_of(source, frame) for source in reversed(sources))",
        "OneOf takes the last source that has a value",
    ),
    Mutant(
        "default-ignored",
        "engine/binding.py",
        "            if bound.default is None:\n",
        "            if bound.default is None or bound.value is not None:\n",
        "an input whose producer has no value does not take its default",
    ),
    Mutant(
        "room-never-taken",
        "engine/packing.py",
        "            self.free[name] = self.free.get(name, 0) - amount\n",
        "            self.free[name] = self.free.get(name, 0) - amount // 2\n",
        "attempts count half against the capacity",
    ),
    Mutant(
        "room-never-freed",
        "engine/packing.py",
        "                self.free[name] = self.free.get(name, 0) + amount\n",
        "                self.free[name] = self.free.get(name, 0)\n",
        "an ended attempt keeps its room for ever",
    ),
    Mutant(
        "finally-stopped-too",
        "engine/progress.py",
        "    if scope.stopping and not (node.is_finally and scope.stopping != KILL):\n",
        "    if scope.stopping:\n",
        "finally nodes do not run when the run is cancelled",
    ),
    Mutant(
        "starts-while-stopping",
        "engine/progress.py",
        "        elif task.state in (TaskState.READY, TaskState.BACKOFF):\n",
        "        elif task.state is TaskState.BACKOFF:\n",
        "what was ready still starts after a cancel",
    ),
    Mutant(
        "same-generation",
        "engine/progress.py",
        "    task.generation += 1\n",
        "",
        "a node with a graph is begun again over its old task runs",
    ),
    Mutant(
        "pending-not-rebuilt",
        "engine/rebuild.py",
        "                scope.pending[consumer] -= 1\n",
        "                scope.pending[consumer] -= 0\n",
        "after a crash, nodes wait for upstreams that have ended",
    ),
    Mutant(
        "backoff-not-rebuilt",
        "engine/rebuild.py",
        "    elif task.state is TaskState.BACKOFF:\n"
        "        assert task.retry_at is not None\n"
        "        turn.timers.add(task.retry_at, task)\n",
        "    elif task.state is TaskState.BACKOFF:\n        assert task.retry_at is not None\n",
        "after a crash, nothing in backoff is ever tried again",
    ),
    Mutant(
        "in-flight-not-rebuilt",
        "engine/rebuild.py",
        "        task.scope.run.in_flight[identity] = task\n",
        "        if attempt.state is AttemptState.STARTED:\n            task.scope.run.in_flight[identity] = task\n",
        "after a crash, attempts that were only submitted are forgotten",
    ),
    Mutant(
        "performed-before-committed",
        "controller/controller.py",
        "        if (transitions or consumed) and not self._commit(transitions, consumed, now):\n            return False\n"
        "        self._perform(commands)\n",
        "        self._perform(commands)\n"
        "        if (transitions or consumed) and not self._commit(transitions, consumed, now):\n            return False\n",
        "attempts start before the store knows of them",
    ),
    Mutant(
        "unknown-commit-believed",
        "controller/controller.py",
        "        except CommitUnknown:\n            self._reset(now)\n            return False\n",
        "        except CommitUnknown:\n            pass\n",
        "a commit of unknown outcome is taken for one that happened",
    ),
    Mutant(
        "acknowledged-too-early",
        "controller/controller.py",
        "        if (transitions or consumed) and not self._commit(transitions, consumed, now):\n            return False\n",
        "        self._acknowledge(events)\n"
        "        if (transitions or consumed) and not self._commit(transitions, consumed, now):\n            return False\n",
        "outcome records are dropped before their ends are committed",
    ),
    Mutant(
        "nothing-adopted",
        "controller/controller.py",
        "            executor.adopt(attempt_ids)\n",
        "            pass\n",
        "after a crash, nobody asks what became of the attempts in flight",
    ),
    Mutant(
        "interrupt-forgotten",
        "controller/controller.py",
        "            self._pending = [*asked, *self._pending]  # nobody else will say it again\n",
        "            pass\n",
        "Ctrl-C is lost when the commit of what it led to fails",
    ),
    Mutant(
        "consumed-without-lease",
        "controller/controller.py",
        "concerned = {**changed, **dict.fromkeys(message.run_id for message in consumed)}",
        "concerned = changed or dict.fromkeys(message.run_id for message in consumed)",
        "a message is consumed in a commit that is not fenced for its run",
    ),
    Mutant(
        "shrunken-room-given-away",
        "engine/rebuild.py",
        "        if len(room.ahead) < room.ahead_max and not room.fits(flight.amounts) and room.joins(attempt.amounts):\n",
        "        if not room.fits(flight.amounts):\n",
        "after a crash, what runs beyond a shrunken capacity counts as waiting",
    ),
    Mutant(
        "adopts-what-it-lost",
        "controller/controller.py",
        "        held = self._store.renew(list(self._leases.values()), now=now, lease_ms=self._lease_ms)\n",
        "        held = list(self._leases.values())\n",
        "a controller that lost several runs takes the attempts of all but one back from who holds them now",
    ),
)
