"""What a month is like, over all airports: the one part of this pipeline that is Python."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple


class Seasons(NamedTuple):
    """`share_by_month`: the share of late departures by month. `worst` and `best` are months."""

    share_by_month: dict[str, float]
    worst: str
    best: str


def compare(months: Path) -> Seasons:
    """`months` is a CSV file with the columns month, flown and late."""
    flown: dict[str, int] = defaultdict(int)
    late: dict[str, int] = defaultdict(int)
    with months.open(newline="") as file:
        for row in csv.DictReader(file):
            flown[row["month"]] += int(row["flown"])
            late[row["month"]] += int(row["late"])
    shares = {month: round(late[month] / flown[month], 4) for month in sorted(flown)}
    return Seasons(shares, worst=max(shares, key=shares.__getitem__), best=min(shares, key=shares.__getitem__))
