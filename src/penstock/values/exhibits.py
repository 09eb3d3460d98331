"""Figures and tables that a task logs, as artifacts. A figure is a folder with one file for each format that it can be
shown in; a table is stored as an output would be. The libraries are the author's: none is imported that made neither."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock.values.datums import Staging, to_artifact
from penstock.values.names import class_name
from penstock.values.store import ArtifactStore
from penstock.wire import Artifact

STEM = "figure"
IMAGES = (".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp", ".pdf", ".html", ".json")
PLOTLY_SCRIPT = "plotly.min.js"
DOTS_PER_INCH = 144
_TABLES = ("pandas", "polars", "pyarrow")


def store_exhibit(kind: str, name: str, value: Any, *, artifacts: ArtifactStore, staging: Staging) -> Artifact:
    """The artifact of a figure or a table. Raises TypeError for what is neither."""
    return (_figure if kind == "figure" else _table)(value, name, artifacts, staging)


# -- figures -----------------------------------------------------------------------------------------------------------


def _figure(value: Any, name: str, artifacts: ArtifactStore, staging: Staging) -> Artifact:
    write = _writer_of(value)
    folder = staging.fresh()
    folder.mkdir()
    write(folder)
    formats = sorted(path.suffix.removeprefix(".") for path in folder.iterdir() if path.stem == STEM)
    digest, size = artifacts.put_path(folder, move=True)
    return Artifact(digest, "path", "tree", size, {"name": name, "formats": formats})


def _writer_of(value: Any) -> Callable[[Path], None]:
    """What writes a figure's files into a folder."""
    if isinstance(value, (str, os.PathLike)):
        path = Path(value)
        if path.suffix.lower() not in IMAGES:
            raise TypeError(f"the path of a figure ends with one of {', '.join(IMAGES)}, not {str(value)!r:.100}")
        return lambda folder: _copy_image(path, folder)
    figure = getattr(value, "figure", None) if _is_of(value, "matplotlib") else value
    if _is_of(figure, "matplotlib") and hasattr(figure, "savefig"):
        return lambda folder: _write_matplotlib(figure, folder)
    if _is_of(value, "plotly") and hasattr(value, "write_html"):
        return lambda folder: _write_plotly(value, folder)
    if _is_of(value, "altair") and hasattr(value, "to_json"):
        return lambda folder: _write_altair(value, folder)
    raise TypeError(
        "a figure is one of matplotlib, plotly or altair, or the path of an image, "
        f"not {class_name(type(value)).removeprefix('builtins:')}"
    )


def _is_of(value: Any, library: str) -> bool:
    return any(cls.__module__.partition(".")[0] == library for cls in type(value).__mro__)


def _copy_image(path: Path, folder: Path) -> None:
    shutil.copyfile(path, folder / f"{STEM}{path.suffix.lower()}")


def _write_matplotlib(figure: Any, folder: Path) -> None:
    import matplotlib

    figure.savefig(folder / f"{STEM}.png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    # Without a date and with settled names the same figure is the same content.
    with matplotlib.rc_context({"svg.hashsalt": STEM}):
        figure.savefig(folder / f"{STEM}.svg", metadata={"Date": None}, bbox_inches="tight")


def _write_plotly(figure: Any, folder: Path) -> None:
    figure.write_json(folder / f"{STEM}.json")
    # The script stands beside the page, so that all figures of a store share one.
    figure.write_html(str(folder / f"{STEM}.html"), include_plotlyjs="directory", div_id=STEM)


def _write_altair(chart: Any, folder: Path) -> None:
    """The Vega-Lite text with its data, however many rows."""
    import altair

    with altair.data_transformers.enable("default", max_rows=None):
        (folder / f"{STEM}.json").write_text(chart.to_json(), encoding="utf-8")


def figure_file(folder: Path, suffix: str) -> bytes | None:
    """One format of a stored figure, as a file that needs no other; None where there is no such format."""
    path = folder / f"{STEM}{suffix.lower()}"
    if not path.is_file():
        return None
    script = folder / PLOTLY_SCRIPT
    if path.suffix != ".html" or not script.is_file():
        return path.read_bytes()
    text, tag = path.read_text(encoding="utf-8"), f'src="{PLOTLY_SCRIPT}">'
    return text.replace(tag, f">{script.read_text(encoding='utf-8')}", 1).encode()


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(value: Any, name: str, artifacts: ArtifactStore, staging: Staging) -> Artifact:
    if isinstance(value, list) and all(isinstance(row, Mapping) for row in value):
        rows = [dict(row) for row in value]
        columns = dict.fromkeys(str(column) for row in rows for column in row)
        stored = to_artifact(rows, artifacts=artifacts, staging=staging)
        return replace(stored, metadata={"rows": len(rows), "columns": len(columns)})
    if any(_is_of(value, library) for library in _TABLES) and hasattr(value, "columns") and hasattr(value, "shape"):
        return to_artifact(value, artifacts=artifacts, staging=staging)
    raise TypeError(
        "a table is one of pandas, polars or pyarrow, or a list of dicts, "
        f"not {class_name(type(value)).removeprefix('builtins:')}"
    )
