"""Files that a task returns: those of its own folders, those that nobody has changed since it began, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.launcher.conftest import Bench

from penstock.testing.memory_artifacts import MemoryArtifactStore
from penstock.values import ValueRefused
from penstock.values.datums import ANYTHING, Staging, to_datum
from penstock.values.origins import Beginning, file_clock_ns
from penstock.wire import Artifact, Inline, OutputInvalid, Succeeded

PATH = {"output": {"name": "path"}}


@pytest.mark.parametrize(
    "body",
    [
        "Path('out.txt').write_text('1'); return Path('out.txt')",
        "os.mkdir('out'); Path('out/a').write_text('1'); return Path('out')",
        "Path('out.tmp').write_text('1'); os.replace('out.tmp', 'out.txt'); return Path('out.txt')",
        "Path('out.txt').write_text('1'); os.utime('out.txt', ns=(1, 1)); return Path('out.txt')",
        "os.symlink('old.txt', 'link'); return Path('link')",
        "import shutil; shutil.copy2('old.txt', 'out.txt'); return Path('out.txt')",
        "open('old.txt', 'a').close(); return Path('old.txt')",
        "os.system('echo 1 > out.txt'); return Path('out.txt')",
        "p = Path(tempfile.mkdtemp()) / 'a'; p.write_text('1'); return p",
    ],
)
def test_a_file_that_the_attempt_left_in_a_shared_folder_is_no_output(bench: Bench, body: str) -> None:
    (bench.project / "old.txt").write_text("old")
    ended = bench.end(f"import os, tempfile\nfrom pathlib import Path\ndef f():\n    {body}", outputs=PATH)
    assert isinstance(ended.outcome, OutputInvalid), ended.outcome
    assert "scratch folder" in ended.outcome.why and "folder: Scratch" in ended.outcome.why
    assert any(name in ended.outcome.why for name in ("out", "link", "old.txt", "tmp"))


def test_a_link_that_leads_out_of_the_scratch_folder_is_named_with_its_target(bench: Bench) -> None:
    (bench.project / "old.txt").write_text("old")
    body = "p = context().scratch / 'l'; p.symlink_to(Path('old.txt').resolve()); return p"
    ended = bench.end(f"from pathlib import Path\nfrom penstock import context\ndef f():\n    {body}", outputs=PATH)
    assert isinstance(ended.outcome, OutputInvalid), ended.outcome
    assert f"/l' is a link to '{(bench.project / 'old.txt').resolve()}', which is outside of" in ended.outcome.why
    assert "Copy" in ended.outcome.why and "shutil.copy" in ended.outcome.why


@pytest.mark.parametrize("inside", ["[Path('out.txt')]", "{'a': (Path('out.txt'),)}"])
def test_nor_is_one_inside_another_value(bench: Bench, inside: str) -> None:
    source = f"from pathlib import Path\ndef f():\n    Path('out.txt').write_text('1')\n    return {inside}"
    ended = bench.end(source)
    assert isinstance(ended.outcome, OutputInvalid) and "'out.txt'" in ended.outcome.why


@pytest.mark.parametrize(
    "body",
    [
        "p = context().scratch / 'a'; p.write_text('1'); return p",
        "p = context().checkpoint / 'a'; p.write_text('1'); return p",
        "return Path('old.txt')",
        "Path('old.txt').read_text(); return Path('folder')",
    ],
)
def test_a_file_of_the_attempts_own_or_an_old_one_is(bench: Bench, body: str) -> None:
    (bench.project / "old.txt").write_text("old")
    (bench.project / "folder").mkdir()
    (bench.project / "folder" / "a").write_text("a")
    wait_for_a_tick(bench.project)
    source = f"from pathlib import Path\nfrom penstock import context\ndef f():\n    {body}"
    ended = bench.end(source, outputs=PATH)
    assert isinstance(ended.outcome, Succeeded), ended.outcome


def test_a_file_that_another_changes_while_it_is_stored_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("1")
    (tmp_path / "store").mkdir()
    wait_for_a_tick(tmp_path)

    class Slow(MemoryArtifactStore):
        def put_path(self, path: Path, *, move: bool = False) -> tuple[str, int]:
            stored = super().put_path(path, move=move)
            path.write_text("2")
            return stored

    staging = Staging(tmp_path, "staging", beginning=Beginning(file_clock_ns(tmp_path)))
    with pytest.raises(ValueRefused, match="another attempt"):
        to_datum(path, ANYTHING, artifacts=Slow(tmp_path / "store"), staging=staging)


def test_a_parameter_annotated_as_scratch_is_the_attempts_folder(bench: Bench) -> None:
    source = """
        from pathlib import Path
        from penstock import Scratch, context, task

        @task
        def f(count: int, folder: Scratch) -> Path:
            assert folder == context().scratch and folder.is_dir() and not list(folder.iterdir())
            path = folder / "out.txt"
            path.write_text(str(count))
            return path
    """
    ended = bench.end(source, inputs={"count": Inline(3)}, outputs=PATH)
    assert isinstance(ended.outcome, Succeeded), ended.outcome
    datum = ended.outcome.outputs["output"]
    assert isinstance(datum, Artifact)
    assert bench.artifacts.path(datum.digest).read_text() == "3"


def wait_for_a_tick(folder: Path) -> None:
    began = file_clock_ns(folder)
    while file_clock_ns(folder) == began:
        pass
