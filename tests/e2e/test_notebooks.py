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


# Apart from the tests' own process: the client has event loops and warnings of its own.
EXECUTE = """
    import sys
    import nbclient, nbformat

    path, folder = sys.argv[1:]
    notebook = nbformat.read(path, 4)
    client = nbclient.NotebookClient(
        notebook, kernel_name="under-test", timeout=120, resources={"metadata": {"path": folder}}
    )
    client.execute()
    nbformat.write(notebook, path)
"""


@pytest.fixture
def run_notebook(project, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[list[Any]]]:
    """Runs cells in a kernel of this Python, in the project's folder; the outputs of each cell."""
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

    def run(*cells: str) -> list[list[Any]]:
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(dedent(cell).strip()) for cell in cells])
        path = aside / "under-test.ipynb"
        nbformat.write(made, path)
        done = subprocess.run(
            [sys.executable, "-c", dedent(EXECUTE), str(path), str(project.folder)],
            env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
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
    _, failed, result = run_notebook(TASKS, "result = broken.run()", "result")
    html = html_of(failed)
    assert "ValueError: thirteen &lt;is&gt; too many" in html
    assert "about to break" in html
    assert "broken failed" in html
    assert "&lt;is&gt;" in html_of(result)
