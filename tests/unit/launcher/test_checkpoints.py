"""Checkpoint folders: what an attempt leaves for the next one, and that no two have it at once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from penstock.launcher.inner.checkpoints import Checkpoint, folder_name, reclaim, replacing
from penstock.wire import Failed, Inline, Succeeded

Bench = Any
KEY = "ab" * 32


def _folders(root: Path) -> list[str]:
    return sorted(each.name for each in root.iterdir()) if root.exists() else []


# -- the folder --------------------------------------------------------------------------------------------------------


def test_a_folder_is_there_once_it_is_asked_for(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoints", KEY)
    assert not (tmp_path / "checkpoints").exists()
    folder = checkpoint.folder()
    assert folder == tmp_path / "checkpoints" / KEY == checkpoint.folder()
    assert folder.stat().st_mode & 0o077 == 0
    checkpoint.release(remove=False)


def test_what_is_left_is_found_under_the_same_address_alone(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path, KEY)
    (first.folder() / "batch").write_text("7")
    first.release(remove=False)
    again, other = Checkpoint(tmp_path, KEY), Checkpoint(tmp_path, "run1/fit")
    assert (again.folder() / "batch").read_text() == "7"
    assert list(other.folder().iterdir()) == []
    again.release(remove=True)
    other.release(remove=False)
    assert _folders(tmp_path) == [folder_name("run1/fit")]


def test_a_folder_is_one_attempts_at_a_time(tmp_path: Path) -> None:
    """The second gets it when the first has succeeded: empty, and not the one that was removed."""
    first, second = Checkpoint(tmp_path, KEY), Checkpoint(tmp_path, KEY)
    (first.folder() / "batch").write_text("7")
    seen: list[list[Path]] = []
    asking = threading.Thread(target=lambda: seen.append(list(second.folder().iterdir())))
    asking.start()
    asking.join(0.2)
    assert asking.is_alive() and not seen
    first.release(remove=True)
    asking.join(10)
    assert seen == [[]]
    assert _folders(tmp_path) == [KEY]
    second.release(remove=True)
    assert _folders(tmp_path) == []


def test_a_kill_gives_the_folder_free(tmp_path: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from penstock.launcher.inner.checkpoints import Checkpoint
        folder = Checkpoint(Path({str(tmp_path)!r}), {KEY!r}).folder()
        (folder / "batch").write_text("7")
        (folder / ".partial-model").write_text("hal")
        print("held", flush=True)
        sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    process.stdout.close()
    if process.stdin:
        process.stdin.close()
    after = Checkpoint(tmp_path, KEY)
    assert [each.name for each in after.folder().iterdir()] == ["batch"]
    after.release(remove=True)


# -- files in it -------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "model.npz"
    with replacing(place) as path:
        assert path.suffix == ".npz"  # libraries that go by it, or add it, write to this path
        path.write_text("one")
        assert not place.exists()
    with pytest.raises(RuntimeError), replacing(place) as path:
        path.write_text("tw")
        raise RuntimeError
    assert place.read_text() == "one"
    assert _folders(tmp_path) == ["model.npz"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", ".partial-x"])
def test_only_names_of_files_are_saved(bench: Bench, name: str) -> None:
    outcome = bench.outcome(f"from penstock import context\ndef f():\n    context().saving({name!r})")
    assert isinstance(outcome, Failed) and outcome.failure.type == "builtins:ValueError"


# -- reclaiming --------------------------------------------------------------------------------------------------------


def test_folders_of_no_living_address_are_reclaimed(tmp_path: Path) -> None:
    for address in (KEY, "cd" * 32, "run1/fit"):
        left = Checkpoint(tmp_path, address)
        (left.folder() / "part").mkdir()
        (left.folder() / "part" / "bytes").write_bytes(bytes(1000))
        left.release(remove=False)
    held = Checkpoint(tmp_path, "run2/fit")
    held.folder()
    assert reclaim(tmp_path, {KEY}, dry_run=True) == 2000
    assert len(_folders(tmp_path)) == 4
    assert reclaim(tmp_path, {KEY}, dry_run=False) == 2000
    assert _folders(tmp_path) == sorted([KEY, folder_name("run2/fit")])
    held.release(remove=False)
    assert reclaim(tmp_path / "nothing", (), dry_run=False) == 0


# -- attempts ----------------------------------------------------------------------------------------------------------

COUNTING = """
    from penstock import context

    def f(failing: bool):
        folder = context().checkpoint
        count = int((folder / "count").read_text()) if (folder / "count").exists() else 0
        with context().saving("count") as path:
            path.write_text(str(count + 1))
        if failing:
            raise ValueError("not this time")
        return count
"""


def test_an_attempt_goes_on_where_the_last_one_failed_and_success_removes(bench: Bench) -> None:
    root = bench.scratch.with_name("checkpoints")
    module = bench.module(COUNTING)
    for _ in range(2):
        assert isinstance(bench.again(module, inputs={"failing": Inline(True)}).outcome, Failed)
    assert _folders(root) == [folder_name("run1/train/3/fit")]
    assert bench.again(module, inputs={"failing": Inline(False)}).outcome == Succeeded({"output": Inline(2)})
    # A crash before the outcome is recorded must leave the checkpoint.
    assert _folders(root) == [folder_name("run1/train/3/fit")]
    bench.launcher.settle(succeeded=True)
    assert _folders(root) == []


def test_outside_an_attempt_there_is_a_checkpoint_folder_too() -> None:
    program = """
        from penstock import context
        folder = context().checkpoint
        with context().saving("a") as path:
            path.write_text("1")
        assert context().checkpoint == folder and (folder / "a").read_text() == "1"
        print(folder)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, env=os.environ
    )
    assert not Path(done.stdout.strip()).exists()
