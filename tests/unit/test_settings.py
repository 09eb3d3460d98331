from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.base.errors import InvalidInput
from penstock.settings import TABLE, find_project, load


def project(folder: Path, text: str = "") -> Path:
    (folder / "pyproject.toml").write_text(text)
    return folder


def test_later_places_overrule_earlier_ones(tmp_path: Path) -> None:
    project(tmp_path, '[tool.penstock]\ncpu = 1\ngrace_ms = "2s"\nlease_ms = 5000\n')
    settings = load(tmp_path, environment={"PENSTOCK_CPU": "2", "PENSTOCK_GRACE_MS": "3s"}, options={"cpu": 3})
    assert (settings.cpu, settings.grace_ms, settings.lease_ms) == (3.0, 3_000, 5_000)


def test_nothing_given_leaves_the_machine_to_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(tmp_path, environment={})
    assert settings.cpu is None
    assert settings.memory_bytes is None
    assert settings.state == tmp_path / ".penstock"


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("memory_bytes", "8GiB", 8 << 30),
        ("memory_bytes", "1000", 1000),
        ("memory_bytes", 1000, 1000),
        ("grace_ms", "1m", 60_000),
        ("grace_ms", 250, 250),
        ("grace_ms", "250", 250),
        ("cpu", "0.5", 0.5),
        ("resources", "b=2, a=1", {"a": 1.0, "b": 2.0}),
        ("resources", {"a": 1}, {"a": 1.0}),
    ],
)
def test_forms(tmp_path: Path, name: str, value: object, read: object) -> None:
    assert getattr(load(tmp_path, environment={}, options={name: value}), name) == read


@pytest.mark.parametrize(
    ("name", "value"),
    [("cpu", "many"), ("cpu", True), ("cpu", 0), ("cpu", "nan"), ("memory_bytes", "8 cows"), ("memory_bytes", -1),
     ("grace_ms", "-1"), ("grace_ms", 1.5), ("grace_ms", True), ("resources", "a"), ("resources", [1]), ("state", "")],
)  # fmt: skip
def test_a_wrong_form_says_what_it_takes(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"it takes {TABLE[name].form}")):
        load(tmp_path, environment={}, options={name: value})


def test_every_wrong_key_is_named_at_once_with_its_place_and_nearest_name(tmp_path: Path) -> None:
    project(tmp_path, "[tool.penstock]\ncpus = 1\n")
    with pytest.raises(InvalidInput) as caught:
        load(tmp_path, environment={"PENSTOCK_MEMORY": "1", "PENSTOCK_TEST_ANY": "1", "OTHER": "1"})
    assert caught.value.message.splitlines() == [
        f"cpus in {tmp_path}/pyproject.toml: no such setting; did you mean cpu or gpus?",
        "PENSTOCK_MEMORY in the environment: no such setting; did you mean memory_bytes?",
    ]


def test_a_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    project(tmp_path, "[tool.penstock\n")
    with pytest.raises(InvalidInput, match=r"pyproject\.toml is not TOML"):
        load(tmp_path, environment={})


def test_project_is_the_nearest_folder_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner, elsewhere = tmp_path / "a" / "b", tmp_path / "c" / "d"
    inner.mkdir(parents=True)
    elsewhere.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    assert find_project(inner).folder == elsewhere, "nothing says so: the current folder"
    project(tmp_path / "c")
    assert find_project(inner).folder == tmp_path / "c", "above the current folder"
    project(tmp_path)
    assert find_project(inner).folder == tmp_path
    (tmp_path / "a" / ".penstock").mkdir()
    assert find_project(inner).folder == tmp_path, "state alone does not make a project"
    (tmp_path / "a" / "penstock.toml").write_text("")
    assert find_project(inner).folder == tmp_path / "a"


def test_a_penstock_toml_holds_settings_and_overrules_the_pyproject_next_to_it(tmp_path: Path) -> None:
    project(tmp_path, "[tool.penstock]\ncpu = 1\nruns_kept = 7\n")
    (tmp_path / "penstock.toml").write_text("cpu = 2\n")
    settings = load(tmp_path, environment={})
    assert (settings.cpu, settings.runs_kept) == (2.0, 7)
    (tmp_path / "penstock.toml").write_text("cpus = 2\n")
    with pytest.raises(InvalidInput, match=r"cpus in .*penstock\.toml: no such setting"):
        load(tmp_path, environment={})


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_project_in_a_folder_that_others_may_write_to_is_passed_over(tmp_path: Path, mode: int) -> None:
    project(tmp_path, "[tool.penstock]\ncpu = 1\n")
    shared = tmp_path / "shared"
    inner = shared / "mine"
    inner.mkdir(parents=True)
    project(shared, "[tool.penstock]\ncpu = 2\n")
    shared.chmod(mode)
    settings = load(inner, environment={})
    assert (settings.project, settings.cpu) == (tmp_path, 1.0)
    assert settings.warnings == (f"{shared}/pyproject.toml is passed over: of its folder, every user may write to it",)
    settings = load(inner, environment={"PENSTOCK_TRUSTED": str(shared)})
    assert (settings.project, settings.cpu, settings.warnings) == (shared, 2.0, ())


def test_a_project_file_that_others_may_write_to_is_passed_over(tmp_path: Path) -> None:
    project(tmp_path, "[tool.penstock]\ncpu = 1\n")
    (tmp_path / "pyproject.toml").chmod(0o666)
    (tmp_path / "penstock.toml").write_text("cpu = 2\n")
    settings = load(tmp_path, environment={})
    assert (settings.project, settings.cpu) == (tmp_path, 2.0)
    assert settings.warnings == (f"{tmp_path}/pyproject.toml is passed over: every user may write to it",)


def test_a_project_cannot_say_that_it_is_trusted(tmp_path: Path) -> None:
    project(tmp_path, '[tool.penstock]\ntrusted = ["/"]\n')
    with pytest.raises(InvalidInput, match=r"trusted in .*: only PENSTOCK_TRUSTED in the environment can set it"):
        load(tmp_path, environment={})
    with pytest.raises(InvalidInput, match="PENSTOCK_TRUSTED in the environment: not absolute"):
        load(tmp_path / "none", environment={"PENSTOCK_TRUSTED": "here"})


def test_state_is_relative_to_the_project(tmp_path: Path) -> None:
    project(tmp_path, '[tool.penstock]\nstate = "../elsewhere"\n')
    assert load(tmp_path, environment={}).state == tmp_path.parent / "elsewhere"


@pytest.mark.parametrize(
    ("name", "value"), [("items_max", 10), ("items_max", 10**9), ("items_max", True), ("parameter_bytes_max", "1GiB")]
)
def test_limits_have_limits(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(InvalidInput, match=name):
        load(tmp_path, environment={}, options={name: value})
