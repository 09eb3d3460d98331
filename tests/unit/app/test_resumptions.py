"""Which interrupted runs are resumed alongside others."""

from __future__ import annotations

from pathlib import Path

from penstock.app.resumptions import UNEXPLAINED_MAX, Resumptions

RUN = "1abc"


def test_a_run_is_resumed_until_it_has_ended_a_controller(tmp_path: Path) -> None:
    notes = Resumptions(tmp_path)
    assert notes.refusal(RUN) == ""
    notes.begun(RUN)
    assert notes.refusal(RUN) == ""
    notes.failed(RUN, KeyError("log"))
    assert notes.refusal(RUN) == "resuming it ended Penstock (KeyError: 'log')"
    assert Resumptions(tmp_path).refusal(RUN) == notes.refusal(RUN)
    assert notes.refusal("another") == ""
    notes.ended(RUN)
    assert notes.refusal(RUN) == ""


def test_controllers_may_be_killed_many_times(tmp_path: Path) -> None:
    notes = Resumptions(tmp_path)
    for _ in range(UNEXPLAINED_MAX):
        assert notes.refusal(RUN) == ""
        notes.begun(RUN)
    assert notes.refusal(RUN) == f"the last {UNEXPLAINED_MAX} processes that resumed it ended without a word"


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    notes = Resumptions(tmp_path)
    notes.begun(RUN)
    (tmp_path / "resumptions" / f"{RUN}.json").write_text("[")
    assert notes.refusal(RUN) == ""
