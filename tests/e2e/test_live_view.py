"""Progress as a person at a terminal sees it: the real program under a pseudo-terminal, its screen read back."""

from __future__ import annotations

import re

import pytest

# Tasks that wait for files, so that a test decides when they go on.
STORY = """
    import time
    from pathlib import Path
    from penstock import map_over, pipeline, task

    HERE = Path(__file__).parent


    def until(name):
        while not (HERE / name).exists():
            time.sleep(0.01)


    @task
    def numbers(count: int) -> list[int]:
        until("numbers-may-end")
        return list(range(count))


    @task
    def square(number: int) -> int:
        if number > 1:
            until("squares-may-end")
        return number * number


    @task
    def breaks() -> int:
        until("numbers-may-end")
        print("about to break :cat: [red]")
        raise ValueError("no rows")


    @task
    def total(squares: list[int]) -> int:
        return sum(squares)


    @pipeline
    def story(count: int = 6, broken: bool = False) -> int:
        return total(map_over(square, numbers(count)))


    @pipeline
    def broken(count: int = 6) -> int:
        breaks()
        return total(map_over(square, numbers(count)))
"""


@pytest.fixture
def story(project):
    project.write("story.py", STORY)
    project.environment["PENSTOCK_CPU"] = "2"
    return project


def test_the_tree_moves_and_goes(story, terminal) -> None:
    seen = terminal("run", "story.py:story")
    screen = seen.until(lambda text: "● numbers" in text)
    assert "○ square" in screen
    assert "○ total" in screen
    assert re.search(r"1 attempt: 1 of 2 cores", screen), screen
    story.write("numbers-may-end", "")
    screen = seen.until(lambda text: "2/6" in text and "● 2/square" in text)
    assert "✓ numbers" in screen
    assert "3 of 8" in screen
    assert re.search(r"● square .* [12] running", screen)
    story.write("squares-may-end", "")
    assert seen.ended() == 0
    assert "○" not in "\n".join(seen.lines), "the tree goes when the run has ended"
    assert any(re.fullmatch(r"story succeeded in .*: 9 succeeded", line) for line in seen.lines)
    assert "output = 55" in seen.lines
    assert not seen.screen.cursor.hidden


def test_many_items_stay_readable(story, terminal) -> None:
    story.write("numbers-may-end", "")
    seen = terminal("run", "story.py:story", "-p", "count=1000")
    screen = seen.until(lambda text: "2/1,000" in text and re.search(r"● \d+/square", text))
    assert "3 of 1,002" in screen
    assert len(seen.lines) <= 8, screen
    story.write("squares-may-end", "")
    assert seen.ended() == 0
    assert any("1,003 succeeded" in line for line in seen.lines)


TRACKED = """
    import time
    from pathlib import Path
    from penstock import context, pipeline, task


    @task
    def walks() -> int:
        here = context()
        for number in here.track(range(10), text="rows"):
            if number == 1:
                here.log_metric("loss", 0.125)
            if number < 3:
                time.sleep(0.15)
            if number == 3:
                while not (Path(__file__).parent / "may-go-on").exists():
                    time.sleep(0.01)
        return number


    @pipeline
    def tracked() -> int:
        return walks()
"""


def test_what_a_task_says_of_itself_is_shown(project, terminal) -> None:
    project.write("tracked.py", TRACKED)
    seen = terminal("run", "tracked.py")
    screen = seen.until(lambda text: re.search(r"● walks .* 3/10 .*rows, loss 0.125", text))
    assert "usually" not in screen
    project.write("may-go-on", "")
    assert seen.ended() == 0


def test_failures_stand_above_and_stay(story, terminal) -> None:
    story.write("numbers-may-end", "")
    seen = terminal("run", "story.py:broken")
    screen = seen.until(lambda text: "ValueError: no rows" in text and "● square" in text)
    assert screen.index("ValueError: no rows") < screen.index("● square")
    assert "1 failed" in screen
    story.write("squares-may-end", "")
    assert seen.ended() == 1
    text = "\n".join(seen.lines)
    assert 'raise ValueError("no rows")' in text
    assert "about to break :cat: [red]" in text, "it is the author's text, not ours to dress up"
    assert "●" not in text


def test_ctrl_c_says_what_it_does(story, terminal) -> None:
    story.write("numbers-may-end", "")
    seen = terminal("run", "story.py:story", PENSTOCK_GRACE_MS="60000")
    seen.until(lambda text: "● 2/square" in text)
    seen.type(b"\x03")
    seen.until(lambda text: "stopping: waiting for" in text)
    assert seen.ended() == 3, seen.lines
    assert any(line.startswith("story cancelled") for line in seen.lines)
    assert not seen.screen.cursor.hidden


STUBBORN = """
    import signal
    import time
    from penstock import pipeline, task


    @task
    def stays() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("here", flush=True)
        time.sleep(600)
        return 1


    @pipeline
    def stubborn() -> int:
        return stays()
"""


def test_a_second_ctrl_c_kills(project, terminal) -> None:
    project.write("stubborn.py", STUBBORN)
    seen = terminal("run", "stubborn.py", PENSTOCK_GRACE_MS="600000")
    seen.until(lambda text: "● stays" in text)
    # Only once it ignores SIGTERM does it have to be killed.
    while "here" not in project.call("logs", "latest").out:
        pass
    seen.type(b"\x03")
    seen.until(lambda text: "stopping: waiting for 1 attempt, Ctrl-C again kills" in text)
    seen.type(b"\x03")
    assert seen.ended() == 3


def test_colour_and_no_colour(story, terminal) -> None:
    story.write("numbers-may-end", "")
    seen = terminal("run", "story.py:story")
    seen.until(lambda text: "● 2/square" in text)
    coloured = re.compile(rb"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")
    assert coloured.search(seen.raw)
    story.write("squares-may-end", "")
    assert seen.ended() == 0
    (story.folder / "squares-may-end").unlink()
    without = terminal("run", "story.py:story", "--no-cache", NO_COLOR="1")
    without.until(lambda text: "● 2/square" in text)
    assert not coloured.search(without.raw)
    story.write("squares-may-end", "")
    assert without.ended() == 0


def test_quiet_says_nothing_but_what_went_wrong(story, terminal) -> None:
    story.write("numbers-may-end", "")
    story.write("squares-may-end", "")
    done = story.call("run", "story.py:story", "--quiet")
    assert (done.status, done.out, done.err) == (0, "output = 55\n", "")
    done = story.call("run", "story.py:broken", "-q")
    assert done.status == 1
    assert "ValueError: no rows" in done.err
    assert "square" not in done.err
    assert done.err.count("\n") < 15
    seen = terminal("run", "story.py:story", "--quiet")
    assert seen.ended() == 0
    assert seen.lines == ["output = 55"]


def test_a_dumb_terminal_gets_lines(story, terminal) -> None:
    story.write("numbers-may-end", "")
    story.write("squares-may-end", "")
    seen = terminal("run", "story.py:story", TERM="dumb")
    assert seen.ended() == 0
    assert b"\x1b" not in seen.raw
    assert any(re.match(r"  numbers +succeeded", line) for line in seen.lines)
