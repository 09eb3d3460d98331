"""The cache as its user meets it: what runs again and what does not, and every verb that says why."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

CHAIN = """
    from penstock import map_over, pipeline, task


    @task
    def numbers(count: int) -> list[int]:
        return list(range(count))


    @task
    def square(number: int) -> int:
        return number * number


    @task
    def total(squares: list[int]) -> int:
        return sum(squares)


    @task
    def checked(value: int, most: int) -> int:
        if value > most:
            raise ValueError(f"{value} is too much")
        return value


    @task
    def report(value: int) -> str:
        return f"it is {value}"


    @pipeline
    def chain(count: int = 3, most: int = 100) -> str:
        return report(checked(total(map_over(square, numbers(count))), most))
"""


@pytest.fixture
def chain(project):
    project.write("chain.py", CHAIN)
    assert len(project.ran("chain.py")) == 7
    return project


# -- what runs again -----------------------------------------------------------------------------------------------------


def test_nothing_changed_nothing_is_computed(sales) -> None:
    done = sales.call("run", "sales.py")
    assert (done.status, done.out) == (0, "output = 10\n")
    assert "cached from run" in done.err and "3 cached" in done.err
    assert sales.computed() == {"source-sales"}
    task = next(t for t in sales.call("show", "--json").json["task_runs"] if t["path"] == "net")
    assert (task["state"], task["origin"], task["cause"], task["attempts"]) == ("succeeded", "cached", "hit", 0)
    assert task["source"] == task["cause_by"] and task["source"].endswith("/net")
    assert task["saved_ms"] > 0


def test_helper_in_another_module_runs_what_uses_it(sales) -> None:
    sales.write("shop/rates.py", sales.rates.replace("price * 2", "price * 3 - price"))
    assert sales.ran("sales.py") == {"source-sales", "net"}, "total is cut off: net gave the same"
    sales.write("shop/rates.py", sales.rates.replace("price * 2", "price * 0"))
    assert sales.ran("sales.py") == {"source-sales", "net", "total"}


def test_comment_runs_nothing(sales) -> None:
    sales.write("shop/rates.py", sales.rates.replace("price * 2", "price * 2  # twice") + "    # The end.\n")
    sales.write(
        "sales.py", sales.source.replace("return pd.read_csv(path)", '"""Reads."""\n        return pd.read_csv(path)')
    )
    assert sales.ran("sales.py") == {"source-sales"}


def test_changed_source_runs_what_reads_it(sales) -> None:
    sales.write("data/sales.csv", "item,price\na,1\nb,2\nc,3\nd,5\n")
    assert sales.ran("sales.py") == {"source-sales", "load", "net", "total"}
    os.utime(sales.folder / "data" / "sales.csv")
    assert sales.ran("sales.py") == {"source-sales"}, "the same content at another time is the same"


def test_changed_parameter_runs_what_depends_on_it(chain) -> None:
    assert chain.ran("chain.py", "-p", "most=50") == {"checked"}
    assert chain.ran("chain.py", "-p", "count=4") == {"numbers", "square/3/square", "total", "checked", "report"}


def test_no_cache_reads_nothing_and_still_writes(chain) -> None:
    assert len(chain.ran("chain.py", "--no-cache")) == 7
    first = chain.call("show", "--json").json["id"]
    assert chain.ran("chain.py") == set()
    sources = {t["source"].split("/")[0] for t in chain.call("show", "--json").json["task_runs"] if t["source"]}
    assert sources == {first}


def test_retry_adopts_also_what_is_never_cached(project) -> None:
    project.write("chain.py", CHAIN.replace("    @task\n    def numbers", "    @task(cache=False)\n    def numbers"))
    assert project.call("run", "chain.py", "-p", "most=1").status == 1
    project.write("chain.py", (project.folder / "chain.py").read_text().replace("value > most", "value > 100 * most"))
    done = project.call("retry", "latest")
    assert (done.status, done.out) == (0, 'output = "it is 5"\n'), done.err
    assert project.computed() == {"checked", "report"}
    assert "adopted from run" in done.err
    assert project.call("run", "chain.py").status == 0
    assert "numbers" in project.computed(), "a new run never takes it from the cache"


def test_logs_of_a_hit_are_those_of_what_made_it(project) -> None:
    project.write("chain.py", CHAIN.replace("return sum(squares)", 'print("adding"); return sum(squares)'))
    assert project.call("run", "chain.py").status == 0
    assert project.call("run", "chain.py").status == 0
    logs = project.call("logs", "latest", "total")
    assert "adding" in logs.out and "a hit" in logs.out
    assert project.call("logs", "latest").out == ""


def test_two_at_once_compute_a_key_once(project) -> None:
    project.write(
        "slow.py",
        """
        import os, time
        from pathlib import Path
        from penstock import pipeline, task

        @task
        def slow(number: int) -> int:
            with open(os.environ["COUNTED"], "a") as file:
                file.write("x")
            gate = Path(os.environ["COUNTED"] + ".gate")
            while not gate.exists():
                time.sleep(0.01)
            return number

        @pipeline
        def main(number: int = 1) -> int:
            return slow(number)
        """,
    )
    counted = project.folder.parent / f"{project.folder.name}-counted"
    both = [project.start("run", "slow.py", COUNTED=str(counted)) for _ in range(2)]

    def waits() -> bool:
        runs = project.call("runs", "--json").json if (project.folder / ".penstock/state.db").exists() else []
        return counted.exists() and len(runs) == 2 and all(run["state"] == "running" for run in runs)

    end = time.monotonic() + 30
    while not waits():
        assert time.monotonic() < end, "they did not both begin"
        time.sleep(0.05)
    Path(f"{counted}.gate").touch()
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert counted.read_text() == "x", "it was computed once"
    runs = [run["id"] for run in project.call("runs", "--json").json]
    assert sorted(project.origins(run)["slow"] for run in runs) == ["cached", "computed"]


def test_two_at_once_compute_every_shared_key_once(project) -> None:
    """Both look up all of them at the start, and come to most of them only when the other has computed them."""
    project.write(
        "shared.py",
        """
        import os, time
        from penstock import map_over, pipeline, task

        @task
        def square(number: int) -> int:
            file = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, f"{number}\\n".encode())
            os.close(file)
            time.sleep(0.03)
            return number * number

        @task
        def total(numbers: list[int]) -> int:
            return sum(numbers)

        @pipeline
        def main(numbers: list[int]) -> int:
            return total(map_over(square, numbers))
        """,
    )
    counted = project.folder.parent / f"{project.folder.name}-counted"
    for first in (0, 100, 200):
        numbers = list(range(first, first + 40))
        arguments = ("run", "shared.py", "-p", f"numbers={numbers}")
        both = [project.start(*arguments, COUNTED=str(counted)) for _ in range(2)]
        ends = [process.communicate(timeout=100) for process in both]
        assert [process.returncode for process in both] == [0, 0], ends
        assert sorted(map(int, counted.read_text().split())) == numbers
        counted.unlink()


def test_content_that_proves_corrupt_fails_the_run_and_is_computed_again_by_retry(sales) -> None:
    """Semantics 34."""
    sales.call("run", "sales.py")
    stored = Path(sales.call("get", "latest", "net").out.splitlines()[-1])
    digest = stored.parent.name + stored.name
    stored.chmod(0o600)
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    program = sales.folder / "sales.py"
    program.write_text(program.read_text().replace("int(table.price.sum())", "int(table.price.sum()) + 0"))
    failed = sales.call("run", "sales.py")
    assert failed.status == 1
    assert digest in failed.err and "corrupt" in failed.err
    again = sales.call("retry", "latest")
    assert again.status == 0, again.err
    assert sales.computed() >= {"net", "total"}
    assert "load" not in sales.computed()


KEPT = """
    import string
    from penstock import map_over, pipeline, task

    @task
    def rated(number: int) -> int:
        if not hasattr(string, "rate"):
            with open("rate.txt") as file:
                string.rate = int(file.read())
        return number * string.rate

    @task
    def total(numbers: list[int]) -> int:
        with open("most.txt") as file:
            return min(sum(numbers), int(file.read()))

    @pipeline
    def kept() -> int:
        return total(map_over(rated, [1, 2, 3, 4, 5, 6]))
