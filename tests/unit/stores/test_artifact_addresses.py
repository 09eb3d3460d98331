"""What an address is, and that a listing says the same whatever wrote it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.artifacts.digests import digest_of_bytes, digest_of_listing, is_tree, split
from penstock.stores.artifacts.trees import Entry, FileEntry, FolderEntry, LinkEntry, entries_from, listing_of, size_of

# The specification's own vector for no input.
OF_NOTHING = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

# Any text that a file system can hold a name in, bytes that are no UTF-8 (lone surrogates in Python) included.
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1)
digests = st.binary(max_size=4).map(digest_of_bytes)
entries = st.one_of(
    st.builds(FileEntry, names, st.booleans(), digests, st.integers(0, 2**63)),
    st.builds(FolderEntry, names),
    st.builds(LinkEntry, names, names),
)


def test_the_address_of_nothing_is_the_published_one() -> None:
    assert digest_of_bytes(b"") == f"blake3:{OF_NOTHING}"
    assert digest_of_listing(b"") == f"tree:{OF_NOTHING}"


@pytest.mark.parametrize("size_bytes", [(4 << 20) - 1, 4 << 20, (4 << 20) + 1])
def test_threads_do_not_change_an_address(size_bytes: int) -> None:
    from blake3 import blake3

    data = b"\x5a" * size_bytes
    assert digest_of_bytes(data) == f"blake3:{blake3(data, max_threads=1).hexdigest()}"


def test_only_addresses_are_split() -> None:
    assert split(f"blake3:{OF_NOTHING}") == ("file", OF_NOTHING)
    assert split(f"tree:{OF_NOTHING}") == ("tree", OF_NOTHING)
    assert is_tree(f"tree:{OF_NOTHING}")
    assert not is_tree(f"blake3:{OF_NOTHING}")
    for text in (
        "",
        OF_NOTHING,
        f"sha256:{OF_NOTHING}",
        f"blake3:{OF_NOTHING}\n",
        f"blake3:{OF_NOTHING.upper()}",
        "tree:../x",
    ):
        assert split(text) is None


@given(st.lists(entries))
def test_a_listing_comes_back(listed: list[Entry]) -> None:
    text = listing_of(tuple(listed))
    assert text.isascii()
    assert entries_from(text) == tuple(listed)
    assert size_of(tuple(listed)) == sum(entry.size_bytes for entry in listed if isinstance(entry, FileEntry))


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"{}",
        b'{"entries":[],"version":2}',
        b'{"entries":[["a","device"]],"version":1}',
        b'{"entries":["a"],"version":1}',
    ],
)
def test_what_is_no_listing_is_refused(listing: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        entries_from(listing)
