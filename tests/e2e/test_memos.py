"""Tasks that keep something in their process: their runs end, with the right answer. 1,000 runs instead of a few:
`python -m penstock.testing.memos`."""

from __future__ import annotations

from penstock.testing import memos


def test_maps_over_tasks_with_memos_end() -> None:
    """Every kind of a memo, three times."""
    assert memos.main(["--runs", str(3 * len(memos.KINDS))]) == 0
