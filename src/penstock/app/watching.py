"""Waiting for the author to save: which files a run was made of, and whether they are still as they were.

What counts is the content of files, not events: a source has changed when it no longer is what the run's pin holds, so an edit
in the middle of a run is not missed, and saving a file unchanged is none. Events only say when to look; without `watchfiles`
it is looked several times a second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.app.places import open_artifacts, open_store, project_settings
from penstock.app.results import shown
from penstock.app.targets import parse_target
from penstock.base.digests import digest_of_bytes
from penstock.base.errors import PenstockError
from penstock.code import pins
from penstock.code.firstparty import source_paths
from penstock.values.reads import path_in

if TYPE_CHECKING:
    from penstock.app.results import RunResult

POLL_S = 0.3
LOOK_MS = 1_000
"""How often it is looked without an event: for what no event tells of (network file systems)."""

SETTLE_S = 0.1
"""Nothing may change for so long before it is run again: editors write in several goes, people save several files."""

SOURCES_MAX = 5_000
FOLDER_FILES_MAX = 10_000
_SKIPPED = ("__pycache__", "node_modules", "site-packages")

Look = tuple[int, int, int]
"""Inode, size and time of the last change of a file."""


class Watch:
    """The files behind the runs of one target. Raises InvalidInput for a target of no known form."""

    def __init__(self, target: str) -> None:
        parsed = parse_target(target)
        self._settings = project_settings(parsed.folder)
        self._root = parsed.root
        self._place = Path(parsed.text.rpartition(":")[0] if parsed.text.count(":") else parsed.text)
        self._began_ns = 0
        self._looks: dict[Path, Look | None] = {}
        self._declared: set[Path] = set()
        self._digests: dict[Path, tuple[Look, str]] = {}

    def begin(self) -> None:
        """A run is about to begin: what changes from now on counts."""
        self._began_ns = time.time_ns()
        self._looks = {path: look_at(path) for path in (*self._sources(), *self._declared)}

    def wait(self, result: RunResult | None) -> tuple[str, ...]:
        """Wait until something has changed that the run was made of (None: there was no run, and any source of the
        project counts): the names of the files, relative to the project where they lie in it."""
        pinned = self._pinned(result) if result is not None else {}
        self._declared = self._declared_by(result) if result is not None else set()
        waiting = _Waiting({path.parent for path in (*pinned, *self._declared, *self._sources())} | self._declared)
        before: set[Path] = set()
        try:
            while True:
                changed = self._changed(pinned, any_source=result is None)
                if changed and changed == before:
                    return tuple(sorted(self._named(path) for path in changed))
                before = changed
                if changed:
                    time.sleep(SETTLE_S)
                else:
                    waiting.wait()
        finally:
            waiting.close()

    # -- what has changed ----------------------------------------------------------------------------------------------

    def _changed(self, pinned: Mapping[Path, str], *, any_source: bool) -> set[Path]:
        changed = {path for path, digest in pinned.items() if self._digest_of(path) != digest}
        changed.update(path for path in self._files_declared() if self._differs(path) and path not in pinned)
        if any_source:
            changed.update(path for path in {*self._sources(), *self._looks} if self._differs(path))
        return changed

    def _differs(self, path: Path) -> bool:
        """Whether a file is another one than when the run began; one that was not looked at then, whether it was changed
        since."""
        now = look_at(path)
        if path in self._looks:
            return now != self._looks[path]
        return now is not None and now[2] >= self._began_ns

    def _digest_of(self, path: Path) -> str | None:
        look = look_at(path)
        if look is None:
            return None
        known = self._digests.get(path)
        if known is None or known[0] != look:
            try:
                known = self._digests[path] = (look, digest_of_bytes(path.read_bytes()))
            except OSError:
                return None
        return known[1]

    def _files_declared(self) -> Iterator[Path]:
        for path in self._declared:
            yield path
            if path.is_dir():
                yield from _files_below(path, FOLDER_FILES_MAX)

    # -- what there is to watch ----------------------------------------------------------------------------------------

    def _sources(self) -> list[Path]:
        """Every Python source in the author's folders, and the target's own file."""
        found = dict.fromkeys([self._place] if self._place.is_file() else [])
        root = str(self._place.parent) if self._place.is_file() else self._root
        for folder in source_paths(str(self._settings.project), root):
            for path in _files_below(Path(folder), SOURCES_MAX):
                if path.suffix == ".py":
                    found[path] = None
        return list(found)

    def _pinned(self, result: RunResult) -> dict[Path, str]:
        """What the run's code was, by path, as digests; nothing where the pin is gone."""
        try:
            artifacts = open_artifacts(self._settings)
            project = str(self._settings.project)
            sources, _ = pins.from_json(json.loads(artifacts.get_bytes(result.row.pin)), project=project)
            files = pins.files_of_pin(result.row.pin, artifacts)
        except PenstockError:
            return {}
        found = {Path(source.path): digest_of_bytes(source.data) for source in sources.values()}
        return {**found, **{Path(project, name): file.digest for name, file in files.items()}}

    def _declared_by(self, result: RunResult) -> set[Path]:
        """Files and folders that are inputs of the run or of its tasks, and what tasks have read."""
        with closing(open_store(self._settings)) as store:
            names = set(
                declared_in(
                    [
                        store.graph(result.row.graph_digest),
                        {name: shown(datum) for name, datum in result.row.inputs.items()},
                    ]
                )
            )
            keys = [row.key for row in store.task_runs(result.run_id) if row.key is not None]
            now = result.row.created_at
            for first in range(0, len(keys), 500):
                for found in store.look_up(keys[first : first + 500], now=now).values():
                    reads = found.entry.reads if found.entry is not None else ()
                    names.update(path for name in reads if (path := path_in(name)) is not None)
        return {Path(os.path.normpath(self._settings.project / name)) for name in names if "*" not in name}

    def _named(self, path: Path) -> str:
        project = self._settings.project
        return os.path.relpath(path, project) if path.is_relative_to(project) else str(path)


