"""The example that learns from images: on drawn ones wherever torch is, on real ones where they are installed or
`PENSTOCK_TEST_IMAGES` names their folder (tools/get-images fetches them)."""

from __future__ import annotations

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "fashion"
NEEDED = ("matplotlib", "numpy", "torch")
INSTALLED = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture
def example(project: Any) -> Any:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    for file in EXAMPLE.glob("*.py"):
        shutil.copy(file, project.folder)
    return project


def draw(folder: Path, count: int) -> Path:
    """Ten kinds of patterns with much noise, in the format of the real files, the test images unpacked."""
    import gzip

    import numpy as np

    folder.mkdir()
    random = np.random.default_rng(5)
    patterns = random.integers(0, 160, (10, 28, 28))
    for name, size in (("train", count), ("t10k", count // 5)):
        kinds = random.integers(0, 10, size, dtype=np.uint8)
        images = (patterns[kinds] + random.integers(0, 96, (size, 28, 28))).astype(np.uint8)
        for what, items in (("images-idx3", images), ("labels-idx1", kinds)):
            data = bytes([0, 0, 8, items.ndim]) + np.array(items.shape, ">u4").tobytes() + items.tobytes()
            packed = name == "train"
            file = folder / f"{name}-{what}-ubyte{'.gz' if packed else ''}"
            file.write_bytes(gzip.compress(data, 1) if packed else data)
    return folder


def test_the_example_is_valid(example: Any) -> None:
    done = example.call("check", "pipeline.py")
    assert (done.status, done.err) == (0, "")


@pytest.mark.timeout(400)
def test_training_ends_early_and_the_rounds_are_task_runs(example: Any) -> None:
    folder = draw(example.folder / "drawn", 2_000)
    arguments = ("run", "pipeline.py", "-p", f"folder={folder}", "-p", "patience=1", "--json")
    run = example.call(*arguments, timeout=300).json
    assert run["state"] == "succeeded"
    outputs = run["outputs"]
    assert outputs["metrics"]["images"] == 400
    assert outputs["metrics"]["accuracy"] > 0.95
    rounds = [task_run["path"] for task_run in run["task_runs"] if task_run["path"].endswith("/train")]
    assert rounds == [f"one_round/{number}/train" for number in range(1, outputs["rounds"] + 1)]
    assert outputs["rounds"] < 12, "it ends when nothing becomes better"
    assert example.call("get", "latest", "write_report", "-o", str(example.folder / "shown")).status == 0
    page = (example.folder / "shown" / "report.md").read_text()
    assert f"ended after {outputs['rounds']} rounds, since nothing had become better" in page
    assert f"| network | {outputs['metrics']['accuracy']:.4f} |" in page

    # More patience goes on from the rounds that were trained.
    longer = example.call(*arguments[:-2], "patience=2", "--json", timeout=300).json
    assert longer["outputs"]["rounds"] > outputs["rounds"]
    origins = {task_run["path"]: task_run["origin"] for task_run in longer["task_runs"]}
    assert {origins[path] for path in rounds} == {"cached"}


@pytest.mark.kill
@pytest.mark.timeout(400)
def test_a_round_that_is_killed_goes_on_where_it_saved(example: Any) -> None:
    """And comes to the very same weights as one that was not."""
    folder = draw(example.folder / "drawn", 5_000)
    arguments = ("run", "pipeline.py", "-p", f"folder={folder}", "-p", "patience=1", "-p", "batch=16")
    process = example.start(*arguments)
    saves = example.folder / ".penstock" / "checkpoints"
    end = time.monotonic() + 200
    while not list(saves.glob("*/training.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    psutil.wait_procs(below, timeout=20)
    done = example.call("retry", "latest", timeout=300)
    assert done.status == 0, done.err
    assert "round 1 goes on after" in example.call("logs", "latest", "one_round/1/train").out
    weights = digest_of(example, "one_round/1/train")
    done = example.call(*arguments, "--no-cache", timeout=300)
    assert done.status == 0, done.err
    assert "goes on" not in example.call("logs", "latest", "one_round/1/train").out
    assert digest_of(example, "one_round/1/train") == weights


def digest_of(project: Any, task: str) -> str:
    digest = project.call("get", "latest", task, "--json").json["value"]["artifact"]
    assert isinstance(digest, str)
    return digest


@pytest.mark.timeout(400)
def test_real_images(example: Any) -> None:
    """A few of them: better than the baseline, and not too good to be true."""
    folder = Path(os.environ.get("PENSTOCK_TEST_IMAGES") or INSTALLED)
    if not list(folder.glob("train-images-idx3-ubyte*")):
        pytest.skip(f"no images in {folder}: apt install dataset-fashion-mnist, or tools/get-images FOLDER")
    arguments = ("-p", f"folder={folder}", "-p", "images_max=4000", "-p", "patience=1", "--json")
    run = example.call("run", "pipeline.py", *arguments, timeout=300).json
    assert run["state"] == "succeeded"
    metrics, baseline = run["outputs"]["metrics"], run["outputs"]["baseline"]
    assert metrics["images"] == 4_000
    assert 0.4 < baseline["accuracy"] < metrics["accuracy"] < 0.995
