"""What every artifact store keeps to when content is listed and deleted. `CHECKS` are as those of `artifact_store`, for
the same `Subject`."""

from __future__ import annotations

import time
from collections.abc import Callable

from penstock.base.errors import ArtifactMissing
from penstock.testing.conformance.artifact_store import (
    ABSENT,
    ABSENT_TREE,
    LARGE,
    Subject,
    expect,
    make_folder,
    read_folder,
)


def what_is_there_is_listed(subject: Subject) -> None:
    assert list(subject.store().digests()) == []
    store = subject.store()
    first, second = store.put_bytes(b"1"), store.put_bytes(b"2")
    folder = make_folder(subject.scratch / "folder", {"a": b"1", "in/b": b"3"})
    tree, _ = store.put_path(folder)
    listed = list(subject.store().digests())
    assert listed[0] == tree, "folders first"
    assert sorted(listed) == sorted([tree, first, second, store.put_bytes(b"3")])


def what_is_deleted_is_missing(subject: Subject) -> None:
    store, other = subject.store(), subject.store()
    digest, kept = store.put_bytes(b"content"), store.put_bytes(b"kept")
    assert other.get_bytes(digest) == b"content"
    assert store.freeable_bytes([digest, ABSENT], unused_ms=0) == 7
    assert store.delete(digest, unused_ms=0) == 7
    for one in (store, other, subject.store()):
        assert not one.has(digest)
        assert not one.keep(digest)
        for read in (one.get_bytes, one.open, one.path, one.size_bytes):
            expect(ArtifactMissing, read, digest)
        expect(ArtifactMissing, one.materialize, digest, subject.scratch / "target")
        assert one.get_bytes(kept) == b"kept"
    assert list(store.digests()) == [kept]
    for absent in (digest, ABSENT, ABSENT_TREE, "nothing", "blake3:../../etc", ""):
        assert store.delete(absent, unused_ms=0) == 0
        assert not store.keep(absent)
    assert other.put_bytes(b"content") == digest, "and can be stored again"
    assert store.get_bytes(digest) == b"content"


def what_was_just_used_is_left_alone(subject: Subject) -> None:
    store = subject.store()
    file = subject.scratch / "file"
    file.write_bytes(b"file")
    folder = make_folder(subject.scratch / "folder", {"a": b"1"})
    digests = [store.put_bytes(b"bytes"), store.put_path(file)[0], store.put_path(folder)[0]]
    for digest in digests:
        assert subject.store().freeable_bytes([digest]) == subject.store().delete(digest) == 0
        assert store.has(digest)


def storing_again_and_keeping_count_as_use(subject: Subject) -> None:
    file = subject.scratch / "file"
    folder = make_folder(subject.scratch / "folder", {"a": b"1"})

    def moved() -> str:
        file.write_bytes(b"moved")
        return subject.store().put_path(file, move=True)[0]

    kept = subject.store().put_bytes(b"kept")
    uses: list[Callable[[], str]] = [
        lambda: subject.store().put_bytes(b"bytes"),
        moved,
        lambda: subject.store().put_path(folder)[0],
        lambda: kept if subject.store().keep(kept) else "gone",
    ]
    for number, use in enumerate(uses):
        assert _survives_only_by_use(subject, use(), use), number


def _survives_only_by_use(subject: Subject, digest: str, use: Callable[[], object]) -> bool:
    """Let content grow old, use it, and see that it counts as new. Only a try in which all of that took less than the
    age that is asked for says anything."""
    store = subject.store()
    age_ms = 250
    while True:
        while not store.freeable_bytes([digest], unused_ms=age_ms):
            time.sleep(0.005)
        begun = time.monotonic()
        use()
        freed = store.delete(digest, unused_ms=age_ms)
        if (time.monotonic() - begun) * 1e3 < age_ms:
            return freed == 0 and store.has(digest)
        use()


def who_reads_keeps_what_was_opened(subject: Subject) -> None:
    store = subject.store()
    digest = store.put_bytes(LARGE)
    with store.open(digest) as file:
        begun = file.read(1_000)
        assert subject.store().delete(digest, unused_ms=0) == len(LARGE)
        assert begun + file.read() == LARGE


def folders_share_their_files_until_the_last_one_goes(subject: Subject) -> None:
    store = subject.store()
    shared, own = LARGE, b"own" * 1_000
    one = store.put_path(make_folder(subject.scratch / "one", {"a": shared, "b": own, "again": own}))[0]
    two = store.put_path(make_folder(subject.scratch / "two", {"in/a": shared, "run": (own, 0o755)}))[0]
    file, other = store.put_bytes(shared), store.put_bytes(own)
    everything = list(store.digests())
    expected = store.freeable_bytes(everything, unused_ms=0)
    # Files, the executable one apart from the other, and two short listings.
    assert 0 < expected - len(shared) - 2 * len(own) < 2_000
    assert store.freeable_bytes([one], unused_ms=0) < 1_000, "its files stay"
    freed = store.delete(one, unused_ms=0)
    assert freed < 1_000
    assert read_folder(subject.store().path(two)) == {"in": None, "in/a": shared, "run": (own, 0o755)}
    assert subject.store().get_bytes(file) == shared
    freed += store.delete(file, unused_ms=0)
    assert read_folder(subject.store().path(two))["in/a"] == shared, "whatever becomes of the file by itself"
    assert store.put_path(subject.scratch / "one")[0] == one
    assert read_folder(subject.store().path(one)) == {"a": shared, "b": own, "again": own}
    freed = sum(store.delete(digest, unused_ms=0) for digest in list(store.digests()))
    assert freed == expected
    assert list(store.digests()) == []
    for digest in (one, two, file, other):
        assert not store.has(digest)
    expect(ArtifactMissing, store.path, two)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    what_is_there_is_listed,
    what_is_deleted_is_missing,
    what_was_just_used_is_left_alone,
    storing_again_and_keeping_count_as_use,
    who_reads_keeps_what_was_opened,
    folders_share_their_files_until_the_last_one_goes,
)
