"""`--until`, `--only`, `--set`, and labels to find runs again."""

from __future__ import annotations

import pytest

FITTING = """
    import pandas as pd
    from penstock import File, map_over, pipeline, task


    @task
    def load(n: int) -> pd.DataFrame:
        return pd.DataFrame({"x": list(range(n))})


    @task
    def fit(table: pd.DataFrame, by: int) -> dict[str, int]:
        return {"sum": int(table.x.sum()) * by}


    @task
    def report(model: dict[str, int], text: str) -> str:
        return f"{text} {model['sum']}"


    @task
    def title() -> str:
        return "sum:"


    @pipeline
    def fitting(n: int = 4, by: int = 1) -> str:
        return report(fit(load(n), by), title())
"""


@pytest.fixture
def fitting(project):
    project.write("pyproject.toml", "")
    project.write("fitting.py", FITTING)
    return project


def test_a_part_of_a_pipeline_is_run(fitting) -> None:
    wrong = fitting.call("run", "fitting.py", "--until", "fitt")
    assert wrong.status == 2 and "has no task 'fitt'" in wrong.err and "'fit'" in wrong.err
    alone = fitting.call("run", "fitting.py", "--only", "fit")
    assert alone.status == 2
    assert "fitting.py:27: load has no result yet" in alone.err and "--until fit" in alone.err
    assert not (fitting.folder / ".penstock").exists()

    assert fitting.verdicts("fitting.py", "--until", "fit") == {"load": "run", "fit": "run"}
    done = fitting.call("run", "fitting.py", "--until", "fit", "--label", "who=me")
    assert (done.status, done.out) == (0, 'fit = {"sum": 6}\n'), done.err
    assert fitting.computed() == {"load", "fit"}

    only = fitting.call("run", "fitting.py", "--only", "fit", "-p", "by=2", "--json")
    assert only.json["outputs"] == {"fit": {"sum": 12}}
    assert [task["path"] for task in only.json["task_runs"]] == ["fit"]
    source = only.json["provenance"]["asked"]["given"]["load.output"]
    assert source.endswith("/load")

    # Code that has changed since is not used as if it had not.
    fitting.write("fitting.py", FITTING.replace("range(n)", "range(n + 1)"))
    stale = fitting.call("run", "fitting.py", "--only", "fit")
    assert stale.status == 2 and "load has no result yet" in stale.err

    listed = [run["labels"] for run in fitting.call("runs", "--label", "who=me", "--json").json]
    assert listed == [{"who": "me"}]
    assert len(fitting.call("runs", "--state", "succeeded", "--pipeline", "fitting", "--json").json) == 2
    assert fitting.call("runs", "--state", "failed", "--json").json == []
    for given, near in [(("--state", "sucseeded"), "succeeded"), (("--pipeline", "fiting"), "fitting")]:
        unknown = fitting.call("runs", *given)
        assert unknown.status == 2 and near in unknown.err


def test_an_output_is_given_from_a_file(fitting) -> None:
    fitting.write("table.csv", "x\n10\n20\n")
    done = fitting.call("run", "fitting.py", "--set", "load.output=table.csv", "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"output": "sum: 30"}
    assert {task["path"] for task in done.json["task_runs"]} == {"fit", "title", "report"}
    assert done.json["provenance"]["asked"] == {"given": {"load.output": "table.csv"}}
    assert "asked: load.output from table.csv" in fitting.call("show").out

    assert fitting.ran("fitting.py", "--set", "load=table.csv") == set(), "the same content, the same keys"
    fitting.write("table.csv", "x\n10\n21\n")
    assert fitting.ran("fitting.py", "--set", "load=table.csv") == {"fit", "report"}

    fitting.write("model.json", '{"sum": 1}')
    assert fitting.ran("fitting.py", "--set", "fit=model.json") == {"report"}
    fitting.write("model.json", "[1]")
    refused = fitting.call("plan", "fitting.py", "--set", "fit=model.json")
    assert refused.status == 2 and "model.json: expected struct" in refused.err, refused.err


NESTED = """
    from penstock import pipeline, task


    @task
    def load(n: int) -> list[int]:
        return list(range(n))


    @task
    def total(rows: list[int], by: int) -> int:
        return sum(rows) * by


    @pipeline
    def inner(n: int, by: int) -> int:
        return total(load(n), by)


    @task
    def shown(total: int) -> str:
        return f"total {total}"


    @pipeline
    def outer(n: int = 4, by: int = 1) -> str:
        return shown(inner(n, by))
"""


def test_tasks_of_nested_pipelines_are_named_by_their_paths(project) -> None:
    project.write("pyproject.toml", "")
    project.write("nested.py", NESTED)
    assert project.ran("nested.py:outer", "--until", "inner.load") == {"inner/load"}
    only = project.call("run", "nested.py:outer", "--only", "inner/total", "-p", "by=3", "--json")
    assert [task["path"] for task in only.json["task_runs"]][-1] == "inner/total", only.err
    assert only.json["outputs"] == {"inner": 18}
    assert only.json["provenance"]["asked"]["given"]["inner/load.output"].endswith("/inner/load")

    project.write("rows.json", "[5, 6]")
    given = project.call("run", "nested.py:outer", "--set", "inner.load=rows.json", "--json")
    assert given.json["outputs"] == {"output": "total 11"}, given.err
    assert project.computed() == {"inner/total", "shown"}
    wrong = project.call("run", "nested.py:outer", "--until", "inner.lod")
    assert wrong.status == 2 and "'inner' has no task 'lod'" in wrong.err and "load" in wrong.err


def test_a_run_of_a_part_is_retried_as_that_part(project) -> None:
    project.write("pyproject.toml", "")
    broken = NESTED.replace("return sum(rows) * by", "return sum(rows) * by // 0")
    project.write("nested.py", broken)
    assert project.call("run", "nested.py:outer", "--until", "inner/load").status == 0
    assert project.call("run", "nested.py:outer", "--only", "inner/total", "-p", "by=3").status == 1

    project.write("nested.py", NESTED)
    again = project.call("retry", "latest", "--json")
    assert again.status == 0, again.err
    assert again.json["outputs"] == {"inner": 18}
    assert project.computed() == {"inner/total"}
    assert {task["path"] for task in again.json["task_runs"]} <= {"inner", "inner/total"}
