"""What Penstock says to a person: text that is safe for a terminal, on streams that may be closed, full, read by nobody or gone.

Nothing here raises because of a stream. One that cannot be written takes nothing from then on, and keeps why in `trouble`."""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

# What a terminal obeys (C0 and C1), what turns text around (bidirectional overrides), and halves of characters that no
# encoding has. Ends of lines and tabs are text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")
# What a log may do: colours, erasing within its line, and going back to the line's beginning, as progress bars do.
_HARMLESS = re.compile("\x1b\\[(?:[0-9;:]*m|[0-2]?K)|\r")
_HARMLESS_OR_UNSAFE = re.compile(f"({_HARMLESS.pattern})|{_UNSAFE.pattern}")
_SEQUENCE_MAX = 32
# A pipe that can be written at all takes so many bytes at once; no character is longer than four.
PIECE = 1_024
# Somebody who reads slowly has so long; from then on, only what there is room for is written.
PATIENCE_S = 1.0


def safe(text: str) -> str:
    """Text whose characters do nothing to a terminal but show: colours are left out, anything else that a terminal would obey is
    written as in JSON (`\\u001b`), so that JSON stays what it is."""
    if not _UNSAFE.search(text):
        return text
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", _COLOUR.sub("", text.replace("\r\n", "\n")))


def terminal_text(pieces: Iterable[bytes]) -> Iterator[str]:
    """What a task printed, for a terminal: colours, the end of a line that is written again (`\\r`, erase) and tabs do what they
    do; anything else that a terminal would obey is written out. Ends with a whole line, in the terminal's own colours."""
    decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
    held, last, is_coloured = "", "\n", False
    for piece in pieces:
        text = held + decode(piece)
        begun = text.rfind("\x1b", -_SEQUENCE_MAX)  # a sequence may go on in the next piece
        cut = begun if begun >= 0 and not _HARMLESS.match(text, begun) else len(text)
        text, held = text[:cut], text[cut:]
        shown = _harmless(text)
        is_coloured = is_coloured or "\x1b" in shown
        last = shown or last
        yield shown
    shown = _harmless(held + decode(b"", final=True))
    yield shown
    last = shown or last
    yield ("\x1b[0m" if is_coloured else "") + ("" if last.endswith("\n") else "\n")


def _harmless(text: str) -> str:
    if not _UNSAFE.search(text):
        return text
    return _HARMLESS_OR_UNSAFE.sub(lambda found: found[1] or f"\\u{ord(found[0]):04x}", text)


class Outlet:
    """A stream of text for people. Also a file that other libraries can write to: what they write is written as it is.

    `waits`: whether whoever reads may take all the time in the world; otherwise text that there is no room for after
    PATIENCE_S is dropped."""

    def __init__(self, find: Callable[[], TextIO | None], *, waits: bool = True) -> None:
        """`find` answers the stream of this moment; None stands for one that was closed from the start."""
        self._find = find
        self._waits = waits
        self._patience_s = PATIENCE_S
        self.trouble: OSError | None = None

    def open(self) -> None:
        """Forget earlier trouble."""
        self.trouble = None

    def say(self, text: object = "", end: str = "\n") -> None:
        """A line. A terminal has it at once, and so has whoever follows what is said while something runs."""
        self.write(safe(str(text)) + end)
        if not self._waits or self.isatty():
            self.flush()

    def write(self, text: str) -> int:
        stream = self._find()
        if stream is None or self.trouble is not None:
            return len(text)
        with self._kept_quiet(stream):
            if self._waits:
                _write(stream, text)
            else:
                for start in range(0, len(text), PIECE):
                    if not self._has_room(stream):
                        break
                    _write(stream, text[start : start + PIECE])
                    stream.flush()
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """For what is passed on as it is, such as a log to a pipe."""
        stream = self._find()
        if stream is None or self.trouble is not None:
            return
        with self._kept_quiet(stream):
            stream.flush()
            stream.buffer.write(data)

    def flush(self) -> None:
        stream = self._find()
        if stream is not None and self.trouble is None:
            with self._kept_quiet(stream):
                stream.flush()

    def isatty(self) -> bool:
        stream = self._find()
        try:
            return stream is not None and stream.isatty()
        except ValueError:  # closed
            return False

    def fileno(self) -> int:
        stream = self._find()
        if stream is None:
            raise OSError("there is no stream")
        return stream.fileno()

    @property
    def encoding(self) -> str:
        return getattr(self._find(), "encoding", None) or "utf-8"

    @contextlib.contextmanager
    def _kept_quiet(self, stream: TextIO) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.trouble = error
            _turn_away(stream)
        except ValueError as error:  # closed by somebody
            self.trouble = OSError(*error.args)

    def _has_room(self, stream: TextIO) -> bool:
        try:
            number = stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            return True
        asked = select.poll()
        asked.register(number, select.POLLOUT)
        if asked.poll(self._patience_s * 1_000):
            self._patience_s = PATIENCE_S
            return True
        self._patience_s = 0
        return False


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _turn_away(stream: TextIO) -> None:
    """What the stream still holds goes nowhere: else Python complains when it ends, and answers 120."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


OUT = Outlet(lambda: sys.stdout)
ERR = Outlet(lambda: sys.stderr)
out, err = OUT.say, ERR.say

Say = Callable[[str], None]
"""Takes a line for a person who waits."""


def in_silence(text: str) -> None:
    """A `Say` for when nobody waits."""


def progress_outlet() -> Outlet:
    """Standard error, for what is said while something runs that must not wait for a reader."""
    return Outlet(lambda: sys.stderr, waits=False)


def open_missing_streams() -> None:
    """Give the numbers of streams that this process was started without to the null device: otherwise the next file that is
    opened, a database for instance, would be what children write to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
