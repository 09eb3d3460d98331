"""What an attempt reads may be kept where nobody sees it: a cache of a library's, an object of somebody else's class, an
attribute of a foreign module. So it counts for later attempts in the same process, and the process is replaced soon (cache
rule 15)."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.launcher.outer.kept import COSTLY_NAMES_MAX, NAMES_MAX, KeptReads, Recorded
from penstock.testing.pythons import Project, call, pythons

MAIN = """
    import linecache, os, string
    from foreign_cache import cached
    from jinja2 import Environment
    from penstock import pipeline, task

    environment = Environment()

    @cached
    def loaded():
        with open("data.csv") as file:
            return file.read()

    @task
    def cached_by_others():
        return loaded()

    @task
    def jinja():
        if "rates" not in environment.globals:
            with open("data.csv") as file:
                environment.globals["rates"] = file.read()
        return environment.from_string("{{ rates }}").render()

    @task
    def attribute():
        if not hasattr(string, "rates"):
            with open("data.csv") as file:
                string.rates = file.read()
        return string.rates

    @task
    def library():
        return linecache.getline("data.csv", 1)

    @task
    def failing():
        loaded()
        raise ValueError

    @task
    def home():
        return os.path.expandvars("$RATE")

    @task
    def reading(name: str):
        with open(name) as file:
            return file.read()

    @task
    def writing(name: str):
        with open(name, "w") as file:
            file.write("new")

    @task
    def changing(name: str):
        with open(name) as file:
            before = file.read()
        with open(name, "w") as file:
            file.write(before + "new")

    @task
    def nothing():
        return 1

    @pipeline
    def main():
        for each in (cached_by_others, jinja, attribute, library, failing, home, nothing): each()
        for each in (reading, writing, changing): each("data.csv")
"""

FOREIGN = """
    class Cache:
        def __init__(self):
            self.items = {}

    def cached(function):
        cache = Cache()

        def wrapper():
            if "value" not in cache.items:
                cache.items["value"] = function()
            return cache.items["value"]

        return wrapper
"""


@pytest.fixture(params=pythons("jinja2"), ids=lambda path: Path(path).parent.parent.name)
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, request.param)
    made.write("main.py", MAIN)
    made.write("site-packages/foreign_cache.py", FOREIGN)
    made.write("data.csv", "1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site-packages"))
    return made


@pytest.mark.parametrize("how", ["cached_by_others", "jinja", "attribute", "library"])
def test_what_an_earlier_attempt_has_read_and_kept_counts_for_later_ones(how: str, project: Project) -> None:
    first, second = project.run(call(how), call(how))
    assert second.value == first.value
    assert first.reads["data.csv"] == second.reads["data.csv"]
    assert not second.outside


def test_what_a_failed_attempt_has_read_counts_for_later_ones(project: Project) -> None:
    first, second = project.run(call("failing"), call("cached_by_others"))
    assert first.outcome["kind"] == "failed" and second.value == "1\n"
    assert "data.csv" in second.reads


def test_variables_count_and_the_process_is_used_on(project: Project) -> None:
    first, second = project.run(call("home"), call("nothing"), environment={"RATE": "2"})
    assert "env:RATE" in first.reads and "env:RATE" in second.reads
    assert not first.retire and not first.only


def test_what_a_process_may_keep_is_met_by_attempts_of_the_same_task_only(project: Project) -> None:
    nothing, reading = project.run(call("nothing"), call("reading", name="data.csv"))
    assert not nothing.only and reading.only == "main:reading"


def test_a_file_that_has_changed_since_an_earlier_attempt_read_it_is_reported(project: Project) -> None:
    calls = call("reading", name="data.csv"), call("writing", name="data.csv"), call("reading", name="data.csv")
    _, _, third = project.run(*calls)
    assert third.value == "new"
    assert third.outside == ["data.csv (changed since an earlier attempt in this process read it)"]
    assert third.retire


def test_who_changes_what_it_has_read_leaves_a_process_that_is_replaced(project: Project) -> None:
    (ended,) = project.run(call("changing", name="data.csv"))
    assert ended.retire and not ended.outside


# -- when a process is replaced --------------------------------------------------------------------------------------------


def read(*names: str) -> Recorded:
    found = dict.fromkeys(names, "blake3:1")
    return Recorded(found, by_call=found)


def test_a_process_is_replaced_before_many_attempts_are_charged_with_each_others_files() -> None:
    kept = KeptReads()
    for number in range(NAMES_MAX):
        assert not kept.is_full
        reads, conflicts = kept.charged(read(f"{number}.csv").reads)
        assert len(reads) == number + 1 and not conflicts
        kept.keep(read(f"{number}.csv"), component="m:f", lasted_s=0.001, modules_count=0)
    assert kept.is_full
    costly = KeptReads()
    for number in range(NAMES_MAX):
        costly.keep(read(f"{number}.csv"), component="m:f", lasted_s=0.001, modules_count=1_000)
    assert not costly.is_full
    assert COSTLY_NAMES_MAX > NAMES_MAX


def test_attempts_that_read_the_same_never_fill_a_process() -> None:
    kept = KeptReads()
    for _ in range(1_000):
        kept.keep(read("a.csv"), component="m:f", lasted_s=0.01, modules_count=0)
    assert not kept.is_full and kept.only == "m:f"


def test_a_long_attempt_is_worth_a_new_process() -> None:
    for lasted_s, modules_count, is_full in (
        (0.5, 0, False),
        (2.0, 0, True),
        (2.0, 1_000, False),
        (100.0, 1_000, True),
    ):
        kept = KeptReads()
        kept.keep(read("a.csv"), component="m:f", lasted_s=lasted_s, modules_count=modules_count)
        assert kept.is_full is is_full, (lasted_s, modules_count)
    nothing = KeptReads()
    nothing.keep(read(), component="m:f", lasted_s=100.0, modules_count=0)
    assert not nothing.is_full and not nothing.only


def test_all_variables_count_as_a_file_does() -> None:
    kept = KeptReads()
    kept.keep(read("env:RATE"), component="m:f", lasted_s=0.0, modules_count=0)
    assert not kept.only
    kept.keep(read("env:*"), component="m:f", lasted_s=0.0, modules_count=0)
    assert kept.only == "m:f"
