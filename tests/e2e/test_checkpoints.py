"""The example that trains in batches, killed with SIGKILL in the middle: it goes on at the batch that it saved last, and
comes to the same model."""

from __future__ import annotations

import os
import re
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "checkpoints"
NEEDED = ("joblib", "numpy", "sklearn")
EPOCHS = 40
BATCHES = EPOCHS * 42


@pytest.fixture
def example(project: Any) -> Any:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and os.environ.get("PENSTOCK_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"required, but not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    shutil.copy(EXAMPLE / "pipeline.py", project.folder)
    return project


def saved_batches(project: Any) -> int:
    """The batch of the checkpoint that is there; 0 for none."""
    import joblib

    found = list((project.folder / ".penstock" / "checkpoints").glob("*/training.joblib"))
    if not found:
        return 0
    try:
        return int(joblib.load(found[0])[1])
    except FileNotFoundError:
        return 0  # the task has just succeeded


def wait_for(condition: Any, process: Any) -> None:
    end = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def begun_at(project: Any, attempt: str) -> int:
    printed = project.call("logs", "latest", attempt).out
    found = re.search(rf"(?:begins|goes on) at batch (\d+) of {BATCHES}", printed)
    assert found, printed
    return int(found[1])


def model_digest(project: Any) -> str:
    digest = project.call("get", "latest", "fit", "--json").json["value"]["artifact"]
    assert isinstance(digest, str)
    return digest


def checkpoints(project: Any) -> list[Path]:
    return list((project.folder / ".penstock" / "checkpoints").iterdir())


def worker_of(process: Any) -> psutil.Process:
    """The process that trains: of all below the controller the one that has taken the checkpoint folder."""
    below = psutil.Process(process.pid).children(recursive=True)
    return next(each for each in below if any("checkpoints" in place for place in _open_places(each)))


def _open_places(process: psutil.Process) -> list[str]:
    return [os.readlink(descriptor) for descriptor in Path(f"/proc/{process.pid}/fd").iterdir()]


@pytest.mark.kill
@pytest.mark.timeout(300)
def test_training_goes_on_at_the_batch_that_was_saved(example: Any) -> None:
    # The worker is killed: another attempt of the same run goes on.
    arguments = ("run", "pipeline.py", "-p", f"epochs={EPOCHS}", "--json")
    process = example.start(*arguments)
    wait_for(lambda: saved_batches(example) >= 100, process)
    worker_of(process).kill()
    err = process.communicate(timeout=200)[1]
    assert process.returncode == 0, err
    assert begun_at(example, "fit#1") == 0
    assert 100 <= begun_at(example, "fit#2") < BATCHES
    assert begun_at(example, "fit#2") % 50 == 0
    digest, score = model_digest(example), example.call("get", "latest", "score", "--json").json
    assert checkpoints(example) == []

    # Everything is killed: the run that is resumed goes on, at exactly the batch that was saved.
    process = example.start(*arguments[:-1], "--no-cache")
    wait_for(lambda: saved_batches(example) >= 100, process)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(below, timeout=20)
    saved = saved_batches(example)
    assert saved >= 100
    done = example.call("retry", "latest", timeout=200)
    assert done.status == 0, done.err
    assert begun_at(example, "fit#2") == saved
    # What training came to does not tell where it was killed.
    assert model_digest(example) == digest
    assert example.call("get", "latest", "score", "--json").json == score
    assert checkpoints(example) == []


@pytest.mark.timeout(200)
def test_changed_code_begins_anew_and_gc_removes_what_is_left(example: Any) -> None:
    pipeline = example.folder / "pipeline.py"
    text = pipeline.read_text()
    failing = text.replace("    return model\n", "    raise ValueError('not yet')\n")
    assert failing != text
    pipeline.write_text(failing)
    assert example.call("run", "pipeline.py", "-p", "epochs=3").status == 1
    assert "begins at batch 0 of 126" in example.call("logs", "latest", "fit").out
    left = checkpoints(example)
    assert len(left) == 1
    # The same code goes on.
    done = example.call("retry", "latest")
    assert done.status == 1
    assert "goes on at batch 100 of 126" in example.call("logs", "latest", "fit").out
    assert checkpoints(example) == left
    # Other code does not.
    pipeline.write_text(text)
    assert example.call("retry", "latest").status == 0
    assert "begins at batch 0 of 126" in example.call("logs", "latest", "fit").out
    # What failed may still be gone on with; once its runs are gone, nothing needs it.
    assert example.call("gc").status == 0
    assert checkpoints(example) == left
    assert example.call("gc", PENSTOCK_RUNS_KEPT="1").status == 0
    assert checkpoints(example) == []
