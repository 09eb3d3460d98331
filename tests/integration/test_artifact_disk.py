"""The artifact store on a real disk: what lies where with which rights, and what is verified when."""

from __future__ import annotations

import mmap
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.app_artifacts import open_artifacts
from penstock.base.errors import ArtifactCorrupt
from penstock.stores.artifacts import digests, files, folders
from penstock.stores.artifacts.digests import digest_of_bytes
from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.testing.conformance.artifact_store import LARGE, Content, make_folder, read_folder

# -- the folder
# ----------------------------------------------------------------------------------------------------------


def test_the_store_is_private_and_its_files_are_read_only(tmp_path: Path) -> None:
    root = tmp_path / "state" / "artifacts"
    old_mask = os.umask(0)
    try:
        store = DiskArtifactStore(root)
        assert not root.exists()  # looking makes nothing
        assert not store.has(digest_of_bytes(b"x"))
        assert not root.exists()
        store.put_bytes(b"x")
        store.put_path(make_folder(tmp_path / "folder", {"a": b"1", "b/run": (b"2", 0o777)}))
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    for path in root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o555 if path.name == "run" else 0o444), path
    assert os.listdir(root / "partial") == []


def test_a_folder_that_others_can_read_is_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    DiskArtifactStore(tmp_path).put_bytes(b"x")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_strict_mask_changes_no_mode(tmp_path: Path) -> None:
    old_mask = os.umask(0o077)
    try:
        store = DiskArtifactStore(tmp_path / "artifacts")
        digest = store.put_path(make_folder(tmp_path / "folder", {"a": b"1", "run": (b"2", 0o755)}))[0]
    finally:
        os.umask(old_mask)
    assert stat.S_IMODE((store.path(digest) / "a").stat().st_mode) == 0o444
    assert stat.S_IMODE((store.path(digest) / "run").stat().st_mode) == 0o555


