"""What a process may keep of what its attempts have read: a library's cache, an object of somebody else's class, an attribute of
a foreign module. Nobody sees all of it, so what one attempt reads counts for every later one in the same process, and a process
is replaced before that makes tasks run again without need (cache rule 15, docs/decisions/kept-reads.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.launcher.outer.forks import NOTHING_HEARD, Heard
from penstock.values.reads import ENVIRONMENT, EVERY_VARIABLE

NAMES_MAX, COSTLY_NAMES_MAX = 32, 256
"""A process that may keep this many files is replaced; the second where replacing it is costly."""

FORK_S, MODULE_S, COSTLY_S = 0.05, 0.003, 0.2
"""About what a new process costs, and each module that it has to import; from where on that is costly."""

WORTH = 20
"""An attempt that lasted this many times what a new process costs is followed by one."""

_EVERY = f"{ENVIRONMENT}:{EVERY_VARIABLE}"
_ONE = f"{ENVIRONMENT}:"


@dataclass(frozen=True, slots=True)
class Recorded:
    """`reads` by path relative to the project, and facts by name; `by_call` are those of the call itself, not of an import;
    `changed` are files that were not the same to the end; `unheard` is what was read without being recorded; `loaded` are
    sources of the project that Python imported from where they stand, not from the pin; `elsewhere` is what other processes of
    the attempt did; `rewritten`: the attempt has itself written something that it had read."""

    reads: dict[str, str]
    changed: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    elsewhere: Heard = NOTHING_HEARD
    by_call: Mapping[str, str] = field(default_factory=dict)
    rewritten: bool = False


NOTHING_RECORDED = Recorded({})


class KeptReads:
    """Of one process. Single variables of the environment count on and do no harm: they hold as long as the process."""

    def __init__(self) -> None:
        self._reads: dict[str, str] = {}
        self._files_count = 0
        self.only = ""
        """The component of which this process may run further attempts; empty for any."""
        self.is_full = False
        """This process is to be replaced now."""

    def charged(self, reads: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """What an attempt that has read this counts with, and the names of what was not the same for an earlier one."""
        if not self._reads:
            return reads, ()
        conflicts = tuple(name for name, found in reads.items() if self._reads.get(name, found) != found)
        self.is_full = self.is_full or bool(conflicts)
        return {**self._reads, **reads}, conflicts

    def keep(self, recorded: Recorded, *, component: str, lasted_s: float, modules_count: int) -> None:
        """An attempt has ended; this process has imported so many modules since it began."""
        for name, found in recorded.by_call.items():
            if name not in self._reads:
                self._reads[name] = found
                self._files_count += name == _EVERY or not name.startswith(_ONE)
        if recorded.rewritten or recorded.changed or recorded.unheard:
            self.is_full = True  # later attempts could not say what they depend on
        if self._files_count:
            cost_s = FORK_S + MODULE_S * modules_count
            names_max = NAMES_MAX if cost_s < COSTLY_S else COSTLY_NAMES_MAX
            is_other = self.only not in ("", component)
            self.only = component
            self.is_full = self.is_full or is_other or self._files_count >= names_max or lasted_s >= WORTH * cost_s
