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


def test_version_is_an_option_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--version"]) == program.main(["version"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and first.startswith("penstock ")


def test_a_parameter_without_its_option_is_told_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["run", "pipeline.py", "count=3"]) == program.INVALID
    assert capsys.readouterr().err == (
        "error: there is no place for count=3\n  A parameter is given with -p: -p count=3\n"
    )