"""


def test_what_an_item_has_read_and_left_in_its_worker_runs_later_items_again(project) -> None:
    """Of six items at most one for each worker reads the file; another task never meets what they have kept."""
    project.write("kept.py", KEPT)
    project.write("rate.txt", "1")
    project.write("most.txt", "100")
    assert project.call("run", "kept.py").out == "output = 21\n"
    project.write("rate.txt", "2")
    assert project.call("run", "kept.py").out == "output = 42\n"
    project.write("most.txt", "40")
    assert project.ran("kept.py") == {"total"}
    assert project.call("run", "kept.py", "--no-cache").out == "output = 40\n"
    project.write("rate.txt", "3")
    again = project.ran("kept.py")
    assert "total" in again and len(again) == 7


# -- plan ----------------------------------------------------------------------------------------------------------------


def test_plan_says_what_a_run_would_do_and_writes_nothing(sales) -> None:
    def files() -> dict[str, int]:
        # SQLite's index of the log is memory shared by whoever has the database open.
        found = [path for path in (sales.folder / ".penstock").rglob("*") if path.is_file()]
        return {str(path): path.stat().st_mtime_ns for path in found if not path.name.endswith("-shm")}

    before = files()
    assert sales.verdicts("sales.py") == {"source-sales": "run", "load": "hit", "net": "hit", "total": "hit"}
    low = sales.verdicts("sales.py", "-p", "low=3")
    assert low == {"source-sales": "run", "load": "hit", "net": "run", "total": "maybe"}
    sales.write("shop/rates.py", sales.rates.replace("price * 2", "price * 3"))
    shown = sales.call("plan", "sales.py", "--json").json
    net = next(task for task in shown["task_runs"] if task["path"] == "net")
    assert net["verdict"] == "run" and "shop.rates:with_tax" in net["why"]
    assert net["predicted_ms"] > 0
    assert shown["predicted_ms_max"] >= shown["predicted_ms"] > 0
    assert shown["counts"] == {"run": 2, "hit": 1, "maybe": 1}
    assert files() == before
    assert sales.computed() == {"source-sales", "load", "net", "total"}, "no run was made"


def test_plan_is_right_about_the_run_that_follows(chain) -> None:
    for arguments in ((), ("-p", "most=50"), ("-p", "count=5")):
        planned = chain.verdicts("chain.py", *arguments)
        assert chain.ran("chain.py", *arguments) <= {
            path for path in chain.origins() if planned.get(path, "maybe") in ("run", "maybe")
        }
        hits = {path for path, verdict in planned.items() if verdict == "hit"}
        assert hits & chain.computed() == set()
        runs = {path for path, verdict in planned.items() if verdict == "run"}
        assert {path for path in runs if path in chain.origins()} <= chain.computed()


def test_plan_before_the_first_run(project, golden) -> None:
    project.write("chain.py", CHAIN)
    golden("plan-first", project.call("plan", "chain.py", PENSTOCK_CPU="1"))
    assert not (project.folder / ".penstock").exists()
    wrong = project.call("plan", "chain.py", "-p", "cuont=3")
    assert wrong.status == 2 and "count" in wrong.err


def test_plan_lists_the_body_of_a_map_whose_items_nobody_knows(project) -> None:
    project.write(
        "often.py",
        """
        import time
        from penstock import map_over, pipeline, task

        @task
        def numbers(first: int) -> list[int]:
            return [first + i for i in range(4)]

        @task
        def slow(number: int) -> int:
            time.sleep(0.05)
            return number

        @pipeline
        def often(first: int = 0) -> list[int]:
            return map_over(slow, numbers(first))
        """,
    )
    assert project.call("run", "often.py").status == 0
    shown = project.call("plan", "often.py", "-p", "first=10", "--json", PENSTOCK_CPU="1").json
    assert {task["path"]: task["verdict"] for task in shown["task_runs"]} == {
        "numbers": "run",
        "slow": "maybe",
        "slow/*/slow": "maybe",
    }
    assert shown["predicted_ms_max"] >= 200, "as many items as last time, at 50 ms each, on one core"
    assert shown["predicted_ms"] < 50


def test_plan_of_conditions(project, golden) -> None:
    project.write(
        "choose.py",
        """
        from penstock import pipeline, task

        @task
        def score(number: int) -> float:
            return number / 10

        @task
        def good(score: float) -> str:
            return "good"

        @task
        def told(text: str) -> str:
            return text

        @task
        def later(number: int) -> int:
            return number

        @pipeline
        def choose(number: int = 5, far: bool = False) -> None:
            rated = score(number)
            told(good(rated, when=rated > 0.3))
            later(number, when=far)
        """,
    )
    assert project.call("run", "choose.py").status == 0
    expected = {"score": "run", "good": "maybe", "told": "maybe", "later": "skip"}
    assert project.verdicts("choose.py", "-p", "number=6") == expected
    assert project.verdicts("choose.py") == {"score": "hit", "good": "hit", "told": "hit", "later": "skip"}


# -- why -----------------------------------------------------------------------------------------------------------------


def test_why_in_words(sales, golden) -> None:
    golden("why-first", sales.call("why", "latest", "net"))
    sales.write("shop/rates.py", sales.rates.replace("price * 2", "price * 3"))
    sales.call("run", "sales.py")
    golden("why-code", sales.call("why", "latest", "net"))
    golden("why-hit", sales.call("why", "latest", "load"))
    sales.write("data/sales.csv", "item,price\na,1\nb,2\nc,3\nd,5\n")
    sales.call("run", "sales.py", "-p", "low=2")
    golden("why-inputs", sales.call("why", "latest", "net"))
    wrong = sales.call("why", "latest", "nett")
    assert wrong.status == 2 and "did you mean net?" in wrong.err


def test_why_of_failures_and_skips(chain, golden) -> None:
    assert chain.call("run", "chain.py", "-p", "most=1").status == 1
    golden("why-failed", chain.call("why", "latest", "checked"))
    golden("why-skipped", chain.call("why", "latest", "report"))
    told = chain.call("why", "latest", "report", "--json").json
    assert [(link["path"], link["state"]) for link in told["chain"]] == [("report", "skipped"), ("checked", "failed")]


def test_why_names_an_environment_variable(project) -> None:
    project.write(
        "mode.py",
        """
        import os
        from penstock import pipeline, task

        @task
        def mode(number: int) -> str:
            return os.environ.get("MODE", "none")

        @pipeline
        def main(number: int = 1) -> str:
            return mode(number)
        """,
    )
    assert project.call("run", "mode.py", MODE="a").out == 'output = "a"\n'
    assert project.call("run", "mode.py", MODE="b").out == 'output = "b"\n'
    told = project.call("why", "latest", "mode", "--json").json
    assert [(change["kind"], change["name"]) for change in told["changed"]] == [("environment", "MODE")]
    assert "environment variable: MODE changed" in project.call("why", "latest", "mode").out
    assert project.call("run", "mode.py", MODE="a").out == 'output = "a"\n'
    assert project.origins()["mode"] == "cached"


# -- nondeterminism ------------------------------------------------------------------------------------------------------

DICE = """
    import time
    import pandas as pd
    from penstock import pipeline, task


    @task
    def rows(count: int) -> pd.DataFrame:
        return pd.DataFrame({"at": [time.time_ns() + n for n in range(count)], "n": list(range(count))})


    @task
    def steady(count: int) -> dict[str, int]:
        return {"count": count}


    @pipeline
    def main(count: int = 3) -> None:
        rows(count)
        steady(count)
