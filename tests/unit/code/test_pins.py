"""Pinned code, in processes of their own: a pin is recorded in one and served in others while the files change."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from penstock.base.firstparty import is_first_party
from penstock.code.firstparty import source_root
from penstock.code.imports import imports_of

_PREAMBLE = """
import json, sys
from pathlib import Path
from penstock.code import pins
from penstock.code.firstparty import source_paths, source_root
from penstock.stores.artifacts.disk import DiskArtifactStore
project = sys.argv[1]
artifacts = DiskArtifactStore(Path(sys.argv[2]))
def record(file, *, folder=None):
    root, name = source_root(file)
    recording = pins.Recording(project=project, paths=source_paths(project, root), folder=folder)
    recording.begin()
    recording.claim(name, file)
    module = __import__("importlib").import_module(name)
    return module, recording.end(artifacts)
def serve(pin, folder=None):
    pins.serve(pin, artifacts=artifacts, project=project, folder=folder)
def modules(pin):
    return json.loads(artifacts.get_bytes(pin))["modules"]
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.store = folder / "store"

    def write(self, **sources: str) -> None:
        for name, source in sources.items():
            path = self.folder / (name.replace("__", "/").replace("INIT", "__init__") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(source))

    def run(self, code: str, *arguments: str) -> Any:
        """What the code prints last, as JSON, in a fresh process."""
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "error",
                "-c",
                _PREAMBLE + textwrap.dedent(code),
                self.folder,
                self.store,
                *arguments,
            ],
            capture_output=True,
            text=True,
            cwd=self.folder.parent,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def pin(self, file: str) -> str:
        return str(self.run("print(json.dumps(record(sys.argv[3])[1]))", str(self.folder / file)))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_editing_moving_or_deleting_a_file_changes_nothing_for_the_pin(project: Project) -> None:
    project.write(
        main="import lib.deep\nfrom lib import VALUE\ndef f():\n import later\n return VALUE, lib.deep.X, later.Y",
        lib__INIT="VALUE = 1",
        lib__deep="X = 2",
        later="Y = 3",
    )
    pin = project.pin("main.py")
    serve = "serve(sys.argv[3]); import main; print(json.dumps(main.f()))"
    project.write(main="1/0", lib__INIT="VALUE = 'new'", later="Y = 'new'")
    (project.folder / "lib" / "deep.py").unlink()
    assert project.run(serve, pin) == [1, 2, 3]


def test_the_pin_is_the_same_for_the_same_sources(project: Project) -> None:
    project.write(main="import other", other="A = 1")
    first = project.pin("main.py")
    assert project.pin("main.py") == first
    project.write(other="A = 2")
    assert project.pin("main.py") != first


def test_what_is_pinned(project: Project) -> None:
    project.write(
        main="""
            import json, polars, package.inner, space.name
            from package import sub
            from importlib import import_module
            def f():
                from package.nested import leaf
                import_module("named")
                import missing_everywhere
        """,
        package__INIT="",
        package__inner="from . import sibling",
        package__sibling="",
        package__sub="from .nested.leaf import x",
        package__nested__INIT="",
        package__nested__leaf="x = 1",
        package__unused="",
        space__name="",
        named="",
        unused="",
    )
    names = project.run("print(json.dumps(sorted(modules(record(sys.argv[3])[1]))))", str(project.folder / "main.py"))
    assert names == [
        "main",
        "named",
        "package",
        "package.inner",
        "package.nested",
        "package.nested.leaf",
        "package.sibling",
        "package.sub",
        "space.name",
    ]


def test_a_computed_import_pins_everything_below_the_roots(project: Project) -> None:
    project.write(
        main="import importlib\ndef f(name): return importlib.import_module(f'plugins.{name}').X",
        plugins__a="X = 1",
    )
    pin = project.pin("main.py")
    project.write(plugins__a="X = 'new'")
    assert project.run("serve(sys.argv[3]); import main; print(main.f('a'))", pin) == 1


