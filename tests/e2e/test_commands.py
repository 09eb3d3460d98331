"""Commands as their user meets them: what runs again and what does not, how they end, what is said before they begin."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

SUMS = """
    from pathlib import Path

    from penstock import File, command, pipeline, task

    total = command(
        ["awk", "-F,", "-f", "tools/sum.awk", "${inputs.table}"],
        inputs={"table": Path},
        output=int,
        files=["tools/sum.awk"],
        env=["ROUNDS"],
    )
    shout = command(
        'echo "$(printf %s "${inputs.text}" | tr a-z A-Z)!" > said.txt',
        shell=True,
        inputs={"text": str},
        outputs={"said": Path("said.txt")},
    )


    @task
    def words(value: int) -> str:
        return f"sum {value}"


    @pipeline
    def sums():
        value = total(File("data/sales.csv"))
        return {"value": value, "said": shout(words(value)).said}
"""


@pytest.fixture
def sums(project):
    project.write("sums.py", SUMS)
    project.write("tools/sum.awk", "{ s += $2 } END { print s }\n")
    project.write("data/sales.csv", "a,1\nb,2\n")
    assert project.ran("sums.py") == {"source-sales", "total", "words", "shout"}
    return project


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_nothing_changed_nothing_is_run_again(sums) -> None:
    assert sums.ran("sums.py") == {"source-sales"}
    assert "value = 3\n" in sums.call("run", "sums.py").out


def test_a_declared_file_that_changed_runs_its_command_again_and_why_says_so(sums) -> None:
    sums.write("tools/sum.awk", "{ s += $2 } END { print s + 0 }\n")
    assert sums.ran("sums.py") == {"source-sales", "total"}  # the sum is the same: what follows is not run
    assert "file: tools/sum.awk changed" in sums.call("why", "latest", "total").out
    sums.write("tools/sum.awk", "{ s += 10 * $2 } END { print s }\n")
    assert sums.ran("sums.py") == {"source-sales", "total", "words", "shout"}


def test_what_a_command_says_its_input_and_its_variables_count(sums) -> None:
    sums.write("sums.py", SUMS.replace('"-F,", ', '"-F,", "-v", "x=1", '))
    assert sums.ran("sums.py") == {"source-sales", "total"}
    why = sums.call("why", "latest", "total").out
    assert "code: command:total changed" in why and "+awk -F, -v x=1 -f tools/sum.awk ${inputs.table}" in why
    sums.write("data/sales.csv", "a,1\nb,3\n")
    assert sums.ran("sums.py") == {"source-sales", "total", "words", "shout"}
    assert sums.call("run", "sums.py", ROUNDS="2").status == 0
    assert sums.computed() == {"source-sales", "total"}
    assert "environment variable: ROUNDS changed" in sums.call("why", "latest", "total").out


def test_plan_tells_commands_like_functions(sums) -> None:
    sums.write("tools/sum.awk", "{ s += 10 * $2 } END { print s }\n")
    assert sums.verdicts("sums.py") == {"source-sales": "run", "total": "run", "words": "maybe", "shout": "maybe"}


def test_an_edit_during_a_run_changes_nothing_in_that_run(project) -> None:
    project.write(
        "held.py",
        """
        from pathlib import Path
        from penstock import command, pipeline

        wait = command(
            ": > ${inputs.flag}/begun; while [ ! -e ${inputs.flag}/go ]; do sleep 0.02; done; echo on",
            shell=True, inputs={"flag": str}, output=str,
        )
        say = command(["sh", "say.sh"], inputs={"after": str}, output=str, files=["say.sh"])

        @pipeline
        def held(flag: str) -> str:
            return say(wait(flag))
        """,
    )
    project.write("say.sh", "echo before\n")
    process = project.start("run", "held.py", "-p", f"flag={project.folder}")
    begun = project.folder / "begun"
    while not begun.exists():
        time.sleep(0.01)
    project.write("say.sh", "echo after\n")
    (project.folder / "go").touch()
    out, err = process.communicate(timeout=60)
    assert out == 'output = "before"\n', err


# -- how they end ------------------------------------------------------------------------------------------------------

ENDLESS = """
    from penstock import command, pipeline

    hang = command(
        "trap '' TERM; sleep 1000 & echo $$ $! > ${inputs.pids}; setsid sleep 1001 & echo $! >> ${inputs.pids}; wait; wait",
        shell=True, inputs={"pids": str}, output=str, timeout=TIMEOUT,
    )

    @pipeline
    def endless(pids: str) -> str:
        return hang(pids)
