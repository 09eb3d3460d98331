"""Counting the kernel's kills for want of memory, in files as either version of control groups writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.launcher.outer import groups
from penstock.launcher.outer.groups import Kills, counter


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory.events", "low 0\noom 3\noom_kill {}\noom_group_kill 0\n"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"),
    ],
)
def test_kills_are_counted_since_they_were_last_asked(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / name
    file.write_text(text.format(2))
    monkeypatch.setattr(groups, "cgroup_files", lambda controller, wanted: [file] if wanted == name else [])
    kills = Kills()
    assert not kills.has_killed()
    file.write_text(text.format(3))
    assert kills.has_killed()
    assert not kills.has_killed()
    file.write_text(text.format(5))
    kills.forget()
    assert not kills.has_killed()


def test_a_group_that_this_process_has_come_into_since_counts_from_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    files[0].write_text("oom_kill 7\n")
    monkeypatch.setattr(groups, "cgroup_files", lambda controller, wanted: [files[0]])
    kills = Kills()
    files[1].write_text("oom_kill 1\n")
    files.reverse()
    assert kills.has_killed()


def test_a_counter_is_found_by_its_whole_name() -> None:
    assert counter(b"oom_kill_disable 4\noom_kill 1\n", "oom_kill") == 1
    assert counter(b"oom_kill 1\n", "oom_kill") == 1
    assert counter(b"oom_kill_disable 4\n", "oom_kill") is None
    assert counter(b"", "oom_kill") is None