def test_equal_files_of_folders_are_kept_once(tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    store = DiskArtifactStore(root)
    content: dict[str, Content] = {f"{number}": LARGE for number in range(20)}
    store.put_path(make_folder(tmp_path / "one", content))
    store.put_path(make_folder(tmp_path / "two", content | {"more": b"1"}))
    kept = {(path.stat().st_ino, path.stat().st_size) for path in root.rglob("*") if path.is_file()}
    assert sum(size for _, size in kept) < 1.1 * len(LARGE)


def test_a_store_is_opened_by_the_name_of_its_factory(tmp_path: Path) -> None:
    store = open_artifacts({"root": str(tmp_path / "artifacts")})
    assert store.get_bytes(store.put_bytes(b"x")) == b"x"
    assert (tmp_path / "artifacts" / "files").is_dir()


def test_a_stored_file_can_be_mapped(tmp_path: Path) -> None:
    store = DiskArtifactStore(tmp_path)
    with (
        store.path(store.put_bytes(LARGE)).open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert mapped[:] == LARGE


def test_the_store_may_vanish_between_writes(tmp_path: Path) -> None:
    store = DiskArtifactStore(tmp_path / "artifacts")
    digest = store.put_bytes(b"x")
    (tmp_path / "artifacts").rename(tmp_path / "away")
    assert not store.has(digest)
    assert store.put_bytes(b"x") == digest
    assert store.get_bytes(digest) == b"x"


# -- verification
# ---------------------------------------------------------------------------------------------------------


def test_a_change_is_seen_by_the_process_that_verified(tmp_path: Path) -> None:
    store = DiskArtifactStore(tmp_path / "artifacts")
    digest = store.put_bytes(b"content")
    path = store.path(digest)
    path.chmod(0o600)
    path.write_bytes(b"Content")
    os.utime(path, ns=(1, 1))  # a clock that ticks every few milliseconds may not have moved
    with pytest.raises(ArtifactCorrupt) as caught:
        store.get_bytes(digest)
    assert "penstock retry" in caught.value.fix
    (aside,) = (tmp_path / "artifacts" / "corrupt").iterdir()
    assert aside.read_bytes() == b"Content"
    assert str(aside) in caught.value.message


def test_a_second_read_does_not_hash_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DiskArtifactStore(tmp_path / "artifacts")
    content: dict[str, Content] = {"a": b"1", "b/c": b"2"}
    tree, _ = store.put_path(make_folder(tmp_path / "folder", content))
    fresh = DiskArtifactStore(tmp_path / "artifacts")
    hashed: list[int] = []
    digest_of_stored = digests.digest_of_stored

    def counted(fd: int) -> str:
        hashed.append(fd)
        return digest_of_stored(fd)

    monkeypatch.setattr(files, "digest_of_stored", counted)
    monkeypatch.setattr(folders, "digest_of_stored", counted)
    file = digest_of_bytes(b"1")
    for _ in range(3):
        assert fresh.get_bytes(file) == b"1"
        assert read_folder(fresh.path(tree)) == content | {"b": None}
    assert len(hashed) == 3  # the file once, the two files of the folder once


@pytest.mark.parametrize(
    "harm",
    [
        lambda content: (content / "new").write_bytes(b""),
        lambda content: (content / "a").unlink(),
        lambda content: (content / "run").chmod(0o444),
        lambda content: (content / "l").unlink(),
        lambda content: (content / "l").rename(content / "m"),
        lambda content: (content / "outside").symlink_to("/etc"),
        lambda content: (content / "b").rmdir(),
        lambda content: content.rename(content.parent / "elsewhere"),
        lambda content: os.mkfifo(content / "pipe"),
    ],
)
def test_every_harm_to_a_folder_is_found(tmp_path: Path, harm: object) -> None:
    assert callable(harm)
    store = DiskArtifactStore(tmp_path / "artifacts")
    content: dict[str, Content] = {"a": b"1", "run": (b"2", 0o755), "l": "a", "b": None}
    digest, _ = store.put_path(make_folder(tmp_path / "folder", content))
    harm(store.path(digest))
    with pytest.raises(ArtifactCorrupt):
        store.path(digest)
    assert not store.has(digest)
    assert store.put_path(tmp_path / "folder")[0] == digest
    assert read_folder(store.path(digest)) == content


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: (path.chmod(0o600), path.write_text("{}"))])
def test_harm_to_a_listing_is_found(tmp_path: Path, harm: object) -> None:
    assert callable(harm)
    store = DiskArtifactStore(tmp_path / "artifacts")
    digest, _ = store.put_path(make_folder(tmp_path / "folder", {"a": b"1"}))
    harm(store.path(digest).parent / "listing")
    with pytest.raises(ArtifactCorrupt):
        store.size_bytes(digest)
    assert store.put_path(tmp_path / "folder") == (digest, 1)
    assert store.size_bytes(digest) == 1


_names = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
_files = st.one_of(st.binary(max_size=64), st.tuples(st.binary(max_size=64), st.just(0o755)), st.none())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(_names, _files | st.dictionaries(_names, _files, max_size=4), max_size=5))
def test_any_folder_comes_back(shape: dict[str, Content | dict[str, Content]]) -> None:
    content: dict[str, Content] = {}
    for name, what in shape.items():
        if isinstance(what, dict):
            content[name] = None
            content |= {f"{name}/{inner}": thing for inner, thing in what.items()}
        else:
            content[name] = what
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        store = DiskArtifactStore(place / "artifacts")
        digest, size_bytes = store.put_path(make_folder(place / "folder", content))
        data = [
            what if isinstance(what, bytes) else what[0] for what in content.values() if isinstance(what, bytes | tuple)
        ]
        assert size_bytes == sum(map(len, data)) == store.size_bytes(digest)
        assert read_folder(store.path(digest)) == content
        DiskArtifactStore(place / "artifacts").materialize(digest, place / "target")
        assert read_folder(place / "target") == content
        assert store.put_path(place / "target", move=True) == (digest, size_bytes)
