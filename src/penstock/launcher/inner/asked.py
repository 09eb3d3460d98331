"""What an attempt asked of the environment, and of files of the project without opening them: facts by name, such as
`size:data/a.csv` and `env:NAME` (recorded reads, cache rule 12).

What a module of the author's asks while it is imported counts for every attempt whose closure holds it; what the packages of
others ask of the environment while they are imported counts for all. They ask for dozens of variables, of which hardly any is
ever set: those are one fact."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from types import FrameType
from typing import Any, Protocol

from penstock.launcher.inner import listening
from penstock.values.reads import (
    ENVIRONMENT,
    EVERY_VARIABLE,
    KIND,
    LINK,
    MISSING,
    MTIME,
    SIZE,
    UNSET,
    aspect_now,
    is_counted,
    unset_fact,
    variable_now,
)

Facts = dict[tuple[str, str], str]
"""What was answered, by aspect (`env` for a variable) and absolute path (or name)."""

FACTS_MAX = 10_000
_EVERY = (ENVIRONMENT, EVERY_VARIABLE)


class Places(Protocol):
    """What is known of paths, all of them absolute."""

    def is_foreign(self, path: str) -> bool:
        """Whether it never counts."""

    def is_made(self, path: str) -> bool:
        """Whether the attempt has written it, or made a folder that it is in."""

    def has_made(self, path: str) -> bool:
        """Whether the attempt has made this very file, this folder if it ends with a slash, or this link if with two."""

    def relative(self, path: str) -> str | None:
        """The path in the project; None outside of it."""

    def importing(self, frame: FrameType) -> str | None:
        """The author's module whose import has come to `frame`, "" another's, None where nothing is being imported."""


class Asked:
    """Of one attempt after the other. `prefixes` are the project's folder by each of its names, with a slash."""

    def __init__(self, prefixes: tuple[str, ...], places: Places) -> None:
        self._prefixes = prefixes
        self._places = places
        self._facts: Facts = {}
        self._known: set[tuple[str, str]] = set()
        self._import_facts: dict[str, Facts] = {}
        self._unset: dict[str, None] = {}
        self._variables = listening.variables_at_start()
        self._in_attempt = False
        self.complaints: list[str] = []
        self.is_rewritten = False
        """The attempt has itself made something that it had asked about."""
        self.told: Callable[[], None] | None = None
        listening.to = self  # modules may be imported before the first attempt

    @property
    def is_empty(self) -> bool:
        return not (self._facts or self._import_facts or self._unset or self.complaints)

    def begin(self) -> None:
        if self._known:
            self._facts, self._known = {}, set()
        if self.complaints:
            self.complaints = []
        self._in_attempt, self.is_rewritten = True, False
        listening.to = self

    def abandon(self) -> None:
        """The attempt has ended; what is imported from here on is heard all the same."""
        self._in_attempt = False

    def facts(self) -> Facts:
        """All that was asked in this process so far."""
        found = {(ENVIRONMENT, name): UNSET for name in self._unset}
        for facts in (self._facts, *self._import_facts.values()):
            found.update(facts)
        return found

    def in_fork(self, told: Callable[[], None]) -> None:
        """Report what is asked from here on to another process: `told` is called when there is something new."""
        self._facts, self._known, self._import_facts, self._unset = {}, set(), {}, {}
        self.told = told

    def add(self, facts: Mapping[tuple[str, str], str]) -> None:
        """What another process of this attempt asked."""
        for name, answer in facts.items():
            if name[0] == ENVIRONMENT and answer == UNSET:
                self._unset[name[1]] = None
            elif name[0] == ENVIRONMENT or not self._places.is_made(name[1]):
                self._facts.setdefault(name, answer)

    def end(self, modules: Collection[str] | None, reads: Collection[str]) -> tuple[dict[str, str], set[str]]:
        """What counts, by name: of the attempt, and of the modules of its closure (None: all); and the names of what was asked
        by the attempt itself. `reads` are the absolute paths of files that were read and folders that were listed: these say
        more."""
        self.abandon()
        found = dict(self._facts)
        for module, facts in self._import_facts.items():
            if modules is None or not module or module in modules:
                found.update(facts)
        named = unset_fact(self._unset) if self._unset else {}
        by_call: set[str] = set()
        for (aspect, name), answer in found.items():
            path: str | None = name
            if aspect != ENVIRONMENT:
                path = None if self._is_implied(aspect, name, answer, reads) else self._places.relative(name)
            if path is not None:
                fact = f"{_plain(aspect)}:{path}"
                named[fact] = answer
                if (aspect, name) in self._facts:
                    by_call.add(fact)
                    self.is_rewritten = self.is_rewritten or self._places.has_made(name)
        return named, by_call

    def _is_implied(self, aspect: str, path: str, answer: str, reads: Collection[str]) -> bool:
        """Whether what was read says it already: the content of a file its size, the names in a folder what there is in it.
        That a folder was not there says nothing once the attempt has made it."""
        if aspect == LINK:
            return False
        if answer == MISSING:
            return f"{path}{os.sep}" in reads or self._places.has_made(f"{path}{os.sep}")
        if path in reads:
            return aspect in (KIND, SIZE, listening.WEAK_MTIME)
        if f"{path}{os.sep}" in reads:
            return aspect in (KIND, SIZE)
        return aspect == KIND and f"{os.path.dirname(path)}{os.sep}" in reads

    # -- hearing -------------------------------------------------------------------------------------------------------

    def variable(self, name: str, frame: FrameType) -> None:
        key = (ENVIRONMENT, name)
        if key in self._known or _EVERY in self._known:
            return
        if name == EVERY_VARIABLE:
            self._known.add(_EVERY)
        if name == EVERY_VARIABLE or is_counted(name):
            self._add(key, frame, lambda: variable_now(name, self._variables))
        else:
            self._known.add(key)

    def looked(self, path: str, aspects: tuple[str, ...], frame: FrameType) -> None:
        path = absolute(path).rstrip(os.sep)
        if (
            not path.startswith(self._prefixes)
            or "\0" in path
            or all((aspect, path) in self._known for aspect in aspects)
        ):
            return
        places = self._places
        if places.is_foreign(path) or places.is_made(path) or places.has_made(f"{path}{os.sep}"):
            return
        if LINK in aspects and places.has_made(made_link(path)):
            aspects = tuple(aspect for aspect in aspects if aspect != LINK)
        for aspect in aspects:
            self._add((aspect, path), frame, partial(aspect_now, _plain(aspect), path, listening.stat_of))

    def unheard(self, what: str) -> None:
        if self._in_attempt and what not in self.complaints:
            self.complaints.append(what)

    def _add(self, key: tuple[str, str], frame: FrameType, answer: Callable[[], str]) -> None:
        if len(self._facts) >= FACTS_MAX:
            self.unheard(f"more than {FACTS_MAX:,} files that are asked about (facts_max)")
            return
        module = self._places.importing(frame)
        if module is None:
            if self._in_attempt:
                self._known.add(key)
                self._facts.setdefault(key, answer())
        elif module:
            self._import_facts.setdefault(module, {}).setdefault(key, answer())
        elif key[0] == ENVIRONMENT and (now := answer()) == UNSET:
            self._unset[key[1]] = None
        elif key[0] == ENVIRONMENT:
            self._import_facts.setdefault(module, {}).setdefault(key, now)
        if self.told is not None:
            self.told()


def made_link(path: str) -> str:
    """The name of a link that an attempt has made: no file has such a name."""
    return f"{path}{os.sep}{os.sep}"


def _plain(aspect: str) -> str:
    return MTIME if aspect == listening.WEAK_MTIME else aspect


def absolute(given: Any) -> str:
    path = given if type(given) is str else os.fsdecode(given)
    if path[:1] != os.sep:
        path = os.path.join(os.getcwd(), path)
    return os.path.normpath(path) if "//" in path or "/." in path else path
