"""Environments as key parts: what a component's own environment holds takes the place of what this interpreter has (cache
rule 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.base.digests import digest_of
from penstock.code.model import ISOLATED, ComponentCode, Unresolved
from penstock.graph.model import Work
from penstock.graph.policies import environment_to_json
from penstock.launcher.outer.environments import EnvironmentFailed, Wanted, built, lock_of, wanted_of

_ITS_OWN = ("dist:", "module:")


@dataclass(frozen=True, slots=True)
class Environments:
    """Where environments are, and whether one that is not there may be built now. `held` are files as the pin has them."""

    root: Path
    project: Path
    build: bool
    held: Mapping[str, bytes]

    def applied(
        self, codes: Mapping[str, ComponentCode], works: Mapping[str, Work]
    ) -> tuple[dict[str, ComponentCode], list[str]]:
        """The codes with the parts of environments, and which of these are not built yet, as text. What has no lock cannot
        be cached."""
        answer = dict(codes)
        locks: dict[str, Mapping[str, str] | str] = {}
        unbuilt: dict[str, None] = {}
        for name, work in works.items():
            if work.policy.environment is None or name not in answer:
                continue
            try:
                asked = environment_to_json(work.policy.environment)
                wanted = wanted_of(asked, project=self.project, held=self.held)
            except EnvironmentFailed as error:
                answer[name] = _with(answer[name], {ISOLATED: "unknown"}, error.message)
                continue
            if wanted.name not in locks:
                locks[wanted.name] = self._lock(wanted)
            lock = locks[wanted.name]
            if isinstance(lock, str):
                unbuilt[str(wanted)] = None
                answer[name] = _with(answer[name], {ISOLATED: wanted.name}, lock)
            else:
                answer[name] = _with(answer[name], {ISOLATED: wanted.name, **lock})
        return answer, list(unbuilt)

    def _lock(self, wanted: Wanted) -> Mapping[str, str] | str:
        """What an environment holds; or why nobody knows."""
        lock = lock_of(wanted, self.root)
        if lock is not None:
            return lock
        if not self.build:
            return "its environment has not been built yet"
        try:
            return built(wanted, self.root, project=self.project).lock
        except EnvironmentFailed as error:
            return error.message.partition("\n")[0]


def _with(code: ComponentCode, parts: Mapping[str, str], why: str = "") -> ComponentCode:
    kept = {name: text for name, text in code.parts.items() if not name.startswith(_ITS_OWN) and name != "python"}
    together = dict(sorted({**kept, **parts}.items()))
    unresolved = (Unresolved(next(iter(code.units), ""), why, "", 0),) if why else ()
    return replace(code, parts=together, environment=digest_of(together), unresolved=(*code.unresolved, *unresolved))
