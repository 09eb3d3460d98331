"""Regular expressions in RE2's syntax, matched in time linear in the text, as CEL asks for: a condition that comes from
a user must not hang the process that decides. Python's own `re` backtracks and accepts what RE2 refuses (look-around,
references). Syntax: https://github.com/google/re2/wiki/Syntax. Left out: `\\C` and Unicode scripts (`\\p{Greek}`);
categories exist."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from penstock.base.errors import ExpressionError

PATTERN_MAX = 1_000
"""Characters in a pattern."""

PROGRAM_MAX = 5_000
"""Instructions that a pattern may become; `{n,m}` multiplies them."""

REPEAT_MAX = 1_000
_NESTING_MAX = 50
_LAST = 0x10FFFF
_Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Characters:
    """One character in (or, negated, outside) the ranges or Unicode categories."""

    ranges: _Ranges
    negated: bool = False
    fold: bool = False
    parts: tuple[_Characters, ...] = ()
    category: str = ""

    def holds(self, character: str) -> bool:
        return self._within(character) != self.negated

    def _within(self, character: str) -> bool:
        for variant in _variants(character) if self.fold else (character,):
            if self.category and unicodedata.category(variant).startswith(self.category):
                return True
            code = ord(variant)
            if any(low <= code <= high for low, high in self.ranges):
                return True
        return any(part.holds(character) for part in self.parts)


@lru_cache(maxsize=4096)
def _variants(character: str) -> tuple[str, ...]:
    """The character in its other cases, itself included."""
    found = {character}
    for _ in range(2):
        found |= {case for c in found for case in (c.lower(), c.upper(), c.casefold()) if len(case) == 1}
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class _Assertion:
    kind: str


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    options: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    node: _Node
    low: int
    high: int | None


_Node = _Characters | _Assertion | _Sequence | _Choice | _Repeat

_DIGIT = _Characters(((48, 57),))
_WORD = _Characters(((48, 57), (65, 90), (95, 95), (97, 122)))
_SPACE = _Characters(((9, 10), (12, 13), (32, 32)))
_ANY = _Characters(((0, _LAST),))
_NOT_NEWLINE = _Characters(((10, 10),), negated=True)
_SHORT = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_ESCAPES = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_POSIX: dict[str, _Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": ((9, 9), (32, 32)),
    "cntrl": ((0, 31), (127, 127)),
    "digit": ((48, 57),),
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_POSIX_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_CATEGORIES = frozenset(
    {
        *("C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No"),
        *("P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs"),
    }
)
_CODE = re.compile(r"x(?:\{([0-9a-fA-F]{1,8})\}|([0-9a-fA-F]{2}))|(0[0-7]{0,2}|[1-7][0-7]{1,2})")
_CATEGORY = re.compile(r"[pP](?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))")
_COUNT = re.compile(r"\{([0-9]{1,5})(,([0-9]{0,5}))?\}")
_GROUP = re.compile(r"\?P?<(\w+)>|\?([imsU]*)(?:-([imsU]+))?([:)])")
_REFUSED = {"?=": "look-ahead", "?!": "look-ahead", "?<=": "look-behind", "?<!": "look-behind", "?>": "atomic groups"}


def search(pattern: str, text: str, charge: Callable[[int], None]) -> bool:
    """Whether `pattern` matches somewhere in `text`. `charge` is told the work before it is done and may raise.
    Raises ExpressionError for a pattern that is no RE2 pattern."""
    program = _program(pattern)
    waiting: list[int] = []
    for at in range(len(text) + 1):
        charge(1 + len(waiting))
        waiting.append(0)
        reached = _reached(program, waiting, text, at)
        if reached is None:
            return True
        if at < len(text):
            waiting = [pc + 1 for pc, characters in reached if characters.holds(text[at])]
    return False


# A program is a list of instructions: a character test, an assertion, or the places to go on at (none: matched).
_Instruction = _Characters | _Assertion | tuple[int, ...]


def _reached(
    program: list[_Instruction], starts: list[int], text: str, at: int
) -> list[tuple[int, _Characters]] | None:
    """The character tests reached from `starts` without taking a character; None when a match is reached."""
    found: list[tuple[int, _Characters]] = []
    seen: set[int] = set()
    waiting = starts[::-1]
    while waiting:
        pc = waiting.pop()
        if pc in seen:
            continue
        seen.add(pc)
        instruction = program[pc]
        if isinstance(instruction, _Characters):
            found.append((pc, instruction))
        elif isinstance(instruction, _Assertion):
            if _holds(instruction.kind, text, at):
                waiting.append(pc + 1)
        elif instruction:
            waiting.extend(reversed(instruction))
        else:
            return None
    return found


def _holds(kind: str, text: str, at: int) -> bool:
    match kind:
        case "start":
            return at == 0
        case "end":
            return at == len(text)
        case "line start":
            return at == 0 or text[at - 1] == "\n"
        case "line end":
            return at == len(text) or text[at] == "\n"
        case _:
            before = at > 0 and _WORD.holds(text[at - 1])
            after = at < len(text) and _WORD.holds(text[at])
            return (before != after) == (kind == "word edge")


@lru_cache(maxsize=128)
def _program(pattern: str) -> list[_Instruction]:
    if len(pattern) > PATTERN_MAX:
        raise ExpressionError(f"a pattern of {len(pattern)} characters; at most {PATTERN_MAX} are allowed")
    parser = _Parser(pattern)
    node = parser.choice(frozenset(), 0)
    if parser.at < len(pattern):
        raise parser.wrong("`)` closes nothing")
    program: list[_Instruction] = []
    _emit(node, program)
    program.append(())
    return program


def _emit(node: _Node, program: list[_Instruction]) -> None:
    if len(program) > PROGRAM_MAX:
        raise ExpressionError("the pattern's repetitions multiply to more than can be matched in reasonable time")
    match node:
        case _Characters() | _Assertion():
            program.append(node)
        case _Sequence(parts):
            for part in parts:
                _emit(part, program)
        case _Choice(options):
            _emit_choice(options, program)
        case _Repeat(inner, low, high):
            for _ in range(low):
                _emit(inner, program)
            if high is None:
                start = len(program)
                program.append(())
                _emit(inner, program)
                program.append((start,))
                program[start] = (start + 1, len(program))
            else:
                exits = []
                for _ in range(high - low):
                    exits.append(len(program))
                    program.append(())
                    _emit(inner, program)
                for place in exits:
                    program[place] = (place + 1, len(program))


def _emit_choice(options: tuple[_Node, ...], program: list[_Instruction]) -> None:
    fork = len(program)
    program.append(())
    starts, ends = [], []
    for option in options:
        starts.append(len(program))
        _emit(option, program)
        ends.append(len(program))
        program.append(())
    program[fork] = tuple(starts)
    for end in ends:
        program[end] = (len(program),)


class _Parser:
    __slots__ = ("_pattern", "at")

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.at = 0

    def wrong(self, why: str) -> ExpressionError:
        return ExpressionError(f"the pattern {self._pattern!r} is wrong at its character {self.at + 1}: {why}")

    def _peek(self, text: str) -> bool:
        return self._pattern.startswith(text, self.at)

    def _take(self, text: str) -> bool:
        found = self._peek(text)
        self.at += len(text) * found
        return found

    def choice(self, flags: frozenset[str], nesting: int) -> _Node:
        """Alternatives up to the closing bracket or the end; flags set inside hold up to there."""
        if nesting > _NESTING_MAX:
            raise self.wrong(f"more than {_NESTING_MAX} brackets inside one another")
        options: list[_Node] = []
        parts: list[_Node] = []
        while self.at < len(self._pattern) and not self._peek(")"):
            if self._take("|"):
                options.append(_Sequence(tuple(parts)))
                parts = []
            elif self._take("("):
                inner = self._group(flags, nesting)
                if isinstance(inner, frozenset):
                    flags = inner
                    if self.at < len(self._pattern) and self._pattern[self.at] in "*+?":
                        raise self.wrong("nothing to repeat")
                else:
                    parts.append(self._repeated(inner))
            elif self._take("\\Q"):
                end = self._pattern.find("\\E", self.at)
                literal = self._pattern[self.at : end if end >= 0 else None]
                self.at += len(literal) + 2 * (end >= 0)
                parts.extend(self._one(c, flags) for c in literal)
                if parts and literal:
                    parts.append(self._repeated(parts.pop()))
            else:
                parts.append(self._repeated(self._atom(flags)))
        options.append(_Sequence(tuple(parts)))
        return options[0] if len(options) == 1 else _Choice(tuple(options))

    def _group(self, flags: frozenset[str], nesting: int) -> _Node | frozenset[str]:
        """What follows `(`: a group, or flags for the rest of the enclosing one."""
        if self._peek("?"):
            for mark, name in _REFUSED.items():
                if self._peek(mark):
                    raise self.wrong(f"{name} is not part of RE2")
            match = _GROUP.match(self._pattern, self.at)
            if match is None:
                raise self.wrong("unknown kind of group")
            self.at = match.end()
            flags = (flags | frozenset(match[2] or "")) - frozenset(match[3] or "")
            if match[4] == ")":
                return flags
        inner = self.choice(flags, nesting + 1)
        if not self._take(")"):
            raise self.wrong("a `(` is not closed")
        return inner

    def _repeated(self, node: _Node) -> _Node:
        """`node` with the repetition that follows it, if one does."""
        bounds = self._bounds()
        if bounds is None:
            return node
        self._take("?")  # prefers fewer: the same for a yes or no
        if self._bounds() is not None:
            raise self.wrong("a repetition of a repetition")
        return _Repeat(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for mark, simple in {"*": (0, None), "+": (1, None), "?": (0, 1)}.items():
            if self._take(mark):
                return simple
        match = _COUNT.match(self._pattern, self.at)
        if match is None:
            return None
        low = int(match[1])
        high = low if match[2] is None else (int(match[3]) if match[3] else None)
        if max(low, high or 0) > REPEAT_MAX or (high is not None and high < low):
            raise self.wrong(f"repetitions go up to {REPEAT_MAX}, the smaller number first")
        self.at = match.end()
        return low, high

    def _one(self, character: str, flags: frozenset[str]) -> _Characters:
        fold = "i" in flags
        codes = [ord(c) for c in _variants(character)] if fold else [ord(character)]
        return _Characters(tuple((code, code) for code in codes), fold=fold)

    def _atom(self, flags: frozenset[str]) -> _Node:
        character = self._pattern[self.at]
        if character == "\\":
            return self._escape(flags)
        if character == "[":
            return self._class(flags)
        if character in "*+?" or _COUNT.match(self._pattern, self.at):
            raise self.wrong("nothing to repeat")
        self.at += 1
        if character == ".":
            return _ANY if "s" in flags else _NOT_NEWLINE
        if character == "^":
            return _Assertion("line start" if "m" in flags else "start")
        if character == "$":
            return _Assertion("line end" if "m" in flags else "end")
        return self._one(character, flags)

    def _escape(self, flags: frozenset[str]) -> _Node:
        letter = self._pattern[self.at + 1 : self.at + 2]
        assertion = {"A": "start", "z": "end", "b": "word edge", "B": "no word edge"}.get(letter)
        if assertion:
            self.at += 2
            return _Assertion(assertion)
        found = self._escaped(flags)
        return found if isinstance(found, _Characters) else self._one(found, flags)

    def _escaped(self, flags: frozenset[str]) -> _Characters | str:
        """The class or the character that an escape sequence, valid inside `[...]` too, stands for."""
        self.at += 1
        letter = self._pattern[self.at : self.at + 1]
        if match := _CATEGORY.match(self._pattern, self.at):
            return self._category(match, flags)
        if match := _CODE.match(self._pattern, self.at):
            code = int(match[3], 8) if match[3] else int(match[1] or match[2], 16)
            if code > _LAST:
                raise self.wrong("no such character in Unicode")
            self.at = match.end()
            return chr(code)
        self.at += 1
        if short := _SHORT.get(letter.lower()):
            return short if letter.islower() else _Characters(short.ranges, negated=True)
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter and letter.isascii() and not letter.isalnum():
            return letter
        self.at -= 2
        reason = "references to groups are not part of RE2" if letter.isdigit() else "unknown escape sequence"
        raise self.wrong(reason)

    def _category(self, match: re.Match[str], flags: frozenset[str]) -> _Characters:
        name = match[2] or match[3]
        if name != "Any" and name not in _CATEGORIES:
            raise self.wrong(f"Unicode class {name} is not supported; general categories (L, Lu, N, ...) are")
        self.at = match.end()
        negated = match[0].startswith("P") != bool(match[1])
        if name == "Any":
            return _Characters(((0, _LAST),), negated=negated)
        return _Characters((), negated=negated, fold="i" in flags, category=name)

    def _class(self, flags: frozenset[str]) -> _Characters:
        self.at += 1
        negated = self._take("^")
        ranges: list[tuple[int, int]] = []
        parts: list[_Characters] = []
        first = True
        while first or not self._peek("]"):
            if self.at >= len(self._pattern):
                raise self.wrong("a `[` is not closed")
            first = False
            if match := _POSIX_CLASS.match(self._pattern, self.at):
                if match[2] not in _POSIX:
                    raise self.wrong(f"there is no class {match[0]}")
                parts.append(_Characters(_POSIX[match[2]], negated=bool(match[1]), fold="i" in flags))
                self.at = match.end()
                continue
            low = self._class_character(flags)
            if isinstance(low, _Characters):
                parts.append(low)
                continue
            high = low
            if self._peek("-") and self._pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                end = self._class_character(flags)
                if isinstance(end, _Characters) or end < low:
                    raise self.wrong("a range goes from a character to a later one")
                high = end
            ranges.append((ord(low), ord(high)))
        self.at += 1
        return _Characters(_folded(ranges) if "i" in flags else tuple(ranges), negated, "i" in flags, tuple(parts))

    def _class_character(self, flags: frozenset[str]) -> _Characters | str:
        if self._peek("\\"):
            return self._escaped(flags)
        character = self._pattern[self.at : self.at + 1]
        self.at += 1
        return character


def _folded(ranges: Iterable[tuple[int, int]]) -> _Ranges:
    """Single characters in all their cases; ranges as they are (the text's character is tried in all its cases)."""
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        cases = [ord(c) for c in _variants(chr(low))] if low == high else []
        found.extend([(code, code) for code in cases] or [(low, high)])
    return tuple(found)
