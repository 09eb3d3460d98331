"""What the stacks that a crashed process leaves come to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from penstock.launcher.outer.crashes import NAMES, before_dump, crash_of

OURS = str(Path(penstock.__file__ or "").parent / "launcher" / "outer" / "attempt.py")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "seg.py"
    path.write_text(
        "import ctypes\n\n\ndef deeper(n):\n    return ctypes.string_at(n)\n\n\ndef crash(n):\n    return deeper(n)\n"
    )
    return path


def dump(source: Path, *, threads: str = "", thread: str = "Current thread 0x00007f", after: str = "") -> str:
    return (
        f"hello\nFatal Python error: Segmentation fault\n\n{threads}{thread} (most recent call first):\n"
        f'  File "/usr/lib/python3/dist-packages/a/native.py", line 519 in string_at\n'
        f'  File "{source}", line 5 in deeper\n  File "{source}", line 9 in crash\n'
        f'  File "{OURS}", line 255 in _called\n  File "<string>", line 1 in <module>\n{after}'
    )


ELSEWHERE = 'Thread 0x00007e (most recent call first):\n  File "/a/threads.py", line 3 in waits\n\n'


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"thread": "Current thread 0x00007f [python]"},
        {"threads": ELSEWHERE},
        {"after": f"\n{ELSEWHERE}\nExtension modules: numpy._core (total: 1)\n"},
        {"after": '\nCurrent thread\'s C stack trace (most recent call first):\n  Binary file "/lib/libc.so.6",\n'},
        {
            "threads": f"Current thread 0x00007e (most recent call first):\n  <no Python frame>\n\n{ELSEWHERE}",
            "thread": "Thread 0x00007f",
        },
    ],
)
def test_frames_are_the_authors_outermost_first(source: Path, how: dict[str, str]) -> None:
    crash = crash_of(-signal.SIGSEGV, dump(source, **how), project=str(source.parent))
    assert crash is not None and not crash.final
    failure = crash.failure
    assert (failure.type, failure.message) == ("SIGSEGV", "native code ended the process (segmentation fault)")
    assert [(frame.function, frame.line, frame.own) for frame in failure.frames] == [
        ("crash", 9, True),
        ("deeper", 5, True),
        ("string_at", 519, False),
    ]
    assert failure.frames[1].file == "seg.py" and "    return ctypes.string_at(n)" in failure.frames[1].source
    assert "penstock" not in failure.traceback and f'File "{source}", line 5, in deeper' in failure.traceback


def test_of_several_dumps_the_last_counts(source: Path) -> None:
    """The first may be that of a process of the task's own, from which the task went on."""
    other = 'Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n  File "/a/b.py", line 3 in other\n\n'
    text = other + dump(source)
    crash = crash_of(-signal.SIGSEGV, text, project=str(source.parent))
    assert crash is not None and crash.failure.frames[0].function == "crash"
    assert before_dump(text) == f"{other}hello\n"
    assert before_dump("no dump\n") == "no dump\n"
    assert before_dump(dump(source).removeprefix("hello\n")) == ""


def test_a_file_that_was_changed_since_is_shown_without_its_lines(source: Path) -> None:
    os.utime(source, (1_000, 1_000))
    for started_at, has_lines in ((1_000_000, True), (999_000, False)):
        crash = crash_of(-signal.SIGSEGV, dump(source), project=str(source.parent), started_at=started_at)
        assert crash is not None
        assert [(bool(frame.source), frame.line) for frame in crash.failure.frames if frame.own] == [
            (has_lines, 9),
            (has_lines, 5),
        ]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_a_process_really_leaves(name: str, source: Path) -> None:
    source.write_text(
        f"import os, signal, threading, time\n\ndef dies():\n    os.kill(os.getpid(), signal.{name})\n\n"
        "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\ndies()\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(source)], capture_output=True, text=True, check=False
    )
    crash = crash_of(done.returncode, done.stderr, project=str(source.parent))
    assert crash is not None and crash.failure.type == name
    assert [(frame.file, frame.line) for frame in crash.failure.frames] == [("seg.py", 7), ("seg.py", 4)]


def test_other_ends_are_no_crash(source: Path) -> None:
    for code in (0, 3, 139, -signal.SIGKILL, -signal.SIGTERM):
        assert crash_of(code, dump(source), project="/") is None
    without = crash_of(-signal.SIGABRT, "terminate called\n", project="/")
    assert without is not None and without.failure.frames == () and without.failure.traceback == ""
