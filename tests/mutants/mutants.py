"""The mutants: one plausible mistake each, as a replacement of text in one file of the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` is exactly once in `file` (below the package); `story` says what the mistake does.
    `by` is a test that notices it, where the simulator does not."""

    name: str
    file: str
    before: str
    after: str
    story: str
    by: str = ""

    def count(self, package: Path) -> int:
        """How often the sources have the text."""
        return (package / self.file).read_text().count(self.before)

    def apply(self, package: Path) -> None:
        """Raises ValueError unless the sources have the text once: then the mutant must be written again."""
        if not self.before:
            return
        if (count := self.count(package)) != 1:
            raise ValueError(f"mutant {self.name}: {self.file} has its text {count} times, not once")
        path = package / self.file
        path.write_text(path.read_text().replace(self.before, self.after))


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
        "        assert task.retry_at is not None\n        turn.timers.add(task.retry_at, task)\n    else:\n",
        "        assert task.retry_at is not None\n    else:\n",
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
        "        if (turn.transitions or consumed) and not self._commit(turn, consumed, now):\n            return False\n"
        "        self._perform(turn.commands)\n",
        "        self._perform(turn.commands)\n"
        "        if (turn.transitions or consumed) and not self._commit(turn, consumed, now):\n            return False\n",
        "attempts start before the store knows of them",
    ),
    Mutant(
        "unknown-commit-believed",
        "controller/controller.py",
        "        except (ClaimLost, CommitUnknown):\n            self._reset(now)\n            return False\n",
        "        except ClaimLost:\n            self._reset(now)\n            return False\n"
        "        except CommitUnknown:\n            pass\n",
        "a commit of unknown outcome is taken for one that happened",
    ),
    Mutant(
        "acknowledged-too-early",
        "controller/controller.py",
        "        if (turn.transitions or consumed) and not self._commit(turn, consumed, now):\n            return False\n",
        "        self._acknowledge(events)\n"
        "        if (turn.transitions or consumed) and not self._commit(turn, consumed, now):\n            return False\n",
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
    Mutant(
        "environment-not-in-key",
        "plan/passes.py",
        "entry.key_base = digest_of([code.digest, code.environment, code.version])",
        "entry.key_base = digest_of([code.digest, code.version])",
        "what was computed with another version of a library is found",
    ),
    Mutant(
        "inputs-not-by-name",
        "engine/caching.py",
        "return digest_of([KEY_EPOCH, base, identities])",
        "return digest_of([KEY_EPOCH, base, sorted(identities.values())])",
        "two inputs that have changed places make the same key",
    ),
    Mutant(
        "unresolved-cached",
        "plan/passes.py",
        "if code is not None and (trusted or not code.unresolved):",
        "if code is not None:",
        "code that could not be followed is cached all the same",
    ),
    Mutant(
        "uncached-entered",
        "engine/outcomes.py",
        "    if task.key is None or code is None or not node.cache:\n",
        "    if task.key is None or code is None:\n",
        "cache=False writes entries",
    ),
    Mutant(
        "outside-entered",
        "engine/outcomes.py",
        "    if event.outside:\n        give_up_key(turn, task)\n        return\n",
        "",
        "what ran outside its closure is cached",
    ),
    Mutant(
        "uncached-found",
        "engine/caching.py",
        'return task.node.cache and task.scope.run.fixed.cache == "use"',
        "return task.node.cache",
        "--no-cache reads the cache",
    ),
    Mutant(
        "nothing-claimed",
        "engine/attempts.py",
        "    if turn.flights.leads(task):\n        assert",
        "    if task.attempt > 1 and turn.flights.leads(task):\n        assert",
        "other controllers do not hear who computes a key",
    ),
    Mutant(
        "claim-kept",
        "engine/progress.py",
        "        turn.released.append(task.key)\n",
        "        pass\n",
        "who failed goes on to claim its key",
    ),
    Mutant(
        "failure-leaves-nobody",
        "engine/progress.py",
        "        if next_ is not None:\n            turn.placement.add(next_)\n",
        "",
        "who waited for one that failed waits for ever",
    ),
    Mutant(
        "failure-shared",
        "engine/progress.py",
        "        if after is TaskState.SUCCEEDED and turn.flights.leads(task):\n",
        "        if turn.flights.leads(task):\n",
        "who waited for one that failed is given its outputs",
    ),
    Mutant(
        "everybody-leads",
        "engine/caching.py",
        "        leader = self.leader_by_key.setdefault(key, task)\n        if leader is not task:\n",
        "        leader = self.leader_by_key[key] = task\n        if leader is not task:\n",
        "equal keys are computed at once",
    ),
    Mutant(
        "leader-not-rebuilt",
        "engine/rebuild.py",
        "        turn.flights.leader_by_key.setdefault(task.key, task)\n",
        "        pass\n",
        "after a crash, nobody remembers that a key is being computed",
    ),
    Mutant(
        "asked-once",
        "engine/progress.py",
        "        turn.timers.add(turn.now + CLAIMED_WAIT_MS, task)\n",
        "",
        "who waits for another controller is never looked up again",
    ),
    Mutant(
        "question-not-rebuilt",
        "engine/rebuild.py",
        "            turn.agenda.append((take_up_ready, task.scope, task.node.index))\n",
        "            pass\n",
        "after a crash, nobody asks what was being asked",
    ),
    Mutant(
        "answers-before-the-rest",
        "engine/progress.py",
        "    if task is None or task.key != answer.key or task.state is not TaskState.READY:\n",
        "    if task is None:\n",
        "an answer about another key is taken",
    ),
    Mutant(
        "stale-reads-found",
        "controller/answers.py",
        "return self._reads_the_same(entry.reads) and self._has_blobs(entry.outputs)",
        "return self._has_blobs(entry.outputs)",
        "what read a file that has changed is found",
    ),
    Mutant(
        "vanished-found",
        "controller/answers.py",
        "return self._reads_the_same(entry.reads) and self._has_blobs(entry.outputs)",
        "return self._reads_the_same(entry.reads)",
        "entries are found whose content is gone",
    ),
    Mutant(
        "newest-only",
        "controller/answers.py",
        "            yield from (entry for entry in self._store.entries(key) if entry != found.entry)\n",
        "            return\n",
        "an older entry that holds is not found behind a newer one that does not",
    ),
    Mutant(
        "started-unasked",
        "engine/attempts.py",
        "if turn.flights.leads(task) and (missed is None or missed.at != turn.now):",
        "if turn.flights.leads(task) and missed is None:",
        "what was looked up long ago is computed without asking again",
    ),
    Mutant(
        "entered-since-ignored",
        "testing/memory_cache.py",
        "if self._newest(claim.key, commit.at).newest != claim.newest]",
        "if False]",
        "a key that was entered since the look-up is claimed",
        by="tests/unit/controller/test_cache_turns.py",
    ),
    Mutant(
        "room-not-given-back",
        "engine/caching.py",
        "        if room is not None:\n            room.remove(attempt)\n",
        "",
        "who was asked about and does not start keeps its room",
    ),
    Mutant(
        "own-entry-unseen",
        "controller/controller.py",
        "by_key = {entry.key: entry for entry in entered}",
        "by_key: dict[str, CacheEntry] = {}",
        "what a turn has entered is not found before its commit",
    ),
    Mutant(
        "claimed-found-missing",
        "controller/answers.py",
        "        if found.claimed_by not in (None, run_id):\n",
        "        if found.claimed_by == run_id:\n",
        "what another controller computes is computed as well",
    ),
    Mutant(
        "adopted-without-content",
        "controller/answers.py",
        "        if not self._has_blobs(row.outputs):\n            return False\n",
        "",
        "a retry adopts what is gone",
    ),
    Mutant(
        "claim-lost-ignored",
        "controller/controller.py",
        "        except (ClaimLost, CommitUnknown):\n            self._reset(now)\n            return False\n",
        "        except ClaimLost:\n            pass\n"
        "        except CommitUnknown:\n            self._reset(now)\n            return False\n",
        "a controller goes on with a commit that was refused",
        by="tests/unit/controller/test_cache_turns.py",
    ),
    Mutant(
        "nobody-wakes",
        "controller/controller.py",
        "        self._wake_at = self._clock.now()  # what waited for a task run of that run may go on",
        "        pass",
        "who waited for a run that another controller took stands still",
        by="tests/unit/controller/test_cache_turns.py",
    ),
    Mutant(
        "device-shared-beyond",
        "plan/devices.py",
        "            if 0 < share <= left:",
        "            if 0 < share <= WHOLE:",
        "a device is given to more than it has room for",
    ),
    Mutant(
        "devices-not-packed",
        "plan/devices.py",
        "sorted(fitting)[:count]",
        "sorted(fitting, reverse=True)[:count]",
        "shares are spread over whole devices",
        by="tests/unit/engine/test_gpu_transcripts.py",
    ),
    Mutant(
        "hint-kills",
        "engine/attempts.py",
        'amounts.get("memory") if declared else None',
        'amounts.get("memory")',
        "memory that was only learned is enforced",
        by="tests/unit/engine/test_memory_transcripts.py",
    ),
    Mutant(
        "worked-for-larger-inputs",
        "plan/learning.py",
        "if known <= class_",
        "if known >= class_",
        "what worked for large inputs is asked for with small ones, and not the other way round",
        by="tests/unit/engine/test_memory_transcripts.py",
    ),
    Mutant(
        "everybody-overtakes",
        "engine/packing.py",
        "if flight.submitted_at >= reservation.since and flight.rank > reservation.rank",
        "if flight.submitted_at >= reservation.since",
        "what is first in the line is held against those behind a reservation, and the machine stands empty",
        by="tests/unit/engine/test_memory_transcripts.py",
    ),
    Mutant(
        "nobody-takes-turns",
        "engine/packing.py",
        "head = heads[0] if turns is None or reserved else turns.next_of(heads)",
        "head = heads[0]",
        "one kind of task runs after the other, and memory is left over while processors are short",
        by="tests/unit/engine/test_memory_transcripts.py",
    ),
)
