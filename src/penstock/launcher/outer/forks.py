"""What other processes of an attempt read and write, told through a file that they append to: nobody else hears what happens in
a fork of this process, or in one that is started anew (recorded reads, cache rule 12)."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

_READ, _WRITTEN, _LOADED, _NESTED, _OUTERMOST, _RAN, _FACT, _COMPLAINT = "r", "w", "l", "n", "o", "g", "f", "c"
_KINDS = (_READ, _WRITTEN, _LOADED, _NESTED, _OUTERMOST, _RAN, _FACT, _COMPLAINT)
_BETWEEN = "\1"


@dataclass(frozen=True, slots=True)
class Heard:
    """`loaded` are sources of the project that were imported there, `nested` those that only the import of others imported; `ran`
    are functions that were called there, as (path, qualname, first line); `facts` as `inner.asked` has them."""

    read: tuple[str, ...] = ()
    written: frozenset[str] = frozenset()
    loaded: tuple[str, ...] = ()
    nested: frozenset[str] = frozenset()
    ran: tuple[tuple[str, str, int], ...] = ()
    facts: Mapping[tuple[str, str], str] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()


NOTHING_HEARD = Heard()


class ForkedReads:
    """One for a process, used for one attempt after the other. `folder` is one that may be emptied between attempts."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.file = ""
        self._attempts_count = 0
        self._told: set[str] = set()
        self.is_fork = False

    def begin(self) -> None:
        self.file = ""

    def forking(self) -> None:
        """Another process is about to be made."""
        if not self.file and not self.is_fork:
            self._attempts_count += 1
            self.file = f"{self._folder}{os.sep}forked-reads-{os.getpid()}-{self._attempts_count}"

    def in_fork(self, written: Collection[str]) -> None:
        """This process is a fork now; `written` was written before."""
        self.is_fork = True
        self._told = {f"{_WRITTEN}{path}" for path in written}

    def tell(
        self,
        read: Iterable[str],
        written: Iterable[str],
        loaded: Iterable[str] = (),
        facts: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """In another process: what is read and written."""
        self._append(
            (
                *(f"{_WRITTEN}{path}" for path in written),
                *(f"{_READ}{path}" for path in read),
                *(f"{_LOADED}{path}" for path in loaded),
                *(f"{_FACT}{_BETWEEN.join((*name, answer))}" for name, answer in (facts or {}).items()),
            )
        )

    def tell_imported(self, path: str, *, nested: bool) -> None:
        """In another process: a source was imported, by another one's import or not."""
        self._append((f"{_NESTED if nested else _OUTERMOST}{path}",))

    def tell_ran(self, functions: Iterable[tuple[str, str, int]]) -> None:
        """In another process: functions that were called."""
        self._append(f"{_RAN}{_BETWEEN.join((path, name, str(line)))}" for path, name, line in functions)

    def complain(self, text: str) -> None:
        self._append((f"{_COMPLAINT}{text}",))

    def _append(self, lines: Iterable[str]) -> None:
        """An append this short is never torn."""
        new = [each for each in lines if each not in self._told]
        if new:
            self._told.update(new)
            os.makedirs(self._folder, exist_ok=True, mode=0o700)
            fd = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                for each in new:
                    os.write(fd, os.fsencode(f"{each}\0"))
            finally:
                os.close(fd)

    def heard(self) -> Heard:
        """What other processes have read and written."""
        if not self.file or self.is_fork:
            return NOTHING_HEARD
        lines: list[str] = []
        with suppress(FileNotFoundError):
            with open(self.file, "rb") as file:
                lines = os.fsdecode(file.read()).split("\0")
            os.unlink(self.file)
        told: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        for line in lines:
            if line:
                told[line[0]].append(line[1:])
        facts = {(each[0], each[1]): each[2] for line in told[_FACT] if len(each := line.split(_BETWEEN)) == 3}
        ran = tuple((each[0], each[1], int(each[2])) for line in told[_RAN] if len(each := line.split(_BETWEEN)) == 3)
        return Heard(
            tuple(told[_READ]),
            frozenset(told[_WRITTEN]),
            tuple(dict.fromkeys(told[_LOADED])),
            frozenset(told[_NESTED]).difference(told[_OUTERMOST]),
            tuple(dict.fromkeys(ran)),
            facts,
            tuple(told[_COMPLAINT]),
        )
