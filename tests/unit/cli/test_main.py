"""The program's own manners, before any verb is called."""

from __future__ import annotations

import pytest

from penstock.cli import main as program


def test_windows_is_refused_politely(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(program.sys, "platform", "win32")
    assert program.main(["doctor"]) == program.INVALID
    said = capsys.readouterr()
    assert said.out == ""
    assert "Penstock needs Linux or macOS" in said.err
    assert "WSL 2" in said.err
