"""Pipeline files as their user meets them: a target of every verb, the same cache as Python's, errors that show the line."""

from __future__ import annotations

FUNCTIONS = """
    from pathlib import Path

    from penstock import command, task

    lines = command(["awk", "END {print NR}", "${inputs.table}"], inputs={"table": Path}, output=int)


    def numbers(count: int = 3) -> list[int]:
        return list(range(count))


    @task
    def square(number: int, plus: int = 0) -> int:
        return number * number + plus


    @task(memory="200MiB")
    def total(squares: list[int]) -> int:
        return sum(squares)


    def say(state: str, value: int = 0) -> None:
        print("in the end", state, value)
"""
FILE = """
    penstock: 1
    pipeline: sums
    parameters:
      count: {type: int, default: 3}
    tasks:
      numbers: {function: maths:numbers, inputs: {count: "${parameters.count}"}}
      square:
        function: maths:square
        map: {over: "${numbers}"}
        inputs: {plus: 1}
      total:
        function: maths:total
        inputs:
          squares: ${square}
      large:
        branch:
          - when: total > 10
            tasks:
              again:
                function: maths:square
                inputs:
                  number: ${total}
            outputs:
              value: ${again}
      say: {function: maths:say, inputs: {value: "${total}"}, finally: true}
    outputs:
      total: ${total}
    pipelines:
      other:
        tasks:
          numbers: {function: maths:numbers}
"""
PYTHON = """
    from maths import numbers, say, square, total
    from penstock import finally_, map_over, pipeline, task, when

    @pipeline
    def sums(count: int = 3):
        squares = map_over(square, task(numbers)(count), plus=1)
        value = total(squares)
        with when(value > 10, name="large"):
            square(value, name="again")
        finally_(task(say), value=value)
        return {"total": value}
"""


def written(project) -> None:
    project.write("maths.py", FUNCTIONS)
    project.write("sums.yaml", FILE)