"""


def test_what_a_task_lists_and_queries_is_looked_at_again(project) -> None:
    with closing(sqlite3.connect(project.folder / "data.db")) as connection:
        connection.execute("create table t (a)")
    project.write("months/2026-01.csv", "1\n")
    project.write(
        "world.py",
        """
        import sqlite3
        from contextlib import closing
        from pathlib import Path

        from penstock import pipeline, task


        @task
        def rows(x: int) -> int:
            with closing(sqlite3.connect("data.db")) as connection:
                return connection.execute("select count(*) from t").fetchone()[0]


        @task
        def months(x: int) -> int:
            return len(list(Path("months").glob("*.csv")))


        @pipeline
        def world() -> list[int]:
            return [rows(1), months(1)]
        """,
    )
    assert project.ran("world.py") == {"rows", "months"}
    assert project.ran("world.py") == set()
    project.write("months/2026-02.csv", "2\n")
    assert project.ran("world.py") == {"months"}
    with closing(sqlite3.connect(project.folder / "data.db")) as connection:
        connection.execute("insert into t values (1)")
        connection.commit()
    assert project.ran("world.py") == {"rows"}
    assert project.ran("world.py") == set()


def test_editing_a_method_of_a_model_runs_what_is_given_the_model(project) -> None:
    """Its bytes are the same: what they name is not."""
    models = """
        from sklearn.base import BaseEstimator


        class Mean(BaseEstimator):
            def __init__(self, mean: float = 0.0) -> None:
                self.mean = mean

            def predict(self, x: float) -> float:
                return self.mean


        def made(mean: float) -> Mean:
            return Mean(mean)
        """
    project.write("models.py", models)
    project.write(
        "estimates.py",
        """
        from typing import Annotated

        import models
        from penstock import Form, pipeline, task


        @task
        def fit(mean: float) -> Annotated[models.Mean, Form("skops")]:
            return models.made(mean)


        @task
        def evaluate(model: models.Mean) -> float:
            return 1.0


        @task
        def apply(model) -> float:
            return model.predict(1.0)


        @pipeline
        def estimates(mean: float = 2.0) -> list[float]:
            model = fit(mean)
            return [evaluate(model), apply(model)]
        """,
    )
    assert project.ran("estimates.py") == {"fit", "evaluate", "apply"}
    before = project.call("lineage", "latest", "fit", "--json").json
    project.write("models.py", models.replace("return self.mean", "return self.mean  # the mean"))
    assert project.ran("estimates.py") == set()
    project.write("models.py", models.replace("return self.mean", "return self.mean + 1"))
    assert project.ran("estimates.py") == {"fit", "evaluate", "apply"}
    assert len(digests_in(before)) == 1
    assert digests_in(before) == digests_in(project.call("lineage", "latest", "fit", "--json").json)


def digests_in(told) -> set[str]:
    return set(re.findall(r"blake3:[0-9a-f]{64}", str(told)))


UNKNOWN = "not among the code that the task is known to use"


def test_why_names_the_function_that_ran_outside_its_closure(project) -> None:
    """A task whose code says nothing of `plugin` is handed its name as data."""
    project.write("plugin.py", "def grow(x):\n    return x + 1\n")
    project.write(
        "late.py",
        """
        from pydoc import locate

        from penstock import pipeline, task


        @task
        def call(name: str, x: int) -> int:
            return locate(name)(x)


        def nobody_calls_this() -> None:
            import plugin


        @pipeline
        def late(name: str = "plugin.grow") -> int:
            return call(name, 1)
        """,
    )
    for _ in range(2):
        assert project.call("run", "late.py").out == "output = 2\n"
        told = project.call("why", "latest", "call", "--json").json
        assert told["kind"] == "ran"
        assert told["uncached"] == f'plugin:grow was called, {UNKNOWN}: name it in depends=["plugin"]'
    first = project.call("why", "latest", "call").out.splitlines()[0]
    assert first.startswith("call ran: its result is not in the cache: plugin:grow was called")


def test_why_names_a_version_and_a_database_that_changed_meanwhile(project) -> None:
    text = """
        import sqlite3

        from penstock import pipeline, task


        @task(version="1")
        def count(x: int) -> int:
            with sqlite3.connect("data.db") as connection:
                connection.execute("insert into t values (1)")
            return x


        @task(version="1")
        def plain(x: int) -> int:
            return x


        @pipeline
        def versions() -> int:
            return plain(count(1))
        """
    project.write("versions.py", text)
    with closing(sqlite3.connect(project.folder / "data.db")) as connection:
        connection.execute("create table t (a)")
    assert project.call("run", "versions.py").status == 0
    told = project.call("why", "latest", "count", "--json").json
    assert told["uncached"] == "data.db (changed while it was read)"
    project.write("versions.py", text.replace('"1"', '"2"'))
    assert project.call("run", "versions.py").status == 0
    assert "version: 1 → 2" in project.call("why", "latest", "plain").out


def test_check_twice_says_what_differs(project) -> None:
    project.write("dice.py", DICE)
    differs = project.call("check", "dice.py", "--twice", "rows")
    assert differs.status == 1
    assert "column at: 3 of 3 rows" in differs.out and "column n" not in differs.out
    same = project.call("check", "dice.py", "--twice", "steady", "--json")
    assert (same.status, same.json["same"], same.json["differences"]) == (0, True, {})
    wrong = project.call("check", "dice.py", "--twice", "row")
    assert wrong.status == 2 and "did you mean rows" in wrong.err
    assert not (project.folder / ".penstock").exists()


def test_two_results_for_one_key_are_marked(project) -> None:
    project.write("dice.py", DICE)
    assert project.call("run", "dice.py").status == 0
    assert project.call("run", "dice.py", "--no-cache").status == 0
    why = project.call("why", "latest", "rows").out
    assert "dice:rows is nondeterministic" in why and "with the same code and reads" in why
    assert "column at: 3 of 3 rows" in project.call("why", "latest", "rows").out
    assert "nondeterministic" not in project.call("why", "latest", "steady").out
    checked = project.call("check", "dice.py")
    assert checked.status == 0 and "dice:rows is nondeterministic" in checked.err
    assert project.call("check", "dice.py", "--json").json["nondeterministic"] == ["dice:rows"]


# -- diff, lineage ---------------------------------------------------------------------------------------------------


def test_diff_of_two_runs(sales) -> None:
    first = sales.call("show", "--json").json["id"]
    sales.write("shop/rates.py", sales.rates.replace("price * 2", "price * 0"))
    sales.write("sales.py", sales.source.replace("int(table.price.sum())", "int(table.price.max())"))
    sales.call("run", "sales.py", "-p", "low=-5")
    shown = sales.call("diff", first, "latest", "--json").json
    assert shown["parameters"] == [{"name": "low", "before": "1", "after": "-5"}]
    assert shown["outputs"] == [{"name": "output", "before": "10", "after": "4"}]
    assert {change["name"] for change in shown["code"]} == {"sales:total", "shop.rates:with_tax"}
    assert "-    return price * 2" in sales.call("diff", first, "latest").out
    same = sales.call("diff", first, first).out
    assert "nothing differs" in same


def test_lineage_leads_both_ways_across_runs(sales) -> None:
    sales.write("sales.py", sales.source.replace("int(table.price.sum())", "int(table.price.max())"))
    sales.call("run", "sales.py")
    digest = sales.call("get", "latest", "net", "--json").json["value"]["artifact"]
    shown = sales.call("lineage", digest, "--json").json
    assert [step["path"] for step in shown["upstream"] if step["path"]] == ["net", "load", "source-sales"]
    assert [step["path"] for step in shown["downstream"] if step["path"]] == ["total"]
    assert next(step for step in shown["downstream"] if step["path"])["more_runs"] == 1
    assert sales.call("lineage", digest[:20], "--json").json == shown
    of_task = sales.call("lineage", "latest", "net", "--json").json
    assert [step["path"] for step in of_task["upstream"] if step["path"]] == ["load", "source-sales"]
    assert sales.call("lineage", "blake3:0123").status == 2
