"""What a task can ask about the attempt it runs in, from any thread of it. Outside an attempt there is a context too,
so that a task can be called as the plain function that it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from penstock.base import scratch
from penstock.base.ids import split_attempt_id
from penstock.launcher.inner.checkpoints import PARTIAL, Checkpoint, replacing
from penstock.wire import Artifact, Exhibit, Observation, Observed, Progress

if TYPE_CHECKING:
    import logging

    from penstock.values.chance import Generator

LOGGER = "penstock.task"
NAME_LENGTH_MAX = 200
OBJECTIVE = "objective"
"""The name of the metric that `report` records."""

TRACK_S = 0.1
"""How often `track` says how far it is."""

Item = TypeVar("Item")
Store = Callable[[str, str, Any], Artifact]
"""Stores a figure or a table: kind, name and value."""


class Context:
    """What belongs to one attempt: ids, logger, metrics, figures, scratch and checkpoint folder. Ids differ between
    runs: nothing that a task returns may depend on them."""

    __slots__ = ("_checkpoint", "_fresh", "_observe", "_scratch", "_store", "attempt_id", "pipeline", "seed")

    def __init__(
        self,
        attempt_id: str,
        *,
        pipeline: str,
        seed: int,
        fresh: Callable[[], Path],
        observe: Callable[[Observed], None],
        store: Store | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.attempt_id = attempt_id
        """`RUN/PATH#NUMBER`."""
        self.pipeline = pipeline
        self.seed = seed
        """What `random` and numpy are seeded with; the same for the same task and inputs."""
        self._fresh = fresh
        self._observe = observe
        self._store = store
        self._checkpoint = checkpoint
        self._scratch: Path | None = None

    @property
    def run_id(self) -> str:
        """The id of the run that the attempt is of."""
        return split_attempt_id(self.attempt_id)[0]

    @property
    def task_path(self) -> str:
        """The path of the task run in its run: `train/3/fit`."""
        return split_attempt_id(self.attempt_id)[1]

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return split_attempt_id(self.attempt_id)[2]

    @property
    def logger(self) -> logging.Logger:
        """A logger whose lines stand in the attempt's log."""
        import logging

        return logging.getLogger(LOGGER)

    @property
    def scratch(self) -> Path:
        """An empty folder of the attempt's own, removed when it ends. A file in it may be returned as an output."""
        if self._scratch is None:
            folder = self._fresh()
            folder.mkdir()
            self._scratch = folder
        return self._scratch

    def rng(self) -> Generator:
        """A new generator of random numbers, seeded with `seed`: the same numbers in every attempt of the same task on
        the same inputs. Raises ImportError where there is no numpy."""
        from penstock.values.chance import numpy_generator

        return numpy_generator(self.seed)

    @property
    def checkpoint(self) -> Path:
        """A folder that outlives the attempt. A later attempt of the same task on the same inputs, in this run or
        another, finds in it what this one left; changed code or inputs begin with an empty one, and it is removed when
        the attempt succeeds. No other attempt has it at the same time. Raises OSError where it cannot be made."""
        if self._checkpoint is None:
            root = self._fresh().parent
            self._checkpoint = Checkpoint(root, f"{self.run_id}/{self.task_path}")
        return self._checkpoint.folder()

    def saving(self, name: str) -> AbstractContextManager[Path]:
        """A path to write a file of the checkpoint folder to: `with context().saving("model.pt") as path: ...`. When the
        block ends, the file has its name, whole and durable, in place of an earlier one; a kill or an exception before
        that leaves the earlier one. Raises ValueError for what is not the name of a file."""
        if not name or name in (".", "..") or "/" in name or name.startswith(PARTIAL):
            raise ValueError(f"the name of a file in the checkpoint folder, not {name!r:.80}")
        return replacing(self.checkpoint / name)

    def track(
        self, iterable: Iterable[Item], total: int | None = None, text: str = "", *, done: int = 0
    ) -> Iterator[Item]:
        """The items of an iterable, while the live view shows how far they are. `total` is how many there are, where `len`
        does not say; `text` what is counted; `done` how many an earlier attempt has done already. Cheap enough for a
        tight loop: an item costs a look at the clock."""
        if total is None:
            length = getattr(iterable, "__len__", None)
            total = None if length is None else length() + done
        clock, due_s = time.monotonic, 0.0
        try:
            for item in iterable:
                # Looked at for every item: one that is quick says nothing of how long the next one takes.
                if clock() >= due_s:
                    due_s = clock() + TRACK_S
                    self._say(done, total, text)
                yield item
                done += 1
        finally:
            self._say(done, total, text)

    def _say(self, done: int, total: int | None, text: str) -> None:
        self._observe(Progress(self.attempt_id, done, total, str(text)[:NAME_LENGTH_MAX], _now_ms()))

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Record a number under a name, at most 200 characters long; `step` orders the numbers of one name. Raises
        ValueError, TypeError for what is not a number or not a name."""
        _check_name(name, "a metric")
        if step is not None:
            step = int(step)
        self._observe(Observation(self.attempt_id, name, float(value), step, _now_ms()))

    def report(self, step: int, value: float) -> None:
        """Say how good the task's result is by now: the metric `objective` at a step, by which a search may end a trial
        early. Raises ValueError, TypeError for what are not numbers."""
        self.log_metric(OBJECTIVE, value, step)

    def log_figure(self, name: str, figure: Any) -> None:
        """Keep a figure of matplotlib, plotly or altair, or the image at a path, under a name; a later one replaces it.
        Raises TypeError for anything else."""
        self._log("figure", name, figure)

    def log_table(self, name: str, table: Any) -> None:
        """Keep a table of pandas, polars or pyarrow, or a list of dicts, under a name; a later one replaces it. Raises
        TypeError for anything else."""
        self._log("table", name, table)

    def _log(self, kind: str, name: str, value: Any) -> None:
        _check_name(name, f"a {kind}")
        if self._store is not None:
            self._observe(Exhibit(self.attempt_id, kind, name, self._store(kind, name, value), _now_ms()))

    def __repr__(self) -> str:
        return f"Context({self.attempt_id!r})"


_current: Context | None = None
_outside: Context | None = None


def context() -> Context:
    """The context of the attempt that runs in this process; outside of one, a context whose metrics go nowhere."""
    return _current if _current is not None else _outside_context()


def enter(entered: Context | None) -> None:
    """Make this the context of the process; None: there is no attempt."""
    global _current
    _current = entered
    scratch.provide(None if entered is None else entered._fresh)


def _outside_context() -> Context:
    global _outside
    if _outside is None:
        _outside = Context("local/call#1", pipeline="", seed=0, fresh=_outside_folder, observe=_forget)
    return _outside


def _outside_folder() -> Path:
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="penstock-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder) / "scratch"


def _forget(observed: Observed) -> None:
    """There is no attempt that it could belong to."""


def _check_name(name: object, of: str) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH_MAX:
        raise ValueError(f"{of}'s name is text of 1 to {NAME_LENGTH_MAX} characters, not {name!r:.80}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
