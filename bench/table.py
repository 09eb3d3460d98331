"""What it costs to pass a table of 1 GB between two tasks: the value handler and the artifact store beside pyarrow
alone.

    python bench/table.py [--folder DIR] [--gigabytes 1] [--rounds 3] [--json]

`bare` writes the table once with pyarrow, synchronises the file, and reads it once with pyarrow (`mapped`: through a
memory map, `copied`: into memory), in turns with the rest. `passed` is what two workers do: the first writes, hashes,
synchronises and names the content; the second, whose store has seen nothing yet, verifies it and hands out a table. A
read is over when every value has been summed. Figures are medians; nothing is asserted."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import polars
import pyarrow
import pyarrow.compute
import pyarrow.ipc

from penstock.stores.artifacts.disk import DiskArtifactStore
from penstock.values.datums import Staging, from_datum, to_datum

COLUMNS = 16
TYPE_BY_LIBRARY = {"pyarrow": "pyarrow:Table", "polars": "polars:DataFrame", "pandas": "pandas:DataFrame"}

Figures = Mapping[str, float]


def make_table(size_bytes: int, seed: int) -> Any:
    """Columns of 8-byte floats, in one batch."""
    rows = size_bytes // (8 * COLUMNS)
    generator = numpy.random.default_rng(seed)
    return pyarrow.table({f"column_{number}": generator.random(rows) for number in range(COLUMNS)})


def summed(table: Any) -> float:
    """The sum of everything in a table of any of the libraries."""
    if isinstance(table, pyarrow.Table):
        return float(sum(pyarrow.compute.sum(column).as_py() for column in table.columns))
    if isinstance(table, polars.DataFrame):
        return float(sum(table.sum().row(0)))
    return float(table.sum().sum())


def measure_bare(table: Any, folder: Path) -> Figures:
    """Seconds for writing once with pyarrow and fsync, and for reading once, mapped and copied."""
    path = folder / "bare.arrow"
    begun = time.perf_counter()
    with path.open("wb") as file:
        with pyarrow.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        file.flush()
        os.fsync(file.fileno())
    written = time.perf_counter()
    with pyarrow.memory_map(str(path)) as source:
        summed(pyarrow.ipc.open_file(source).read_all())
    mapped = time.perf_counter()
    with pyarrow.OSFile(str(path)) as source:
        summed(pyarrow.ipc.open_file(source).read_all())
    copied = time.perf_counter()
    path.unlink()
    return {"bare write": written - begun, "bare read mapped": mapped - written, "bare read copied": copied - mapped}


def measure_passed(value: Any, type_name: str, folder: Path) -> Figures:
    """Seconds in the task that returns the table, and in the task that is given it."""
    declared = {"name": type_name}
    root, scratch = folder / "artifacts", folder / "scratch"
    writing, reading = Staging(scratch, "first"), Staging(scratch, "second")
    first, second = DiskArtifactStore(root), DiskArtifactStore(root)
    first.put_bytes(b"a store that has been used before")
    begun = time.perf_counter()
    datum = to_datum(value, declared, artifacts=first, staging=writing)
    written = time.perf_counter()
    summed(from_datum(datum, declared, artifacts=second, staging=reading))
    read = time.perf_counter()
    writing.clear()
    reading.clear()
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    return {"write": written - begun, "read": read - written}


def medians(measure: Callable[[int], Figures], rounds: int) -> dict[str, float]:
    taken = [measure(number) for number in range(rounds)]
    return {name: statistics.median(one[name] for one in taken) for name in taken[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = make_table(round(options.gigabytes * 1e9), seed=2013)
    make: dict[str, Callable[[], Any]] = {
        "pyarrow": lambda: table,
        "polars": lambda: polars.from_arrow(table),
        "pandas": table.to_pandas,
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        value_by_library = {library: make[library]() for library in TYPE_BY_LIBRARY}

        def measure(_: int) -> Figures:
            figures = dict(measure_bare(table, folder))
            for library, type_name in TYPE_BY_LIBRARY.items():
                passed = measure_passed(value_by_library[library], type_name, folder)
                figures |= {f"{library} {what}": taken for what, taken in passed.items()}
            return figures

        measure_bare(table, folder)  # the first writes after a pause are slower than all others
        figures = medians(measure, options.rounds)
    for library in TYPE_BY_LIBRARY:
        passed = figures[f"{library} write"] + figures[f"{library} read"]
        for way in ("mapped", "copied"):
            figures[f"{library}: passed / bare {way}"] = passed / (figures["bare write"] + figures[f"bare read {way}"])
    if options.json:
        print(json.dumps(figures))
        return
    for text, figure in figures.items():
        print(f"{figure:10.3f}  {text}{'' if ':' in text else ', s'}")


if __name__ == "__main__":
    main()
