"""`penstock doctor` on this machine."""

from __future__ import annotations

import socket
import sqlite3

NAMES = ["settings", "platform", "python", "versions", "disk", "journal", "machine", "limits", "gpus", "clock", "ports"]


def test_doctor_looks_at_everything_and_leaves_nothing(project) -> None:
    done = project.call("doctor", "--json")
    found = {finding["name"]: finding for finding in done.json}
    assert list(found) == NAMES
    assert done.status == (1 if any(finding["verdict"] == "bad" for finding in found.values()) else 0)
    for name in ("settings", "platform", "python", "versions", "machine"):
        assert found[name]["verdict"] == "ok", found[name]
    assert all(finding["fix"] for finding in found.values() if finding["verdict"] != "ok")
    assert found["disk"]["facts"]["sync_ms"] > 0
    assert found["disk"]["facts"]["write_mb_s"] > 0
    assert found["journal"]["facts"]["wal"] is True
    assert found["limits"]["facts"]["by"] in ("groups", "watcher")
    assert found["versions"]["facts"]["penstock"]
    assert list(project.folder.iterdir()) == []


def test_doctor_in_words(project) -> None:
    done = project.call("doctor")
    lines = [line for line in done.out.splitlines() if not line.startswith(" ")]
    assert [line.split()[1] for line in lines] == NAMES
    assert {line.split()[0] for line in lines} <= {"ok", "warn", "bad"}


def test_what_is_bad_is_told_with_the_exit_status(project) -> None:
    project.write("pyproject.toml", "[tool.penstock]\nstaet = 'here'\n")
    done = project.call("doctor")
    assert done.status == 1
    assert "bad   settings  staet in" in done.out
    assert "docs/settings.md" in done.out
    project.write("pyproject.toml", "")
    done = project.call("doctor", "--json", PENSTOCK_STATE="/proc/nothing/here")
    found = {finding["name"]: finding for finding in done.json}
    assert done.status == 1
    assert found["disk"]["verdict"] == "bad"
    assert "PENSTOCK_STATE" in found["disk"]["fix"]


def test_ports_that_are_taken_are_named(project) -> None:
    with socket.socket() as taken:
        for port in range(4870, 4880):
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            taken.listen()
            break
        done = project.call("doctor", "--json")
    ports = next(finding for finding in done.json if finding["name"] == "ports")
    assert port in ports["facts"]["taken"]
    assert port not in ports["facts"]["free"]


def test_a_run_from_the_future_says_that_the_clock_went_back(project) -> None:
    project.write("one.py", """
        from penstock import pipeline, task


        @task
        def one() -> int:
            return 1


        @pipeline
        def ones() -> int:
            return one()
    """)  # fmt: skip
    assert project.call("run", "one.py").status == 0
    with sqlite3.connect(project.folder / ".penstock" / "state.db") as database:
        database.execute("UPDATE runs SET fixed_checksum = NULL, created_at = created_at + 7200000")
    database.close()
    clock = next(finding for finding in project.call("doctor", "--json").json if finding["name"] == "clock")
    assert clock["verdict"] == "warn"
    assert "in the future" in clock["text"]


def test_an_unknown_time_zone_is_named(project) -> None:
    clock = next(f for f in project.call("doctor", "--json", TZ="Mars/Base").json if f["name"] == "clock")
    assert (clock["verdict"], "Mars/Base" in clock["text"]) == ("warn", True)
