"""Code digests beyond yes and no: what they are made of, what is kept between processes, what a reader is told."""

from __future__ import annotations

import hashlib
import json
import marshal
import os
import stat
from pathlib import Path

import pytest

from penstock.code.kept import Kept, secret_of
from penstock.code.model import ComponentCode, Unit, Unresolved, code_from_json, codes_from_json, codes_to_json
from penstock.code.statements import facts_of
from penstock.testing.apart import codes_apart


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "m.py").write_text(
        "import os\nfrom penstock import task\nimport helper\n"
        "@task\ndef fit() -> int:\n    return helper.outer()\n"
        "@task\ndef bad(text: str) -> int:\n\n    return eval(text)\n"
    )
    (folder / "helper.py").write_text(
        "def outer():\n    def inner():\n        return SCALE\n    return inner()\n"
        "class Model:\n    def run(self):\n        return 1\nSCALE = 3\n"
    )
    return folder


def test_a_code_says_what_it_is_made_of(project: Path) -> None:
    code = codes_apart(project, "m")["fit"]
    assert set(code.units) == {"m:fit", "helper:outer", "helper:SCALE"}
    assert set(code.functions) == {"m:fit", "helper:outer", "helper:outer.<locals>.inner"}
    assert set(code.parts) == {"python"}


def test_what_cannot_be_followed_has_a_place(project: Path) -> None:
    (reason,) = codes_apart(project, "m")["bad"].unresolved
    assert reason == "m:bad: eval runs code that is made as it goes (m.py:10)"


def test_the_blob_holds_what_is_shared_once() -> None:
    shared = Unit("m:helper", "1" * 64, "m", ("helper",), "def helper(): pass\n")
    own = Unit("m:fit", "2" * 64, "m", ("fit",), "def fit(): pass\n")
    trouble = Unresolved("m:fit", "eval", "m.py", 3)
    codes = {
        "m:fit": ComponentCode("a", "b", {"python": "3.11"}, (trouble,), "1", (own, shared)),
        "m:other": ComponentCode("c", "d", {}, (), None, (shared,)),
    }
    data = json.loads(json.dumps(codes_to_json(codes)))
    assert codes_from_json(data) == codes
    assert code_from_json(data, "m:other") == codes["m:other"] and code_from_json(data, "m:none") is None
    assert json.dumps(data).count("def helper") == 1
    assert codes["m:fit"].sources == {"m:fit": own.source, "m:helper": shared.source}


def test_only_what_has_changed_is_read_again(project: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    first = codes_apart(project, "m", scratch=scratch)
    kept = {path.name for path in (scratch / "code").iterdir()}
    (project / "helper.py").write_text((project / "helper.py").read_text().replace("SCALE = 3", "SCALE = 4"))
    second = codes_apart(project, "m", scratch=scratch)
    added = {path.name for path in (scratch / "code").iterdir()} - kept
    assert sorted(name.partition("-")[0] for name in added) == ["facts", "linked"]
    assert first["fit"].key != second["fit"].key and first["bad"].key == second["bad"].key


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\0" * 100])
def test_what_is_kept_and_damaged_is_worked_out_again(project: Path, tmp_path: Path, damage: bytes) -> None:
    scratch = tmp_path / "scratch"
    whole = codes_apart(project, "m", scratch=scratch)
    for path in (scratch / "code").iterdir():
        path.write_bytes(damage)
    assert codes_apart(project, "m", scratch=scratch) == whole


def test_the_answer_is_the_same_with_and_without_what_is_kept(project: Path, tmp_path: Path) -> None:
    codes_apart(project, "m", scratch=tmp_path / "scratch")
    assert codes_apart(project, "m", scratch=tmp_path / "scratch") == codes_apart(project, "m")


def test_a_copy_of_a_project_elsewhere_counts_as_the_same(project: Path, tmp_path: Path) -> None:
    import shutil

    (project / "helper.py").write_text(
        "from pathlib import Path\nHERE = Path(__file__).parent\ndef outer():\n    return HERE\n"
    )
    shutil.copytree(project, tmp_path / "copy")
    assert codes_apart(project, "m")["fit"].key == codes_apart(tmp_path / "copy", "m")["fit"].key


def test_hash_order_does_not_show(project: Path) -> None:
    (project / "helper.py").write_text(
        'SETS = [{"a", "b", "c", "d"}, frozenset("xyz")]\ndef outer():\n    return SETS\n'
    )
    import subprocess
    import sys

    code = (
        "from pathlib import Path; from penstock.testing.apart import codes_apart;"
        f"print(codes_apart(Path({str(project)!r}), 'm')['fit'].key)"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(keys) == 1


def test_a_module_that_fails_to_import_late_counts_by_that(project: Path) -> None:
    (project / "m.py").write_text(
        "from penstock import task\n@task\ndef fit() -> int:\n    from late import DATA\n    return DATA\n"
    )
    (project / "late.py").write_text("import not_installed_anywhere\nDATA = int('3')\n")
    code = codes_apart(project, "m")["fit"]
    assert code.parts["module:late"] == "ModuleNotFoundError"
    assert code.unresolved == ()


def test_facts_of_a_source_that_does_not_parse() -> None:
    assert "cannot be parsed" in facts_of(b"def f(:\n", module="m", is_package=False).error


def test_kept_files_are_pruned(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "code")
    for number in range(10):
        kept.write(f"linked-{number}", number)
        os.utime(tmp_path / "code" / f"linked-{number}", ns=(number, number))
    kept.prune("linked-", files_max=6)
    assert sorted(path.name for path in (tmp_path / "code").iterdir()) == ["linked-7", "linked-8", "linked-9"]
    assert kept.read("linked-9") == 9 and kept.read("linked-0") is None


def test_what_another_user_has_put_among_kept_files_is_not_read(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "code")
    kept.write("facts-a", ("mine",))
    stored = (tmp_path / "code" / "facts-a").read_bytes()
    data = marshal.dumps(("planted",))
    for digest in (hashlib.sha256(data).digest(), stored[:32], b""):
        (tmp_path / "code" / "facts-b").write_bytes(digest + data)
        assert kept.read("facts-b") is None
    (tmp_path / "code" / "facts-b").write_bytes(stored)
    assert kept.read("facts-b") is None, "the same bytes under another name"
    assert Kept(tmp_path / "code").read("facts-a") == ("mine",)


@pytest.mark.parametrize("spoilt", ["known to others", "a link", "too short"])
def test_a_secret_that_others_may_know_is_replaced(tmp_path: Path, spoilt: str) -> None:
    known = tmp_path / "known"
    known.write_bytes(b"k" * 32)
    known.chmod(0o600)
    secret = tmp_path / "scratch" / "secret"
    secret.parent.mkdir()
    if spoilt == "a link":
        secret.symlink_to(known)
    else:
        secret.write_bytes(b"k" * (32 if spoilt == "known to others" else 31))
        secret.chmod(0o644 if spoilt == "known to others" else 0o600)
    found = secret_of(secret.parent)
    assert found is not None and found != b"k" * 32
    assert secret.read_bytes() == found and not secret.is_symlink()
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert known.read_bytes() == b"k" * 32
