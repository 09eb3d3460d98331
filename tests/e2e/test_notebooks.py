"""A real notebook, run by a real kernel: what it shows of a graph, of a run, and while one runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from textwrap import dedent
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat and nbclient run notebooks")
pytest.importorskip("nbclient", reason="nbclient runs notebooks")
pytest.importorskip("ipykernel", reason="ipykernel is what a notebook runs in")

TASKS = """
    import time
    from penstock import map_over, pipeline, task

    @task
    def numbers(count: int) -> list[int]:
        return list(range(count))

    @task
    def square(number: int) -> int:
        time.sleep(0.4)
        if number == 13:
            print("about to break")
            raise ValueError("thirteen <is> too many")
        return number * number

    @task
    def total(squares: list[int]) -> int:
        return sum(squares)

    @pipeline
    def sums(count: int = 3) -> int:
        return total(map_over(square, numbers(count)))

    @pipeline
    def broken() -> int:
        return square(13)
"""


# A kernel that is interrupted while its cell runs, as the stop button does it; prints what the cell printed.
INTERRUPT = """
    import sys, time
    from pathlib import Path
    from jupyter_client.manager import KernelManager

    cell, folder = sys.argv[1:]
    manager = KernelManager(kernel_name="under-test")
    manager.start_kernel(cwd=folder)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    client.execute(cell)
    while not (Path(folder) / "here").exists():
        time.sleep(0.01)
    manager.interrupt_kernel()
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["msg_type"] in ("stream", "error"):
            print(message["content"].get("text") or message["content"])
            break
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""

# Apart from the tests' own process: the client has event loops and warnings of its own.
EXECUTE = """
    import sys
    import nbclient, nbformat

    path, folder = sys.argv[1:]
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(
        notebook, kernel_name="under-test", timeout=120, allow_errors=True, resources={"metadata": {"path": folder}}
    )
    client.execute()
    nbformat.write(notebook, path)
"""


@pytest.fixture
def jupyter(project, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a script that finds a kernel of this Python under the name `under-test`; what it prints."""
    aside = tmp_path_factory.mktemp("jupyter")
    kernel = aside / "kernels" / "under-test" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": command, "display_name": "under test", "language": "python"}))
    environment = {
        **project.environment,
        "JUPYTER_PATH": str(aside),
        "IPYTHONDIR": str(aside / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(aside / "runtime"),
    }

    def run(script: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", dedent(script), *arguments],
            env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def run_notebook(project, jupyter, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[list[Any]]]:
    """Runs cells in the project's folder; the outputs of each cell."""
    path = tmp_path_factory.mktemp("notebook") / "under-test.ipynb"

    def run(*cells: str) -> list[list[Any]]:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(dedent(cell).strip()) for cell in cells])
        nbformat.write(made, path)
        jupyter(EXECUTE, str(path), str(project.folder))
        return [cell.outputs for cell in nbformat.read(path, 4).cells]

    return run


def html_of(outputs: list[Any]) -> str:
    return "".join(output.get("data", {}).get("text/html", "") for output in outputs)


def test_a_notebook_shows_graphs_runs_and_progress(run_notebook) -> None:
    _, graph, same, progress, result, again = run_notebook(
        TASKS,
        "sums",
        "sums.graph()",
        "result = sums.run(count=5)",
        "result",
        "sums.run(count=5)",
    )
    (shown,) = graph
    assert shown["data"]["text/plain"] == "<pipeline sums>"
    assert shown["data"]["text/html"].startswith("<svg")
    assert ">square<" in shown["data"]["text/html"]
    assert shown["data"]["image/svg+xml"] == shown["data"]["text/html"]
    assert html_of(same) == html_of(graph)

    (line,) = progress
    assert line["output_type"] == "display_data", "one place, written anew"
    assert "sums succeeded in" in line["data"]["text/html"]
    assert "8 succeeded" in line["data"]["text/html"]

    html = html_of(result)
    assert "<b>sums</b> succeeded" in html
    assert html.count("<tr>") == 1 + 8 + 1 + 1
    assert "square/4/square" in html
    assert "<td" in html and "30" in html
    assert "where the time went" in html

    html = html_of(again)
    assert "cached" in html
    assert "saved" in html


def test_a_notebook_shows_how_far_a_run_is(run_notebook) -> None:
    """What the display was while the run lasted is noted by the kernel itself."""
    *_, told = run_notebook(
        TASKS,
        """
        from IPython.display import DisplayHandle
        frames, update = [], DisplayHandle.update

        def noted(self, shown, **given):
            frames.append(shown.data)
            update(self, shown, **given)

        DisplayHandle.update = noted
        result = sums.run(count=6)
        """,
        "print('\\n'.join(frames))",
    )
    text = "".join(output["text"] for output in told)
    assert "● " in text
    assert "/6" in text
    assert "attempt" in text


def test_a_notebook_shows_what_failed(run_notebook) -> None:
    _, failed, result = run_notebook(TASKS, "result = broken.run(check=False)", "result")
    html = html_of(failed)
    assert "ValueError: thirteen &lt;is&gt; too many" in html
    assert "about to break" in html
    assert "broken failed" in html
    assert "&lt;is&gt;" in html_of(result)


def test_a_run_that_fails_ends_its_cell(run_notebook) -> None:
    _, (shown, error) = run_notebook(TASKS, "broken.run()")
    assert "ValueError: thirteen &lt;is&gt; too many" in shown["data"]["text/html"]
    assert error["ename"] == "RunFailed"
    (line,) = error["traceback"]
    assert "ValueError: thirteen <is> too many" in line


def test_an_error_of_the_caller_is_told_without_our_lines(run_notebook) -> None:
    *_, wrong = run_notebook(TASKS, "sums.run(cuont=3)")
    (error,) = wrong
    assert error["ename"] == "InvalidInput"
    assert len(error["traceback"]) == 1
    assert "cuont" in error["traceback"][0]


def test_the_stop_button_cancels_the_run(project, jupyter) -> None:
    cell = """
        import time
        from pathlib import Path
        from penstock import pipeline, task

        HERE = str(Path.cwd() / "here")

        @task
        def slow(here: str) -> int:
            Path(here).touch()
            time.sleep(600)
            return 1

        @pipeline
        def slowly() -> int:
            return slow(HERE)

        print("it is", slowly.run(check=False).state)
    """
    assert jupyter(INTERRUPT, dedent(cell), str(project.folder)) == "it is cancelled\n\n"
