"""What an attempt asks of the environment, and of files without opening them, is told as facts (cache rule 12)."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from penstock.base.secrets import variable_part
from penstock.controller.answers import ProjectFiles
from penstock.launcher.inner import listening
from penstock.values.reads import MISSING, digest_of_read, fact_now
from penstock.wire import Succeeded

Bench = Any

_HEAD = "import os, shutil, sys\nfrom pathlib import Path\n"

_SAME = {"kind:link": "file", "kind:data.txt": "file"}


def asked(bench: Bench, body: str) -> dict[str, str]:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    ended = bench.end(f"{_HEAD}\ndef f():\n{lines}\n")
    assert isinstance(ended.outcome, Succeeded), ended.outcome
    return dict(ended.reads)


def write(bench: Bench, name: str = "data.txt") -> Path:
    path: Path = bench.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1,2,3")
    return path


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ("os.path.exists('data.txt')", {"kind:data.txt": "file"}),
        ("Path('data.txt').is_dir()", {"kind:data.txt": "file"}),
        ("Path('.').absolute().joinpath('folder/').exists()", {"kind:folder": "folder"}),
        ("os.access(b'folder', os.R_OK)", {"kind:folder": "folder"}),
        ("os.path.isfile('none.txt')", {"kind:none.txt": MISSING}),
        ("os.path.getsize('data.txt')", {"size:data.txt": "5"}),
        ("os.path.getsize('data.txt'); os.path.exists('data.txt')", {"size:data.txt": "5", "kind:data.txt": "file"}),
        ("os.lstat('data.txt').st_size", {"size:data.txt": "5"}),
        ("Path('data.txt').stat().st_mode", {"kind:data.txt": "file"}),
        ("os.chdir('folder'); Path('../data.txt').exists()", {"kind:data.txt": "file"}),
        ("shutil.which('data.txt', path=os.getcwd()); os.makedirs('made', exist_ok=True)", {}),
        ("Path('made').mkdir(exist_ok=True); Path('made').mkdir(exist_ok=True)", {}),
        ("Path('made.txt').write_text('1'); Path('made.txt').exists()", {}),
        ("Path('made').exists() or os.mkdir('made')", {}),
        ("Path('made.txt').exists() or Path('made.txt').write_text('1')", {"kind:made.txt": MISSING}),
        (
            "os.mkdir('.penstock'); os.stat('.penstock'); os.stat(sys.prefix); os.stat(0); Path('data.txt').resolve()",
            {},
        ),
        ("os.path.exists('\\0')", {}),
        ("os.path.realpath('link')", {"link:link": "data.txt"}),
        ("Path('folder/../link').resolve(strict=True)", {"link:link": "data.txt"}),
        ("Path('none').symlink_to('x'); os.path.realpath('none'); os.path.islink('none')", {}),
        ("os.lstat('link').st_size", {"link:link": "data.txt", "size:link": "5"}),
        ("Path('link').samefile('data.txt')", {**_SAME, "link:link": "data.txt", "link:data.txt": MISSING}),
        ("import inspect; inspect.getmodule(f, 'link')", {}),
        ("os.readlink('/proc/self/cwd'); os.path.islink('/proc/self/cwd')", {}),
        ("os.stat('data.txt', dir_fd=os.open('.', os.O_RDONLY)).st_size", {"size:data.txt": "5"}),
        ("os.readlink('link', dir_fd=os.open('.', os.O_RDONLY))", {"link:link": "data.txt"}),
    ],
)
def test_what_is_asked_about_files_is_told(bench: Bench, body: str, facts: dict[str, str]) -> None:
    write(bench)
    (bench.project / "folder").mkdir()
    (bench.project / "link").symlink_to("data.txt")
    assert asked(bench, body) == facts


def test_a_time_is_told_where_it_is_asked_for(bench: Bench) -> None:
    changed_ns = write(bench).stat().st_mtime_ns
    everything = {"size:data.txt": "5", "mtime:data.txt": str(changed_ns)}
    assert asked(bench, "os.path.getmtime('data.txt')") == {"mtime:data.txt": str(changed_ns)}
    assert asked(bench, "found = os.stat('data.txt'); return found.st_size") == everything


def test_what_was_read_says_more_than_what_was_asked(bench: Bench) -> None:
    path = write(bench)
    assert asked(bench, "os.path.getsize('data.txt'); open('data.txt').close()") == {
        "data.txt": digest_of_read(str(path))
    }
    listed = asked(bench, "return [path.name for path in Path('.').absolute().iterdir() if path.is_file()]")
    assert list(listed) == ["./"]


def test_a_file_in_a_listed_folder_that_becomes_a_folder_changes_the_listing(bench: Bench) -> None:
    path = write(bench, "data/a")
    before = digest_of_read(f"{bench.project}/data/")
    path.unlink()
    path.mkdir()
    assert digest_of_read(f"{bench.project}/data/") != before


def test_an_entry_that_is_asked_for_its_stat_is_told_and_is_what_it_was(bench: Bench) -> None:
    write(bench, "data/a.txt")
    body = """with os.scandir('data') as entries:
    for entry in entries:
        assert isinstance(entry, os.DirEntry) and entry.name == 'a.txt' and entry.is_file()
        assert os.fspath(entry) == entry.path and entry.stat().st_size == 5"""
    assert set(asked(bench, body)) == {"data/", "size:data/a.txt"}


def test_os_stat_is_what_it_was(bench: Bench) -> None:
    path = write(bench)
    asked(bench, "pass")
    import pickle
    import shutil

    assert pickle.loads(pickle.dumps(os.stat)) is os.stat
    assert os.stat in os.supports_follow_symlinks
    assert os.stat in os.supports_dir_fd
    assert stat.S_ISREG(os.stat(path, follow_symlinks=False).st_mode)
    folder = os.open(path.parent, os.O_RDONLY)
    assert os.stat(path.name, dir_fd=folder).st_size == os.access(path, os.R_OK) + 4
    os.close(folder)
    shutil.copystat(path, path)
    with pytest.raises(FileNotFoundError, match="none"):
        os.stat("none")


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("os.environ['A_RATE']", {"env:A_RATE"}),
        ("os.environ.get('A_NONE')", {"env:A_NONE"}),
        ("'A_RATE' in os.environ", {"env:A_RATE"}),
        ("os.getenvb(b'A_RATE')", {"env:A_RATE"}),
        ("os.path.expandvars('$A_RATE/$A_NONE')", {"env:A_RATE", "env:A_NONE"}),
        ("Path.home()", {"env:HOME"}),
        ("Path('~/data').expanduser(); os.environ.setdefault('A_RATE', '2')", {"env:HOME", "env:A_RATE"}),
        ("os.environ['A_RATE'] = '2'; os.environ['A_RATE']", set()),
        ("os.environ.pop('A_RATE'); 'A_RATE' in os.environ", {"env:A_RATE"}),
        ("os.environ.get('TERM'); os.environ.get('PENSTOCK_X'); os.environ.get('OMP_NUM_THREADS')", set()),
        ("import subprocess; subprocess.run(['true'], env={})", set()),
        ("import tempfile; tempfile.gettempdir()", {"env:TMPDIR", "env:TEMP", "env:TMP"}),
        ("import tempfile; tempfile.mkdtemp(dir='.penstock')", set()),
        ("list(os.environ)", {"env:*"}),
        ("dict(os.environ)", {"env:*"}),
        ("{**os.environ}", {"env:*"}),
        ("os.environ.copy()", {"env:*"}),
        ("sorted(os.environ.items())", {"env:*"}),
        ("os.environ | {}", {"env:*"}),
        ("len(os.environ); repr(type(os.environ))", set()),
    ],
)
def test_variables_that_are_read_are_told(
    bench: Bench, body: str, names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_RATE", "1")
    monkeypatch.delenv("A_NONE", raising=False)
    (bench.project / ".penstock").mkdir()
    listening.install()
    bench.launcher = bench.new_launcher()
    told = asked(bench, body)
    assert set(told) == names
    assert all(fact_now(name, str(bench.project)) == answer for name, answer in told.items())
    assert told.get("env:A_RATE", variable_part("A_RATE", "1")[1]) == variable_part("A_RATE", "1")[1]


def test_a_secret_counts_by_being_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "abc")
    everything = fact_now("env:*", "")
    assert fact_now("env:A_TOKEN", "") == "secret"
    monkeypatch.setenv("A_TOKEN", "xyz")
    assert fact_now("env:*", "") == everything


def test_variables_that_a_package_asks_for_at_import_are_one_fact(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"written_package_{id(bench)}"
    package = bench.project / "site-packages" / f"{name}.py"
    package.parent.mkdir()
    package.write_text("import os\nX = [os.environ.get(f'A_NAME_{number}') for number in range(50)]\n")
    body = f"sys.path.append('site-packages'); import {name}"
    told = asked(bench, body)
    (fact,) = told
    assert len(fact) < 50 * 5
    assert fact_now(fact, "") == told[fact]
    monkeypatch.setenv("A_NAME_7", "1")
    assert fact_now(fact, "") == "A_NAME_7"


def test_a_file_that_is_called_like_a_fact_is_a_file(bench: Bench) -> None:
    path = write(bench, "env:HOME")
    told = asked(bench, "open('env:HOME').close()")
    assert told == {"./env:HOME": digest_of_read(str(path))}
    assert ProjectFiles(bench.project, digest_of_read).digest_at("./env:HOME") == told["./env:HOME"]


def test_a_result_of_another_time_zone_does_not_hold(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.values.reads import same_zone

    now = ProjectFiles(bench.project, digest_of_read).digest_at
    monkeypatch.delenv("TZ", raising=False)
    made_without = asked(bench, "pass")
    assert same_zone(made_without, now)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert not same_zone(made_without, now)
    bench.launcher = bench.new_launcher()
    made_with = asked(bench, "pass")
    assert made_with["env:TZ"] == now("env:TZ")
    monkeypatch.delenv("TZ")
    assert made_with["env:TZ"] != now("env:TZ")
