"""What forks of this process read and write, told to it through a file that they append to: nobody else hears what happens in
a fork (recorded reads, cache rule 12). Programs that are started anew are not heard."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from contextlib import suppress

_READ, _WRITTEN = "r", "w"


class ForkedReads:
    """One for a process, used for one attempt after the other. `folder` is one that may be emptied between attempts."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._file = ""
        self._attempts_count = 0
        self._told: set[str] = set()
        self.is_fork = False

    def begin(self) -> None:
        self._file = ""

    def forking(self) -> None:
        """A fork is about to be made."""
        if not self._file and not self.is_fork:
            self._attempts_count += 1
            self._file = f"{self._folder}{os.sep}forked-reads-{os.getpid()}-{self._attempts_count}"

    def in_fork(self, written: Collection[str]) -> None:
        """This process is a fork now; `written` was written before."""
        self.is_fork = True
        self._told = {f"{_WRITTEN}{path}" for path in written}

    def tell(self, read: Iterable[str], written: Iterable[str]) -> None:
        """In a fork: what is read and written. An append this short is never torn."""
        all_ = (*(f"{_WRITTEN}{path}" for path in written), *(f"{_READ}{path}" for path in read))
        new = [each for each in all_ if each not in self._told]
        if new:
            self._told.update(new)
            os.makedirs(self._folder, exist_ok=True, mode=0o700)
            fd = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                for each in new:
                    os.write(fd, os.fsencode(f"{each}\0"))
            finally:
                os.close(fd)

    def heard(self) -> tuple[list[str], set[str]]:
        """What forks have read and written."""
        if not self._file or self.is_fork:
            return [], set()
        lines: list[str] = []
        with suppress(FileNotFoundError):
            with open(self._file, "rb") as file:
                lines = os.fsdecode(file.read()).split("\0")
            os.unlink(self._file)
        read = [line[1:] for line in lines if line.startswith(_READ)]
        return read, {line[1:] for line in lines if line.startswith(_WRITTEN)}