def declared_in(data: Any) -> Iterator[str]:
    """The paths that stand in JSON as declared files, folders and lists of files."""
    if isinstance(data, Mapping):
        if data.get("source") in ("file", "folder") and isinstance(data.get("path"), str):
            yield data["path"]
        files = data.get("files")
        if isinstance(files, list):
            yield from (each for each in files if isinstance(each, str))
        for held in data.values():
            yield from declared_in(held)
    elif isinstance(data, (list, tuple)):
        for held in data:
            yield from declared_in(held)


def look_at(path: Path) -> Look | None:
    """None for what is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)


def _files_below(folder: Path, files_max: int) -> Iterator[Path]:
    """Files at any depth, less what is hidden or no author's."""
    left = files_max
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(
            n for n in folders if not n.startswith(".") and n not in _SKIPPED and not _is_environment(inside, n)
        )
        for name in sorted(names):
            if left <= 0:
                return
            left -= 1
            yield Path(inside, name)


def _is_environment(inside: str, name: str) -> bool:
    return os.path.exists(os.path.join(inside, name, "pyvenv.cfg"))


class _Waiting:
    """Waits for something to happen in some folders, or a while."""

    def __init__(self, folders: set[Path]) -> None:
        self._folders = [str(folder) for folder in sorted(folders) if folder.is_dir()]
        self._events: Any = self._watched()

    def _watched(self) -> Any:
        try:
            from watchfiles import watch
        except ImportError:
            return None
        return watch(
            *self._folders,
            watch_filter=None,
            recursive=False,
            rust_timeout=LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
            debounce=50,
            step=20,
        )

    def wait(self) -> None:
        if self._events is not None:
            try:
                next(self._events, None)
            except OSError:  # too many watches: the system's limit is reached
                self._events = None
            else:
                return
        time.sleep(POLL_S)

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