"""


def pids_in(path: Path) -> list[int]:
    text = path.read_text() if path.exists() else ""
    return [int(pid) for pid in text.split()] if text.count("\n") == 2 else []


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_timeout_ends_a_command_and_all_that_it_started(project) -> None:
    project.write("endless.py", ENDLESS.replace("TIMEOUT", '"1s"'))
    pids = project.folder / "pids"
    done = project.call("run", "endless.py", "-p", f"pids={pids}", PENSTOCK_GRACE_MS="500")
    assert done.status == 1
    assert "timed out after" in done.err
    assert len(pids_in(pids)) == 3
    assert all(is_gone(pid) for pid in pids_in(pids))


def test_a_cancelled_command_is_asked_first_and_may_clean_up(project) -> None:
    project.write(
        "polite.py",
        """
        from penstock import command, pipeline

        hang = command(
            "trap 'echo cleaned > ${inputs.mark}; exit 0' TERM; echo begun > ${inputs.mark}; while :; do sleep 0.05; done",
            shell=True, inputs={"mark": str}, output=str,
        )

        @pipeline
        def polite(mark: str) -> str:
            return hang(mark)
        """,
    )
    mark = project.folder / "mark"
    process = project.start("run", "polite.py", "-p", f"mark={mark}")
    while not (mark.exists() and mark.read_text()):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert mark.read_text() == "cleaned\n"


def test_a_failed_command_says_what_it_ran_and_the_last_that_it_wrote(project, golden) -> None:
    project.write(
        "fails.py",
        """
        from penstock import command, pipeline

        broken = command(["sh", "-c", "echo reading; echo 'no such column: price' >&2; exit 4", "${inputs.x}"], inputs={"x": str})

        @pipeline
        def fails():
            broken("a b")
        """,
    )
    done = project.call("run", "fails.py")
    golden("command-failed", done)
    assert "no such column: price" in project.call("logs", "latest", "broken").out


def test_a_command_over_its_declared_memory_is_ended_and_all_that_it_started(project) -> None:
    project.write(
        "hungry.py",
        """
        import sys
        from penstock import Retry, command, pipeline

        GREEDY = "b = bytearray(600_000_000); b[::4096] = b'x' * len(b[::4096]); import time; time.sleep(600)"
        eat = command(
            ["sh", "-c", "sleep 601 & exec $0 -c \\"$1\\"", sys.executable, GREEDY],
            memory="100MiB", retry=Retry(1, oom_max=0), output=str,
        )

        @pipeline
        def hungry() -> str:
            return eat()
        """,
    )
    done = project.call("run", "hungry.py")
    assert done.status == 1
    assert "memory" in done.err, done.err
    assert project.call("show", "latest", "--json").json["task_runs"][0]["cause"] == "out_of_memory"


# -- before they begin -------------------------------------------------------------------------------------------------


def test_what_is_wrong_with_commands_here_is_said_before_anything_runs(project, golden) -> None:
    project.write(
        "wrong.py",
        """
        from pathlib import Path
        from penstock import command, pipeline

        absent = command(["no-such-program", "${inputs.x}"], inputs={"x": str}, output=str)
        local = command(["count.sh"], output=str)
        undeclared = command(["sh", "count.sh"], output=str)
        unfound = command(["sh", "lost.sh"], output=str, files=["lost.sh"])

        @pipeline
        def wrong():
            return [absent("a"), local(), undeclared(), unfound()]
        """,
    )
    project.write("count.sh", "echo 1\n")
    golden("command-here", project.call("check", "wrong.py"))
    done = project.call("run", "wrong.py")
    assert done.status == 2
    assert not (project.folder / ".penstock" / "state.db").exists()


def test_what_is_wrong_with_a_command_itself_is_said_all_at_once(project, golden) -> None:
    project.write(
        "mistaken.py",
        """
        from pathlib import Path
        from penstock import command, pipeline

        typo = command("wc -l ${inputs.tabel}", inputs={"table": Path}, output=int)
        out = command("cat", outputs={"o": Path("../o"), "p": {"type": int}, "q": {"json": "a", "keys": "b"}})
        quote = command("echo 'never")
        both = command(["a", "b"], shell=True)
        kind = command("cat", inputs={"n": int}, defaults={"n": "three", "m": 1}, environment={"pakages": []})

        @pipeline
        def mistaken(table: Path):
            typo(table)
            out()
            quote()
            both()
            kind()
        """,
    )
    golden("command-mistaken", project.call("check", "mistaken.py"))


def test_a_command_runs_inline_in_a_users_own_test(project) -> None:
    project.write("sums.py", SUMS)
    project.write("tools/sum.awk", "{ s += $2 } END { print s }\n")
    project.write("data/sales.csv", "a,1\nb,2\n")
    project.write(
        "trial.py",
        """
        from penstock.testing import run_inline
        from sums import sums

        result = run_inline(sums).raise_for_state()
        assert result.outputs["value"] == 3
        assert result.outputs["said"].read_text() == "SUM 3!\\n"
        """,
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "trial.py"], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