def test_tracebacks_files_and_data_of_pinned_modules(project: Project) -> None:
    project.write(
        package__INIT="""
            from pathlib import Path
            import importlib.resources, inspect, pkgutil
            def fail():
                return 1 / 0  # as it was
            def look():
                return {
                    "file": __file__,
                    "beside": Path(__file__).with_name("data.txt").read_text(),
                    "resource": importlib.resources.files("package").joinpath("data.txt").read_text(),
                    "data": pkgutil.get_data("package", "data.txt").decode(),
                    "source": inspect.getsource(fail),
                }
        """,
    )
    (project.folder / "package" / "data.txt").write_text("now")
    pin = project.pin("package/__init__.py")
    project.write(package__INIT="# all new\n" * 10)
    code = """
        serve(sys.argv[3])
        import package, traceback
        seen = package.look()
        try:
            package.fail()
        except ZeroDivisionError:
            seen["trace"] = traceback.format_exc()
        print(json.dumps(seen))
    """
    seen = project.run(code, pin)
    assert seen["file"] == str(project.folder / "package" / "__init__.py")
    assert seen["beside"] == seen["resource"] == seen["data"] == "now"
    assert "1 / 0  # as it was" in seen["source"]
    assert "1 / 0  # as it was" in seen["trace"]


def test_the_recording_process_serves_the_same_bytes_as_it_pinned(project: Project) -> None:
    project.write(main="def f():\n    import later\n    return later.X", later="X = 1")
    code = """
        module, pin = record(sys.argv[3])
        Path(project, "later.py").write_text("X = 'new'")
        serve(pin)
        print(module.f())
    """
    assert project.run(code, str(project.folder / "main.py")) == 1


def test_a_process_serves_one_pin(project: Project) -> None:
    project.write(main="", other="import main")
    first, second = project.pin("main.py"), project.pin("other.py")
    code = """
        serve(sys.argv[3]); serve(sys.argv[3])
        try:
            serve(sys.argv[4])
        except pins.OtherPin:
            print(json.dumps("refused"))
    """
    assert project.run(code, first, second) == "refused"


def test_compiled_code_is_kept_and_checked(project: Project, tmp_path: Path) -> None:
    project.write(main="X = 1")
    pin = project.pin("main.py")
    serve = "serve(sys.argv[3], Path(sys.argv[4])); import main; print(main.X)"
    folder = tmp_path / "compiled"
    assert project.run(serve, pin, str(folder)) == 1
    (kept,) = folder.iterdir()
    before = kept.stat().st_mtime_ns
    assert project.run(serve, pin, str(folder)) == 1
    assert kept.stat().st_mtime_ns == before
    kept.write_bytes(kept.read_bytes()[:-1] + b"?")
    assert project.run(serve, pin, str(folder)) == 1
    assert kept.stat().st_mtime_ns != before


def test_a_file_named_like_a_library_module_hides_nothing(project: Project) -> None:
    project.write(main="import fractions, random", fractions="raise SystemExit('hidden')")
    assert project.pin("main.py").startswith("blake3:")


def test_sources_that_are_not_utf8(project: Project) -> None:
    (project.folder / "main.py").write_bytes(b"# -*- coding: latin-1 -*-\nX = '\xe9'\n")
    pin = project.pin("main.py")
    assert project.run("serve(sys.argv[3]); import main; print(json.dumps(main.X))", pin) == "é"


def test_which_files_are_first_party(tmp_path: Path) -> None:
    assert is_first_party(str(tmp_path / "a.py"))
    assert not is_first_party(json.__file__)
    assert not is_first_party(pytest.__file__)
    assert not is_first_party(is_first_party.__code__.co_filename)
    assert not is_first_party(str(tmp_path / "a.so"))
    assert not is_first_party(None)


def test_the_root_of_a_file_is_above_its_packages(tmp_path: Path) -> None:
    package = tmp_path / "a" / "b"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    assert source_root(str(package / "c.py")) == (str(tmp_path), "a.b.c")
    assert source_root(str(package / "__init__.py")) == (str(tmp_path), "a.b")
    assert source_root(str(tmp_path / "main.py")) == (str(tmp_path), "main")


@pytest.mark.parametrize(
    ("source", "names", "computed"),
    [
        ("import a.b, c as d", {"a.b", "c"}, False),
        ("from a import b, c", {"a", "a.b", "a.c"}, False),
        ("from a import *", {"a"}, False),
        ("from . import x", {"pkg", "pkg.x"}, False),
        ("from .y import x", {"pkg.y", "pkg.y.x"}, False),
        ("from .. import x", set(), False),
        ("def f():\n try: import q\n except ImportError: import r", {"q", "r"}, False),
        ("import_module('.z')", {"pkg.z"}, False),
        ("__import__(name)", set(), True),
        ("this is not python", set(), False),
    ],
)
def test_imports_are_read_from_the_syntax(source: str, names: set[str], computed: bool) -> None:
    found = imports_of(source.encode(), module="pkg.mod", is_package=False)
    assert (set(found.names), found.computed) == (names, computed)
