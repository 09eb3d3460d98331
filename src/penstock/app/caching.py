"""What a run needs of the cache: the code digests of its components as the plan takes them, and the answers to its
controller's look-ups.

Importing this module is cheap: it is on the way of every run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing
from penstock.plan.model import CodeKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.code.model import ComponentCode
    from penstock.controller.controller import Answer
    from penstock.effects import StateStore
    from penstock.settings import Settings
    from penstock.values.store import ArtifactStore

# What reading a blob raises that another version of Penstock has written.
_OTHER_FORM = (KeyError, IndexError, TypeError, ValueError)
# In a blob of code digests: what its components share, not a component.
SHARED = "shared"


def code_blob(artifacts: ArtifactStore, code: str) -> dict[str, Any]:
    """The blob of code digests at `code`: JSON by component, and what they share. Empty where there is none (any
    more): then nothing is cached, and nothing is told of it."""
    if not code:
        return {}
    try:
        blob: dict[str, Any] = json.loads(artifacts.get_bytes(code))
    except (ArtifactMissing, ArtifactCorrupt):
        return {}
    return blob


def codes_of(artifacts: ArtifactStore, code: str) -> dict[str, CodeKey]:
    """What each component's code counts as in keys, by `module:name`."""
    return {
        component: CodeKey(
            known["digest"],
            known["environment"],
            tuple(_unresolved_text(one) for one in known["unresolved"]),
            known["version"],
        )
        for component, known in code_blob(artifacts, code).items()
        if component != SHARED
    }


def code_of(artifacts: ArtifactStore, code: str, component: str) -> ComponentCode | None:
    """The code of one component in the blob at `code`, with its sources; None where nothing is known of it."""
    from penstock.code.model import code_from_json

    try:
        return code_from_json(code_blob(artifacts, code), component)
    except _OTHER_FORM:
        return None


def all_code_of(artifacts: ArtifactStore, code: str) -> dict[str, ComponentCode]:
    """The code of every component in the blob at `code`."""
    from penstock.code.model import codes_from_json

    blob = code_blob(artifacts, code)
    try:
        return codes_from_json(blob) if blob else {}
    except _OTHER_FORM:
        return {}


def _unresolved_text(one: dict[str, Any]) -> str:
    where = f" ({one['file']}:{one['line']})" if one.get("file") else ""
    return f"{one['unit']}: {one['why']}{where}"


def answer_of(settings: Settings, store: StateStore, artifacts: ArtifactStore, *, only_look: bool = False) -> Answer:
    """What answers a controller's look-ups from the project's own store. Content of a hit counts as used just now, unless
    it is only looked at."""
    from penstock.controller.answers import Answers

    content = cast("ArtifactStore", OnlyLooked(artifacts)) if only_look else artifacts
    return Answers(store, content, digest_at_of(settings)).answer


def digest_at_of(settings: Settings) -> Callable[[str], str]:
    """What says what a recorded read is now."""
    from penstock.controller.answers import ProjectFiles
    from penstock.values.reads import digest_of_read

    return ProjectFiles(settings.project, digest_of_read).digest_at


class OnlyLooked:
    """What answers ask of an artifact store, without a trace of it."""

    def __init__(self, artifacts: ArtifactStore) -> None:
        self.has = artifacts.has
        self.keep = artifacts.has


def saved_ms(store: StateStore, source: str) -> float | None:
    """How long the attempt took that made what stands at `source` (`RUN/path`); None where it is gone."""
    run_id, _, path = source.partition("/")
    attempts = store.attempts(run_id, path)
    return attempts[-1].duration_us / 1_000 if attempts else None
