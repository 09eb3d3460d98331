"""What every artifact store keeps to. `CHECKS` are functions of a `Subject`; a test runs each of them over its own
store:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_store(check, tmp_path): check(MySubject(tmp_path))

Each check gets a subject of its own, whose store is empty. A store that fails a check raises AssertionError."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from penstock.base.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput
from penstock.values.store import ArtifactStore

ABSENT = "blake3:" + "0" * 64
ABSENT_TREE = "tree:" + "0" * 64
LARGE = bytes(range(256)) * 40_000  # 10 MB: more than a store reads, writes or hashes in one go


class Subject(Protocol):
    """The store under test and what a test needs around it. `scratch` is an existing, empty, private folder in the file
    system of the store, if that has one."""

    scratch: Path

    def store(self) -> ArtifactStore:
        """The store as a new process sees it: content is that of the earlier ones, nothing else is remembered."""
        ...

    def damage(self, digest: str) -> None:
        """Change stored bytes without changing how many there are (of a folder: of one of its files)."""
        ...


def bytes_come_back(subject: Subject) -> None:
    for data in (b"", b"x", b"\0\n\r" * 100, LARGE):
        digest = subject.store().put_bytes(data)
        assert digest == f"blake3:{blake3(data).hexdigest()}"
        store = subject.store()
        assert store.has(digest)
        assert store.size_bytes(digest) == len(data)
        assert store.get_bytes(digest) == data
        with store.open(digest) as file:
            assert file.read(2) + file.read() == data
        assert store.path(digest).read_bytes() == data


def storing_again_changes_nothing(subject: Subject) -> None:
    store = subject.store()
    file = subject.scratch / "file"
    file.write_bytes(b"the same")
    digest = store.put_bytes(b"the same")
    before = store.path(digest).stat()
    assert store.put_bytes(b"the same") == digest
    assert store.put_path(file) == (digest, 8)
    assert subject.store().put_path(file, move=True) == (digest, 8)
    assert not file.exists()
    after = store.path(digest).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def a_stored_file_is_apart_from_its_source(subject: Subject) -> None:
    store = subject.store()
    source = subject.scratch / "source"
    source.write_bytes(LARGE)
    digest, size_bytes = store.put_path(source)
    assert size_bytes == len(LARGE)
    with source.open("r+b") as file:
        file.write(b"changed")
    assert store.get_bytes(digest) == LARGE
    assert subject.store().get_bytes(digest) == LARGE


def moving_takes_the_source(subject: Subject) -> None:
    store = subject.store()
    for data in (b"small", LARGE):
        source = subject.scratch / "source"
        source.write_bytes(data)
        digest, size_bytes = store.put_path(source, move=True)
        assert (digest, size_bytes) == (f"blake3:{blake3(data).hexdigest()}", len(data))
        assert not source.exists()
        assert subject.store().get_bytes(digest) == data


def moving_leaves_nobody_a_hold(subject: Subject) -> None:
    """A file that has a second name, or that is a link, is copied: writing through the other name must not reach us."""
    store = subject.store()
    source, other = subject.scratch / "source", subject.scratch / "other"
    source.write_bytes(b"linked")
    os.link(source, other)
    digest, _ = store.put_path(source, move=True)
    other.write_bytes(b"broken")
    assert subject.store().get_bytes(digest) == b"linked"
    other.write_bytes(b"pointed to")
    source.symlink_to(other)
    digest, _ = store.put_path(source, move=True)
    assert other.read_bytes() == b"pointed to"
    other.write_bytes(b"broken too")
    assert subject.store().get_bytes(digest) == b"pointed to"
    assert not source.is_symlink()


def what_has_a_path_is_read_only(subject: Subject) -> None:
    store = subject.store()
    path = store.path(store.put_bytes(b"content"))
    assert not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    folder = make_folder(subject.scratch / "folder", {"a": b"1", "run": (b"2", 0o755)})
    stored = store.path(store.put_path(folder)[0])
    for name in ("a", "run"):
        assert not (stored / name).stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)


def what_is_handed_out_is_the_users_own(subject: Subject) -> None:
    store = subject.store()
    digest = store.put_bytes(b"content")
    target = subject.scratch / "made" / "for" / "it" / "file"
    store.materialize(digest, target)
    assert target.stat().st_nlink == 1
    assert target.stat().st_mode & stat.S_IWUSR
    target.write_bytes(b"changed")
    assert subject.store().get_bytes(digest) == b"content"
    store.materialize(digest, target)  # a file takes the place of a file
    assert target.read_bytes() == b"content"
    assert [child.name for child in target.parent.iterdir()] == ["file"]
    expect(InvalidInput, store.materialize, digest, target.parent)


def folders_come_back(subject: Subject) -> None:
    content: dict[str, Content] = {
        "a.txt": b"text",
        "again.txt": b"text",
        "run.sh": (b"#!/bin/sh\n", 0o755),
        "empty": None,
        "deep/er/data.bin": LARGE,
        "deep/up": "../a.txt",
        "deep/dangling": "nothing/here",
        "to-folder": "deep/er/",
        "naïve name\n": b"",
    }
    folder = make_folder(subject.scratch / "folder", content)
    digest, size_bytes = subject.store().put_path(folder)
    assert digest.startswith("tree:")
    assert size_bytes == len(LARGE) + 4 + 4 + 10
    store = subject.store()
    assert store.has(digest)
    assert store.size_bytes(digest) == size_bytes
    assert read_folder(store.path(digest)) == content | {"deep": None, "deep/er": None}
    target = subject.scratch / "target"
    store.materialize(digest, target)
    assert read_folder(target) == read_folder(folder)
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.stat().st_nlink == 1
            assert path.stat().st_mode & stat.S_IWUSR
    (target / "a.txt").write_bytes(b"else")
    (target / "deep" / "new").write_bytes(b"else")
    assert read_folder(subject.store().path(digest)) == read_folder(folder)
    expect(InvalidInput, store.materialize, digest, target)
    expect(ValueError, store.get_bytes, digest)
    expect(ValueError, store.open, digest)


def a_folders_digest_is_its_listings(subject: Subject) -> None:
    folder = make_folder(subject.scratch / "folder", {"b/x": (b"1", 0o700), "a": b"22", "b/l": "../a", "c": None})
    listing = {
        "entries": [
            ["a", "file", False, f"blake3:{blake3(b'22').hexdigest()}", 2],
            ["b", "folder"],
            ["b/l", "link", "../a"],
            ["b/x", "file", True, f"blake3:{blake3(b'1').hexdigest()}", 1],
            ["c", "folder"],
        ],
        "version": 1,
    }
    text = json.dumps(listing, separators=(",", ":"))
    assert subject.store().put_path(folder) == (f"tree:{blake3(text.encode()).hexdigest()}", 3)


def a_folders_digest_says_what_counts(subject: Subject) -> None:
    store = subject.store()
    content: dict[str, Content] = {"a": b"1", "b/c": b"2", "d": "a", "e": None}
    first = make_folder(subject.scratch / "first", content)
    digest = store.put_path(first)[0]
    same = make_folder(subject.scratch / "same", dict(reversed(content.items())))
    os.utime(same / "a", (1, 1))
    (same / "a").chmod(0o640)
    assert store.put_path(same)[0] == digest
    changes: tuple[dict[str, Content], ...] = (
        {"a": b"2"},
        {"a": (b"1", 0o755)},
        {"d": "b/c"},
        {"d": b"1"},
        {"e": b""},
        {"f": None},
        {"b/d": b"2"},
    )
    digests = {digest}
    for number, change in enumerate(changes):
        digests.add(store.put_path(make_folder(subject.scratch / str(number), content | change))[0])
    assert len(digests) == 1 + len(changes)


def an_empty_folder_is_content(subject: Subject) -> None:
    folder = make_folder(subject.scratch / "folder", {})
    digest, size_bytes = subject.store().put_path(folder)
    assert size_bytes == 0
    target = subject.scratch / "target"
    target.mkdir()  # a folder takes the place of an empty folder
    subject.store().materialize(digest, target)
    assert list(target.iterdir()) == []


def a_moved_folder_is_gone(subject: Subject) -> None:
    content: dict[str, Content] = {"a": LARGE, "b/c": (b"2", 0o755), "l": "a"}
    folder = make_folder(subject.scratch / "folder", content)
    digest, _ = subject.store().put_path(folder, move=True)
    assert not folder.exists()
    assert read_folder(subject.store().path(digest)) == content | {"b": None}
    other = make_folder(subject.scratch / "other", {"a": b"not ours"})
    folder.symlink_to(other)
    subject.store().put_path(folder, move=True)
    assert not folder.is_symlink()
    assert read_folder(other) == {"a": b"not ours"}


def links_that_leave_are_refused(subject: Subject) -> None:
    (subject.scratch / "outside").write_bytes(b"secret")
    store = subject.store()
    cases: tuple[dict[str, Content], ...] = (
        {"l": "/etc/hostname"},
        {"l": str(subject.scratch / "outside")},
        {"l": "../outside"},
        {"a/b/l": "../../../outside"},
        {"l": "../4/x", "x": b"1"},  # comes back, by a name that the folder will not have
        {"a/b/x": b"1", "a/b/up": "../..", "l": "a/b/up/../outside"},
        {"l": "m", "m": "l"},
    )
    for number, content in enumerate(cases):
        folder = make_folder(subject.scratch / str(number), content)
        error = expect(InvalidInput, store.put_path, folder)
        assert str(folder) in str(error)
        assert read_folder(folder).keys() >= content.keys()


def what_is_no_content_is_refused(subject: Subject) -> None:
    store = subject.store()
    folder = make_folder(subject.scratch / "folder", {"a": b"1"})
    os.mkfifo(folder / "pipe")
    expect(InvalidInput, store.put_path, folder)
    expect(InvalidInput, store.put_path, folder / "pipe")
    expect(InvalidInput, store.put_path, subject.scratch / "nothing")


def what_is_not_there_is_missing(subject: Subject) -> None:
    store = subject.store()
    for digest in (ABSENT, ABSENT_TREE, "", "blake3:", "blake3:../../secret", "sha256:" + "0" * 64, ABSENT.upper()):
        assert not store.has(digest)
        expect(ArtifactMissing, store.size_bytes, digest)
        expect(ArtifactMissing, store.path, digest)
        expect(ArtifactMissing, store.materialize, digest, subject.scratch / "target")
    expect(ArtifactMissing, store.get_bytes, ABSENT)
    expect(ArtifactMissing, store.open, ABSENT)
    assert list(subject.scratch.iterdir()) == []


def corrupt_files_are_never_handed_out(subject: Subject) -> None:
    reads: tuple[Callable[[ArtifactStore, str], object], ...] = (
        lambda store, digest: store.get_bytes(digest),
        lambda store, digest: store.open(digest),
        lambda store, digest: store.path(digest),
        lambda store, digest: store.materialize(digest, subject.scratch / "target"),
    )
    for data in (b"content", LARGE):
        for read in reads:
            digest = subject.store().put_bytes(data)
            subject.damage(digest)
            store = subject.store()
            error = expect(ArtifactCorrupt, read, store, digest)
            assert digest in str(error)
            # It is out of the way: from now on it is missing, until somebody stores it again.
            assert not store.has(digest)
            expect(ArtifactMissing, read, store, digest)
            assert store.put_bytes(data) == digest
            assert store.get_bytes(digest) == data
            assert not (subject.scratch / "target").exists()


def corrupt_files_are_put_right_by_storing_again(subject: Subject) -> None:
    file = subject.scratch / "file"
    for data in (b"content", LARGE):
        for move in (False, True):
            file.write_bytes(data)
            digest, _ = subject.store().put_path(file)
            subject.damage(digest)
            assert subject.store().put_path(file, move=move) == (digest, len(data))
            assert subject.store().get_bytes(digest) == data


def corrupt_folders_are_never_handed_out(subject: Subject) -> None:
    content: dict[str, Content] = {"a": b"1", "b/c": LARGE}
    folder = make_folder(subject.scratch / "folder", content)
    digest, _ = subject.store().put_path(folder)
    subject.damage(digest)
    store = subject.store()
    expect(ArtifactCorrupt, store.materialize, digest, subject.scratch / "target")
    assert not (subject.scratch / "target").exists()
    assert not store.has(digest)
    expect(ArtifactMissing, store.path, digest)
    assert store.put_path(folder)[0] == digest
    assert read_folder(subject.store().path(digest)) == content | {"b": None}
    subject.damage(digest)
    assert subject.store().put_path(folder)[0] == digest
    assert read_folder(subject.store().path(digest)) == content | {"b": None}


CHECKS: tuple[Callable[[Subject], None], ...] = (
    bytes_come_back,
    storing_again_changes_nothing,
    a_stored_file_is_apart_from_its_source,
    moving_takes_the_source,
    moving_leaves_nobody_a_hold,
    what_has_a_path_is_read_only,
    what_is_handed_out_is_the_users_own,
    folders_come_back,
    a_folders_digest_is_its_listings,
    a_folders_digest_says_what_counts,
    an_empty_folder_is_content,
    a_moved_folder_is_gone,
    links_that_leave_are_refused,
    what_is_no_content_is_refused,
    what_is_not_there_is_missing,
    corrupt_files_are_never_handed_out,
    corrupt_files_are_put_right_by_storing_again,
    corrupt_folders_are_never_handed_out,
)


# -- folders, written as what they hold ------------------------------------------------------------------------------

Content = bytes | tuple[bytes, int] | str | None
"""A file's bytes, bytes and mode of an executable file, the target of a link, or a folder."""


def make_folder(folder: Path, content: Mapping[str, Content]) -> Path:
    """A new folder that holds `content` by relative path."""
    folder.mkdir()
    for name, what in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        match what:
            case None:
                path.mkdir(exist_ok=True)
            case str():
                path.symlink_to(what)
            case bytes():
                path.write_bytes(what)
            case (data, mode):
                path.write_bytes(data)
                path.chmod(mode)
    return folder


def read_folder(folder: Path) -> dict[str, Content]:
    """What a folder holds, in the terms of `make_folder`; every executable file has the mode 0755."""
    content: dict[str, Content] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            content[name] = os.readlink(path)
        elif path.is_dir():
            content[name] = None
        elif path.stat().st_mode & stat.S_IXUSR:
            content[name] = (path.read_bytes(), 0o755)
        else:
            content[name] = path.read_bytes()
    return content


def expect(kind: type[Exception], call: Callable[..., object], *arguments: object) -> Exception:
    try:
        answer = call(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised; the answer was {answer!r}")
