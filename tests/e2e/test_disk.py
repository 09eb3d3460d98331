"""A disk that fills, or turns read-only, under a run: a clear error, and a later run goes on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PIPELINE = """
    import os
    import time
    from pathlib import Path

    from penstock import pipeline, task


    @task
    def first() -> int:
        with Path("first.txt").open("a") as file:
            file.write("x")
        return 1


    @task
    def large(one: int) -> Path:
        Path("begun").write_text("")
        while not Path("go").exists():
            time.sleep(0.01)
        Path("large.bin").write_bytes(os.urandom(int(os.environ["LARGE_MIB"]) << 20))
        return Path("large.bin")


    @task
    def size(path: Path) -> int:
        return path.stat().st_size


    @pipeline
    def fills() -> int:
        return size(large(first()))
"""

SMALL_MIB = 16


def in_small_disk(project, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a mount namespace of its own, with a small tmpfs as the state folder; `penstock` is on its
    path."""
    if sys.platform != "linux":
        pytest.skip("mount namespaces are Linux's")
    state = project.folder / ".penstock"
    state.mkdir(mode=0o700)
    inside = ["unshare", "--mount"] + (["--map-root-user", "--user"] if os.geteuid() else [])
    mount = f"mount -t tmpfs -o size={SMALL_MIB}m,mode=700 tmpfs {state}"
    refused = subprocess.run([*inside, "sh", "-c", mount], capture_output=True, text=True)
    if refused.returncode:
        assert "PENSTOCK_TEST_REQUIRE_ALL" not in os.environ, refused.stderr
        pytest.skip(f"no small disk can be mounted here: {refused.stderr}")
    program = f'penstock() {{ "{sys.executable}" -m penstock.cli.main "$@"; }}\n'
    return subprocess.run(
        [*inside, "sh", "-c", f"{mount} && cd {project.folder}\n{program}{script}"],
        env={**project.environment, "LARGE_MIB": "1"}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def test_a_disk_that_fills(project) -> None:
    project.write("fills.py", PIPELINE)
    script = """
        touch go
        LARGE_MIB=64 penstock run fills.py; echo "first: $?"
        penstock runs
        penstock run fills.py; echo "second: $?"
        penstock runs
    """
    done = in_small_disk(project, script)
    told = done.stdout + done.stderr
    assert "first: 1" in done.stdout, told
    assert "no space is left on its file system" in " ".join(done.stderr.split()), told
    assert "second: 0" in done.stdout, told
    assert "a defect of Penstock" not in told, told


@contextmanager
def immutable(folder: Path) -> Iterator[None]:
    """Nobody may change what is in the folder, not even root. Files that processes have mapped stay as they are: where
    a disk turns read-only, what is mapped can be written in memory still, but an immutable file answers with SIGBUS."""
    paths = [folder, *(path for path in folder.rglob("*") if not path.name.endswith(("-shm", ".slot")))]
    names = [str(path) for path in paths]
    refused = subprocess.run(["chattr", "+i", *names], capture_output=True, text=True)
    try:
        if refused.returncode:
            assert "PENSTOCK_TEST_REQUIRE_ALL" not in os.environ, refused.stderr
            pytest.skip(f"nothing can be made immutable here: {refused.stderr}")
        yield
    finally:
        subprocess.run(["chattr", "-i", *names], capture_output=True)


def test_a_folder_that_turns_read_only_while_a_run_uses_it(project) -> None:
    project.write("fills.py", PIPELINE)
    process = project.start("run", "fills.py", LARGE_MIB="1")
    end = time.monotonic() + 30
    while not (project.folder / "begun").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    with immutable(project.folder / ".penstock"):
        (project.folder / "go").write_text("")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert ".penstock" in err, err
        assert "writable" in err or "read-only" in err, err
        assert "a defect of Penstock" not in err
        refused = project.call("run", "fills.py", LARGE_MIB="1")
        assert refused.status == 1, refused.err
        assert "a defect of Penstock" not in refused.err
    done = project.call("retry", "latest", LARGE_MIB="1")
    assert (done.status, done.out) == (0, f"output = {1 << 20}\n"), done.err
    assert (project.folder / "first.txt").read_text().startswith("x")
