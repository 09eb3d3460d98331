"""Files of the project that an attempt opens for reading are told, with what they held (cache rule 12)."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from penstock.values.reads import MISSING, digest_of_file, digest_of_read
from penstock.wire import Succeeded

Bench = Any


_HEAD = """
import os, shutil, subprocess, sys, threading
from pathlib import Path

def read(name):
    with open(name) as file:
        return file.read()

def write(name, mode):
    with open(name, mode) as file:
        file.write("other")
"""


def reads(bench: Bench, body: str, **given: Any) -> dict[str, str]:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    module = bench.module("")
    (bench.project / f"{module}.py").write_text(f"{_HEAD}\ndef f():\n{lines}\n")
    ended = bench.again(module, **given)
    assert isinstance(ended.outcome, Succeeded), ended.outcome
    return {name: digest for name, digest in ended.reads.items() if not name.startswith(("env:", "unset:"))}


def data(bench: Bench, name: str = "data.txt", text: str = "1,2,3") -> str:
    path = bench.project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return digest_of_file(str(path))


@pytest.mark.parametrize(
    "body",
    [
        "read('data.txt')",
        "Path('data.txt').read_text()",
        "Path.cwd().joinpath('data.txt').read_bytes()",
        "open(b'data.txt', 'rb').close()",
        "os.close(os.open(Path('data.txt'), os.O_RDONLY))",
        "os.mkdir('sub'); os.chdir('sub'); open('../data.txt').close()",
        "shutil.copyfile('data.txt', 'copy.txt')",
        "t = threading.Thread(target=lambda: open('data.txt').close()); t.start(); t.join()",
        "open('data.txt').close(); open('data.txt').close()",
        "open('data.txt').close(); write('data.txt', 'w')",
        "write('data.txt', 'r+')",
        "open('data.txt').close(); write('new', 'w'); os.replace('new', 'data.txt')",
        "import numpy; numpy.fromfile('data.txt', dtype='uint8')",
        "import pandas; pandas.read_csv('data.txt')",
    ],
)
def test_a_file_that_is_read_is_told_as_it_was(bench: Bench, body: str) -> None:
    digest = data(bench)
    assert reads(bench, body) == {"data.txt": digest}


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "write('made.txt', 'w'); read('made.txt')",
        "write('part', 'w'); os.replace('part', 'made.txt'); read('made.txt')",
        "write('data.txt', 'w')",
        "write('data.txt', 'a')",
        "os.mkdir('made'); os.listdir('made')",
        "os.makedirs('made/below'); list(os.walk('made'))",
        "os.listdir('.penstock'); os.listdir(sys.prefix); os.listdir('..')",
        "os.makedirs('tree/below'); shutil.rmtree('tree')",
        "import importlib.metadata; importlib.metadata.version('blake3')",
        "import sqlite3; sqlite3.connect(':memory:').close(); sqlite3.connect('made.db').close(); read('made.db')",
        "import sqlite3; sqlite3.connect('file::memory:?cache=shared', uri=True).close()",
        "import sqlite3; sqlite3.connect('file:x?mode=memory', uri=True).close()",
        "read('/proc/self/stat')",
        "read(os.devnull)",
        "read('.penstock/state')",
        "Path(sys.prefix).exists(); import json.tool",
        "os.close(os.open('.', os.O_RDONLY))",
        "r, w = os.pipe(); os.close(w); open(r).close()",
        "import tempfile; tempfile.TemporaryFile().close()",
    ],
)
def test_what_is_no_input_of_the_project_is_not_told(bench: Bench, body: str) -> None:
    data(bench)
    data(bench, ".penstock/state")
    assert reads(bench, body) == {}


def test_a_file_that_is_not_there_counts_too(bench: Bench) -> None:
    body = "try:\n    open('override.json')\nexcept FileNotFoundError:\n    pass"
    assert reads(bench, body) == {"override.json": MISSING}


def test_a_file_that_was_not_there_is_still_missing_when_the_task_has_made_it(bench: Bench) -> None:
    body = "try:\n    read('made.txt')\nexcept OSError:\n    write('made.txt', 'w')"
    assert reads(bench, body) == {"made.txt": MISSING}


@pytest.mark.parametrize(
    "body",
    [
        "os.listdir('data')",
        "os.listdir(b'data'); os.mkdir('data/more'); os.listdir('data')",
        "os.chdir('data'); os.listdir()",
        "os.scandir('./data/').close()",
        "list(Path('data').iterdir())",
        "import glob; glob.glob('data/*.csv')",
        "fd = os.open('data', os.O_RDONLY); os.listdir(fd); os.close(fd)",
        "list(os.fwalk('data'))",
    ],
)
def test_a_folder_that_is_listed_is_told_with_the_names_in_it(bench: Bench, body: str) -> None:
    data(bench, "data/a.csv")
    names = digest_of_read(f"{bench.project}/data/")
    assert reads(bench, body) == {"data/": names}


def test_the_project_itself_may_be_listed_and_what_python_keeps_in_it_is_no_name(bench: Bench) -> None:
    module = bench.module("import os\ndef f(): return len(os.listdir())")
    (told,) = bench.again(module).reads.items()
    (bench.project / ".penstock").mkdir(exist_ok=True)
    (bench.project / "__pycache__").mkdir(exist_ok=True)
    assert told == ("./", digest_of_read(f"{bench.project}/"))


def test_a_folder_that_is_not_there_counts_too(bench: Bench) -> None:
    assert reads(bench, "list(Path('data').glob('*.csv'))") == {"data/": MISSING}
    told = reads(bench, "import glob; glob.glob('data/*.csv')")
    assert told
    assert set(told.values()) == {MISSING}


@pytest.mark.parametrize("given", ["'data.db'", "Path('data.db').absolute()", "'file:data.db?mode=ro', uri=True"])
def test_a_database_is_told_with_its_log(bench: Bench, given: str) -> None:
    with closing(sqlite3.connect(bench.project / "data.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    digest = digest_of_file(str(bench.project / "data.db"))
    body = f"import sqlite3; c = sqlite3.connect({given}); c.execute('SELECT * FROM t'); c.close()"
    assert reads(bench, body) == {"data.db": digest, "data.db-wal": MISSING}


FORKS = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@FORKS
@pytest.mark.parametrize(
    "body",
    [
        "with get_context('fork').Pool(2) as pool: pool.map(read, ['data.txt', 'data.txt'])",
        "p = get_context('fork').Process(target=read, args=('data.txt',)); p.start(); p.join()",
        "p = get_context('fork').Process(target=deeper); p.start(); p.join()",
        "pid = os.fork()\nif not pid:\n    read('data.txt')\n    os._exit(0)\nos.waitpid(pid, 0)",
    ],
)
def test_what_a_fork_reads_is_told(bench: Bench, body: str) -> None:
    digest = data(bench)
    more = "from multiprocessing import get_context\ndef deeper():\n    p = get_context('fork').Process("
    more += "target=read, args=('data.txt',)); p.start(); p.join()\n"
    (bench.project / "written_forks.py").write_text(_HEAD + more)
    told = reads(bench, f"from multiprocessing import get_context\nfrom written_forks import read, deeper\n{body}")
    assert told == {"data.txt": digest}
    assert reads(bench, "pass") == {}
    assert not [name for name in os.listdir(bench.scratch) if name.startswith("forked-")]


@FORKS
def test_what_forks_make_themselves_is_not_told(bench: Bench) -> None:
    data(bench)
    body = "from multiprocessing import get_context\nfor work in (write, read):\n"
    body += "    p = get_context('fork').Process(target=work, args=('made.txt', 'w')[: 2 if work is write else 1])\n"
    body += "    p.start(); p.join(); assert p.exitcode == 0"
    assert reads(bench, body) == {}


def test_a_link_in_the_project_counts_by_its_name_and_one_into_it_by_its_target(bench: Bench, tmp_path: Path) -> None:
    digest = data(bench)
    outside = tmp_path / "outside.txt"
    outside.write_text("elsewhere")
    (bench.project / "link.txt").symlink_to(outside)
    (tmp_path / "into").symlink_to(bench.project)
    assert reads(bench, "read('link.txt')") == {"link.txt": digest_of_file(str(outside))}
    assert reads(bench, f"read('{tmp_path}/into/data.txt')") == {"data.txt": digest}
    assert reads(bench, f"read('{outside}')") == {}


def test_reads_of_one_attempt_are_not_those_of_the_next(bench: Bench) -> None:
    digest = data(bench)
    assert reads(bench, "read('data.txt')") == {"data.txt": digest}
    assert reads(bench, "pass") == {}
    changed = data(bench, text="4,5,6")
    assert reads(bench, "read('data.txt')") == {"data.txt": changed} != {"data.txt": digest}


def test_an_installed_package_in_the_project_is_no_input(bench: Bench) -> None:
    data(bench, ".venv/lib/python3.11/site-packages/pandas/data.csv")
    data(bench, ".venv/lib/python3.11/site-packages/pandas/more.py")
    body = "read('.venv/lib/python3.11/site-packages/pandas/data.csv')"
    assert reads(bench, body) == {}


def test_a_source_that_is_read_as_text_counts(bench: Bench) -> None:
    digest = data(bench, "version.py", "VERSION = '1'")
    assert reads(bench, "read('version.py')") == {"version.py": digest}


def test_what_python_imports_is_no_read(bench: Bench) -> None:
    data(bench, "written_helper_of_mine.py", "X = 1")
    assert (
        reads(bench, "import written_helper_of_mine\nimport linecache; linecache.getlines('written_helper_of_mine.py')")
        == {}
    )


def test_what_a_module_reads_when_it_is_imported_counts_for_every_attempt_of_it(bench: Bench) -> None:
    digest = data(bench)
    module = bench.module("with open('data.txt') as file:\n    X = file.read()\ndef f(): return X")
    assert dict(bench.again(module).reads) == {"data.txt": digest}
    assert dict(bench.again(module).reads) == {"data.txt": digest}


def test_a_failed_attempt_tells_nothing(bench: Bench) -> None:
    data(bench)
    assert not bench.end("def f():\n    open('data.txt').close()\n    raise ValueError").reads


def test_a_returned_path_that_was_there_before_is_a_read_and_one_that_was_made_is_not(bench: Bench) -> None:
    digest = data(bench)
    past = time.time() - 3600
    subprocess.run(
        [sys.executable, "-c", f"import os; os.utime({str(bench.project / 'data.txt')!r}, ({past}, {past}))"]
    )
    time_of_change = (bench.project / "data.txt").stat().st_ctime_ns
    while time.time_ns() < time_of_change + 50_000_000:  # until the change is clearly before the attempt
        time.sleep(0.01)
    path = {"output": {"name": "path"}}
    assert reads(bench, "return Path('data.txt')", outputs=path) == {"data.txt": digest}
    assert reads(bench, "return Path('data.txt')", outputs=path) == {"data.txt": digest}
    body = "from penstock import context\nmade = context().scratch / 'native.txt'\n"
    body += "subprocess.run(['touch', str(made)]); return made"
    assert reads(bench, body, outputs=path) == {}


def test_a_known_large_file_is_told_though_it_is_not_read_again(bench: Bench) -> None:
    """The stat cache of paths must not hide a read."""
    digest = data(bench)
    changed_at = (bench.project / "data.txt").stat().st_ctime_ns
    while time.time_ns() < changed_at + 2_100_000_000:
        time.sleep(0.05)
    path = {"output": {"name": "path"}}
    for _ in range(3):
        assert reads(bench, "return Path('data.txt')", outputs=path) == {"data.txt": digest}
    assert list((bench.scratch / "seen").iterdir())
