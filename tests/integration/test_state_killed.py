"""A writer is killed with SIGKILL at random moments: what it acknowledged is there, and the database is sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLER = Path(__file__).with_name("state_killer.py")
KILLS = max(20, int(os.environ.get("PENSTOCK_TEST_KILLS", "0")))


@pytest.mark.kill
def test_what_was_acknowledged_outlives_sigkill(tmp_path: Path) -> None:
    command = [sys.executable, str(KILLER), str(tmp_path / "state" / "state.db"), str(KILLS), "20261120"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["rounds"] == KILLS
    assert report["task_runs"] >= 1_000, "the writers came to write"
