"""A task that crashes in native code, as a person sees it."""

from __future__ import annotations

from typing import Any

CRASHES = """
    import ctypes
    from penstock import Retry, pipeline, task


    def deeper(address: int) -> bytes:
        return ctypes.string_at(address)


    @task(retry=Retry(2))
    def crash(address: int) -> int:
        print("about to read")
        return len(deeper(address))


    @pipeline
    def reads(address: int = 0) -> int:
        return crash(address)
"""


def test_it_is_tried_as_often_as_a_failure_and_shows_the_authors_lines_first(project: Any) -> None:
    project.write("crashes.py", CRASHES)
    done = project.call("run", "crashes.py")
    assert done.status == 1
    assert done.err.count("SIGSEGV: native code ended the process (segmentation fault)") == 2, "once for each attempt"
    _, _, told = done.err.partition("(attempt 2)\n")
    lines = [line.strip() for line in told.splitlines()]
    assert lines[0] == "crashes.py:12 in crash"
    assert "> 12 │     return len(deeper(address))" in lines
    assert lines.index("crashes.py:6 in deeper") < lines.index("the last lines that it printed:")
    assert lines[lines.index("the last lines that it printed:") + 1] == "about to read"
    assert "launcher" not in done.err, "no frames of ours"
    assert "attempt.py" in project.call("logs", "latest").out, "the log has all that there is"

    shown = project.call("show", "latest", "crash")
    assert "crashes.py:6 in deeper" in shown.out and "launcher" not in shown.out
    again = project.call("repro", "latest", "crash")
    assert again.status == 0, again.err
    assert "crashes.py:6 in deeper" in again.out + again.err
