"""Limits as a person meets them: what goes beyond is ended and says how far; want of memory is tried again with more."""

from __future__ import annotations

import re

import pytest

LIMITED = """
    import time

    from penstock import Retry, context, pipeline, task

    MIB = 1 << 20


    def ballast(mib: int) -> list[bytes]:
        rows = []
        for number in range(mib):
            rows.append(b"x" * (1 * MIB + number))
            time.sleep(0.001)
        print("made", mib)
        return rows


    @task(memory="150MiB")
    def grows(mib: int) -> int:
        print("it begins to grow")
        return len(ballast(mib))


    @task(memory="150MiB", retry=Retry(1, oom_max=0))
    def endless(mib: int) -> int:
        print("it grows without end")
        return len(ballast(100 * mib))


    @task(disk="4MiB", retry=3)
    def writes(mib: int) -> int:
        for number in range(mib):
            (context().scratch / str(number)).write_bytes(bytes(range(256)) * 4096)
        return mib


    @pipeline
    def grown(mib: int = 200) -> int:
        return grows(mib)


    @pipeline
    def failing(mib: int = 200) -> int:
        return endless(mib)


    @pipeline
    def written(mib: int = 50) -> int:
        return writes(mib)
"""


@pytest.fixture
def limited(project):  # type: ignore[no-untyped-def]
    project.write("limited.py", LIMITED)
    return project


def test_want_of_memory_is_tried_again_with_more(limited) -> None:
    done = limited.call("run", "limited.py:grown")
    assert (done.status, done.out) == (0, "output = 200\n"), done.err
    told = limited.call("show", "latest", "grows").out
    first, post_mortem, *_ = told[told.index("attempt 1") :].splitlines()
    assert re.search(r"out of memory: it took 1\d\d\.\d MiB of memory, its limit is 150\.0 MiB", first)
    assert re.search(r"peak 1\d\d\.\d MiB, limit 150\.0 MiB, at 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", post_mortem)
    assert re.search(r"limited\.py:\d+ in ballast: 1\d\d\.\d MiB \(rows 1", told)
    assert "attempt 2: succeeded" in told
    attempts = limited.call("show", "latest", "grows", "--json").json["attempt_list"]
    assert [attempt["outcome"] for attempt in attempts] == ["out_of_memory", "succeeded"]


def test_an_end_for_want_of_memory_says_where_it_went(limited) -> None:
    done = limited.call("run", "limited.py:failing")
    assert done.status == 1
    for told in (done.err, limited.call("show", "latest", "endless").out):
        assert re.search(r"its limit is 150\.0 MiB", told)
        assert re.search(r"peak 1\d\d\.\d MiB, limit 150\.0 MiB, at 20", told)
        assert re.search(r"in ballast: 1\d\d\.\d MiB \(rows", told)
        assert "it grows without end" in told, "the last lines that it printed"
    why = limited.call("why", "latest", "endless").out
    assert "endless failed: out of memory: it took" in why
    assert "peak 1" in why
    assert "in ballast" in why


def test_who_writes_beyond_its_limit_fails_once_and_is_told_so(limited) -> None:
    done = limited.call("run", "limited.py:written")
    assert done.status == 1
    assert re.search(r"DiskLimitPassed: it wrote \d+\.\d MiB below its scratch folder, its limit is 4\.0 MiB", done.err)
    assert len(limited.call("show", "latest", "writes", "--json").json["attempt_list"]) == 1
    assert "disk 4.0 MiB" in limited.call("graph", "limited.py:written").out
    assert list((limited.folder / ".penstock" / "scratch").glob("[0-9]*")) == []
