"""Two users of one machine: what one of them has put next to, above or into the other's project is not run by the other."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from penstock.app.places import SCRATCH, make_state_folder, refuse_foreign
from penstock.base.errors import PenstockError
from penstock.code.kept import Kept
from penstock.settings import load

ROOT, NOBODY, OTHER = 0, 65534, 65533

pytestmark = pytest.mark.skipif(os.geteuid() != ROOT, reason="only root can act as two users")

PIPELINE = """
    from penstock import pipeline, task


    @task
    def one() -> int:
        return 1


    @pipeline
    def ones() -> int:
        return one()
"""


def as_user(uid: int, do: Callable[[], Any]) -> Any:
    """What `do` answers, as JSON, in a process of another user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os.write(writer, json.dumps(do()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as answers:
        answer = answers.read()
    assert os.waitpid(child, 0)[1] == 0, f"user {uid} failed"
    return json.loads(answer)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user may write to, in a place that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-shared-")).resolve()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def compiled_name(source: bytes, path: Path) -> str:
    tag = f"{sys.implementation.cache_tag}\0{sys.flags.optimize}\0{path}\0".encode() + importlib.util.MAGIC_NUMBER
    return hashlib.sha256(tag + source).hexdigest()


def plant(state: Path, source: bytes, path: Path, mark: Path) -> None:
    """Put compiled code for a source into a state folder, so that it touches `mark`; whoever can write there can."""
    folder = state / SCRATCH / "compiled"
    folder.mkdir(parents=True, exist_ok=True)
    data = marshal.dumps(compile(f"open({str(mark)!r}, 'w')\n{source.decode()}", str(path), "exec"))
    (folder / compiled_name(source, path)).write_bytes(hashlib.sha256(data).digest() + data)


def mine(shared: Path, uid: int) -> Path:
    folder = shared / "mine"
    folder.mkdir(mode=0o755)
    (folder / "ones.py").write_text(dedent(PIPELINE).lstrip())
    for path in (folder, folder / "ones.py"):
        os.chown(path, uid, uid)
    return folder


def test_check_runs_nothing_that_another_user_has_planted_above(project, shared: Path) -> None:
    folder = mine(shared, ROOT)
    source, mark = (folder / "ones.py").read_bytes(), shared / "mark"

    def attack() -> None:
        (shared / "pyproject.toml").write_text('[tool.penstock]\nstate = ".penstock"\n')
        plant(shared / ".penstock", source, folder / "ones.py", mark)

    as_user(NOBODY, attack)
    project.folder = folder
    checked = project.call("check", "ones.py")
    assert checked.status == 0, checked.err
    assert checked.err == f"warning: {shared}/pyproject.toml is passed over: it belongs to user nobody\n"
    ran = project.call("run", "ones.py")
    assert ran.status == 0, ran.err
    assert not mark.exists(), "it ran what another user had planted"
    assert (folder / ".penstock").stat().st_uid == ROOT


def test_a_state_folder_of_another_user_is_refused_by_every_verb(project, shared: Path) -> None:
    folder = mine(shared, ROOT)
    source, mark = (folder / "ones.py").read_bytes(), shared / "mark"
    shutil.copy(folder / "ones.py", shared / "ones.py")
    as_user(NOBODY, lambda: plant(shared / ".penstock", source, shared / "ones.py", mark))
    project.folder = shared
    for words in (["check", "ones.py"], ["run", "ones.py"], ["plan", "ones.py"]):
        done = project.call(*words)
        assert done.status == 1, (words, done)
        assert f"error: {shared}/.penstock is not safe to use as state: it belongs to user nobody" in done.err
        assert "PENSTOCK_STATE" in done.err and "Traceback" not in done.err
    assert not mark.exists(), "it ran what another user had planted"


@pytest.mark.parametrize(("victim", "attacker"), [(ROOT, NOBODY), (NOBODY, OTHER)])
def test_what_counts_as_another_users(shared: Path, victim: int, attacker: int) -> None:
    """The same from both sides; root's own files count as everybody's."""
    folder = mine(shared, victim)
    as_user(attacker, lambda: (shared / "penstock.toml").write_text("cpu = 64\n"))

    def state_of(here: Path) -> str:
        os.chdir(here)
        settings = load(here, environment={})
        try:
            make_state_folder(settings)
            refuse_foreign(settings)
        except PenstockError as error:
            return error.message.partition(": ")[2]
        return f"{settings.state} {settings.cpu}"

    def seen() -> str:
        return as_user(victim, lambda: state_of(folder))

    state = folder / ".penstock"
    assert seen() == f"{state} None"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700

    state.chmod(0o777)
    assert seen() == "every user may write to it"
    state.chmod(0o770)
    os.chown(state, victim, OTHER)
    assert seen().startswith("the group ") and seen().endswith(" may write to it")
    os.chown(state, victim, victim)
    state.chmod(0o700)

    (state / "state.db").symlink_to(shared / "penstock.toml")
    assert seen().startswith("it belongs to user "), "what a link points to"
    (state / "state.db").unlink()

    folder.chmod(0o777)
    assert seen() == "every user may write to it", "the folder that the state is in can be given another one"
    folder.chmod(0o1777)
    os.rename(state, shared / "elsewhere")
    as_user(attacker, lambda: state.symlink_to(shared / "elsewhere"))
    assert seen().startswith("it belongs to user "), "a link of another user, to a folder of one's own"


@pytest.mark.parametrize(("victim", "attacker"), [(ROOT, NOBODY), (NOBODY, OTHER)])
def test_kept_code_that_another_user_wrote_is_not_read(shared: Path, victim: int, attacker: int) -> None:
    """Even in a folder that was open to all for a while."""
    scratch, source, path = shared / "state" / SCRATCH, b"X = 1\n", Path("/m.py")
    name = compiled_name(source, path)

    def plant_secret() -> None:
        plant(scratch.parent, source, path, shared / "mark")
        scratch.chmod(0o777)
        (scratch / "compiled").chmod(0o777)
        (scratch / "secret").write_bytes(b"k" * 32)
        (scratch / "secret").chmod(0o600)

    as_user(attacker, plant_secret)

    def read() -> Any:
        kept = Kept(scratch / "compiled")
        found = kept.read(name)
        kept.write(name, [1])
        return [found, kept.read(name)]

    assert as_user(victim, read) == [None, [1]]
    assert (scratch / "secret").stat().st_uid == victim
    assert as_user(attacker, read)[0] is None, "nor the other way round"
