"""What reaches a terminal, of text that could do something to it."""

from __future__ import annotations

import io
import json
import os

import pytest

from penstock.app.outlets import Outlet, safe, terminal_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é, 日本, 🙂\n\tand tabs", "plain, é, 日本, 🙂\n\tand tabs"),
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x1b[2J\x1b[31mred\x1b[0m", "\\u001b[2Jred"),
        ("a\rb", "a\\u000db"),
        ("a\r\nb", "a\nb"),
        ("\x9b2J \x7f", "\\u009b2J \\u007f"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\ud83d", "\\ud83d"),
    ],
)
def test_text_is_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_json_stays_what_it_is() -> None:
    value = {"a": "\x9b2J\u202e\x1b[31m\ud83d"}
    assert json.loads(safe(json.dumps(value, ensure_ascii=False))) == value


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"one\ntwo", "one\ntwo\n"),
        (b"", ""),
        (b" 10%\r 20%\x1b[K\n", " 10%\r 20%\x1b[K\n\x1b[0m"),
        (b"\x1b[1;31mred", "\x1b[1;31mred\x1b[0m\n"),
        (b"\x1b]52;c;aGk=\x07\x1b[2A\x08", "\\u001b]52;c;aGk=\\u0007\\u001b[2A\\u0008\n"),
        ("\x9b2J é".encode(), "\\u009b2J é\n"),
        (b"\xff\n", "\\xff\n"),
    ],
)
def test_a_log_keeps_its_colours_wherever_it_is_cut(printed: bytes, shown: str) -> None:
    whole = "".join(terminal_text(iter([printed] if printed else [])))
    assert whole == shown
    for cut in range(1, len(printed)):
        assert "".join(terminal_text(iter([printed[:cut], printed[cut:]]))) == shown


def test_what_a_stream_cannot_encode_is_written_out() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    outlet = Outlet(lambda: stream)
    outlet.say("é →")
    outlet.flush()
    assert stream.buffer.getvalue() == b"\\xe9 \\u2192\n"
    assert outlet.trouble is None


def test_a_stream_that_breaks_is_left_alone_and_python_ends_in_peace() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    stream = os.fdopen(theirs, "w")
    outlet = Outlet(lambda: stream)
    outlet.say("nobody hears this")
    outlet.flush()
    assert isinstance(outlet.trouble, BrokenPipeError)
    outlet.say("nor this")
    stream.close()  # flushes what it still holds, as Python does when it ends
    outlet.open()
    outlet.say("nor this")
    assert isinstance(outlet.trouble, OSError)


def test_one_that_was_closed_from_the_start_takes_everything() -> None:
    outlet = Outlet(lambda: None)
    outlet.say("x")
    outlet.write_bytes(b"x")
    assert (outlet.isatty(), outlet.encoding, outlet.trouble) == (False, "utf-8", None)