def test_a_file_is_run_planned_explained_and_run_again(project) -> None:
    written(project)
    done = project.call("run", "sums.yaml", "-p", "count=4", "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"total": 18}
    assert {row["path"]: row["state"] for row in done.json["task_runs"]}["large"] == "succeeded"
    assert project.ran("sums.yaml", "-p", "count=4") == {"say"}  # what runs at the end is run every time
    assert project.verdicts("sums.yaml", "-p", "count=4")["total"] == "hit"
    assert project.call("why", "latest", "total").status == 0
    assert project.call("graph", "sums.yaml:other").out.startswith("pipeline other")
    assert "in the end succeeded 18" in project.call("logs", "latest", "say").out


def test_the_same_pipeline_of_python_finds_all_in_the_cache(project) -> None:
    written(project)
    project.write("sums.py", PYTHON)
    assert project.call("run", "sums.py", "-p", "count=4").status == 0
    assert project.ran("sums.yaml", "-p", "count=4") == {"say"}


def test_a_wrong_file_shows_the_lines_and_creates_nothing(project) -> None:
    project.write("maths.py", FUNCTIONS)
    file = project.write("sums.yaml", FILE.replace("${square}", "${squares}").replace("over:", "ovr:"))
    done = project.call("run", "sums.yaml")
    assert done.status == 2
    assert done.out == ""
    assert f"{file}:9:11: error: there is no key `ovr`" in done.err
    assert "Did you mean `over`?" in done.err
    assert "   14 |       squares: ${squares}\n      |                  ^" in done.err
    assert "Did you mean 'square'?" in done.err
    assert not (project.folder / ".penstock").exists()


def test_a_failed_run_of_a_file_is_retried_from_it(project) -> None:
    project.write("maths.py", FUNCTIONS.replace("return sum(squares)", "raise ValueError('not yet')"))
    project.write("sums.yaml", FILE)
    assert project.call("run", "sums.yaml").status == 1
    project.write("maths.py", FUNCTIONS)
    done = project.call("retry", "latest", "--json")
    assert done.status == 0, done.err
    assert done.json["outputs"] == {"total": 8}


def test_a_module_that_fails_shows_its_own_traceback(project) -> None:
    project.write("maths.py", "x = 1 / 0\n")
    project.write("sums.yaml", FILE)
    done = project.call("check", "sums.yaml")
    assert done.status == 2
    assert "ZeroDivisionError" in done.err
    assert "maths.py" in done.err


COMMANDS = """
    penstock: 1
    pipeline: counts
    parameters:
      word: {type: str, default: "a; echo $HOME"}
      times: {type: "list[int]", default: [1, 2, 3]}
    sources:
      table: {file: data.csv}
    components:
      count:
        command: [awk, "END {print NR}", "${inputs.table}"]
        inputs: {table: path}
        outputs: {rows: int}
      lines: {function: maths:lines, retry: 2}  # a command that is declared in Python
    tasks:
      rows: {component: count, inputs: {table: "${sources.table}"}}
      same: {component: lines, inputs: {table: "${sources.table}"}}
      shout:                                  # what it refers to becomes its inputs
        command: printf "%s! %s" ${parameters.word} ${rows}
        outputs: {text: {from: stdout}}
      upper:
        command: tr a-z A-Z < "${inputs.table}" > out.txt; echo "$MODE"
        shell: true
        inputs: {table: "${sources.table}"}
        variables: {MODE: "mode ${parameters.word}"}
        outputs:
          file: {path: out.txt}
          mode: str
      each:
        command: [expr, "${item}", "*", "10"]
        map: {over: "${parameters.times}"}
        outputs: {value: int}
      scores:
        command: [sh, write.sh]
        cache: {files: [write.sh]}
        inputs: {rows: "${rows}"}
        input_files: {rows: rows.txt}
        outputs:
          auc: {from: json, path: scores.json, key: auc, type: float}
      total: {function: maths:total, inputs: {squares: "${each.value}"}}
    outputs:
      text: ${shout}
      mode: ${upper.mode}
      file: ${upper.file}
      auc: ${scores}
      same: ${same}
      total: ${total}
"""


def test_commands_are_written_in_yaml_and_nothing_of_an_input_reaches_a_shell(project) -> None:
    project.write("maths.py", FUNCTIONS)
    project.write("data.csv", "a\nb\nc\n")
    project.write("write.sh", 'printf \'{"auc": 0.%s}\' "$(cat rows.txt)" > scores.json\n')
    project.write("counts.yaml", COMMANDS)
    assert project.call("check", "counts.yaml").err == ""
    done = project.call("run", "counts.yaml", "--json")
    assert done.status == 0, done.err
    outputs = done.json["outputs"]
    assert outputs["text"] == "a; echo $HOME! 3"
    assert outputs["mode"] == "mode a; echo $HOME"
    assert outputs["auc"] == 0.3
    assert outputs["same"] == 3
    assert outputs["total"] == 60
    got = project.call("get", "latest", "upper.file", "-o", str(project.folder / "upper.txt"))
    assert got.status == 0, got.err
    assert (project.folder / "upper.txt").read_text() == "A\nB\nC\n"
    again = project.call("run", "counts.yaml", "--json").json
    computed = {row["path"] for row in again["task_runs"] if row["origin"] != "cached" and row["attempts"]}
    assert {path for path in computed if not path.startswith("source-")} == set()
    project.write("write.sh", "printf '{\"auc\": 0.5}' > scores.json\n")
    assert project.call("run", "counts.yaml", "--json").json["outputs"]["auc"] == 0.5


def test_any_pipeline_is_written_as_a_file_that_says_the_same(project) -> None:
    written(project)
    project.write("sums.py", PYTHON)
    text = project.call("graph", "sums.py", "--format", "yaml")
    assert text.status == 0, text.err
    assert "function: maths:square" in text.out
    assert "memory" not in text.out, "what a definition says is not said again"
    project.write("again.yaml", text.out)
    assert project.call("graph", "again.yaml", "--format", "yaml").out == text.out
    assert project.call("run", "sums.py").status == 0
    assert project.ran("again.yaml") == {"say"}


def test_the_schema_is_printed(project) -> None:
    done = project.call("schema")
    assert done.status == 0
    assert done.json["$defs"]["task"]["properties"]["function"]["description"]
