"""What a task run's path says of its place (semantics 5, 11): the node that holds it, which item, case or round of that, and
its own name. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """`holder` is the path of the task run whose graph it stands in, "" for the pipeline's own; `key` the item, case or
    round, "" where the holder has none; `before` is all of the path before the name."""

    holder: str
    key: str
    name: str
    before: str


def place_of(path: str) -> Place:
    """Items, cases and rounds are numbers, and no name begins with a digit; `~n` is the holder's generation."""
    above, slash, name = path.rpartition("/")
    if not slash:
        return Place("", "", name, "")
    head, _, last = above.rpartition("/")
    key = last if last[0] <= "9" else ""  # a letter or _ otherwise
    base = head if key else above
    if "~" in base:
        generation = base.rfind("~")
        if generation > base.rfind("/"):
            base = base[:generation]
    return Place(base, key, name, above + slash)
