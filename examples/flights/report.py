"""What people read: a page with the numbers of the run, and one line however it ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from models import Candidate

from penstock import context, task

CARRIER_FLIGHTS_MIN = 500  # fewer flights say little about a carrier
WEIGHTS_SHOWN = 10


@task
def write_report(
    *,
    title: str,
    counts: dict[str, int],
    candidates: list[Candidate],
    validation: list[dict[str, float]],
    baseline_validation: dict[str, float],
    baseline: dict[str, float],
    final: dict[str, float],
    description: str,
    parts: pd.DataFrame,
    weights: pd.DataFrame,
    airlines: pd.DataFrame,
) -> Path:
    """A Markdown page."""
    name_by_carrier = dict(zip(airlines["carrier"], airlines["name"], strict=True))
    models = [("baseline: time of day", baseline_validation)]
    models += [(_name(candidate), metrics) for candidate, metrics in zip(candidates, validation, strict=True)]
    months = parts[parts["part"] == "month"]
    carriers = parts[(parts["part"] == "carrier") & (parts["flights"] >= CARRIER_FLIGHTS_MIN)]
    lines = [
        f"# {title}",
        "",
        f"{counts['planned']:,} flights planned, {counts['cancelled']:,} cancelled, {counts['diverted']:,} diverted.",
        f"Of the other {counts['arrived']:,}, {counts['late'] / counts['arrived']:.1%} were late.",
        "",
        "A prediction uses what is known when a flight is due to leave: the timetable, the plane, where it goes, and",
        "the weather of that hour (as measured, where a forecast would stand in practice). It does not use the delay",
        "at departure, nor anything that happens later.",
        "",
        "## Candidates, on the validation months",
        "",
        *_table(["model", "ROC AUC", "average precision", "log loss", "Brier"], [_row(*model) for model in models]),
        "",
        "## Kept, on the held-out months",
        "",
        f"{description[0].upper()}{description[1:]}. {final['rows']:,.0f} flights, {final['late_rate']:.1%} late.",
        "",
        *_table(
            ["model", "ROC AUC", "average precision", "log loss", "Brier"],
            [_row("kept", final), _row("baseline: time of day", baseline)],
        ),
        "",
        *_table(["month", "flights", "late", "ROC AUC"], [_part(row.value, row) for row in months.itertuples()]),
        "",
        *_table(
            ["carrier", "flights", "late", "ROC AUC"],
            [_part(name_by_carrier.get(row.value, row.value), row) for row in carriers.itertuples()],
        ),
        "",
        "## What it looks at",
        "",
        "How much ROC AUC is lost when one column is shuffled:",
        "",
        *_table(
            ["column", "loss"], [[row.feature, f"{row.loss:.4f}"] for row in weights.head(WEIGHTS_SHOWN).itertuples()]
        ),
    ]
    page = context().scratch / "report.md"
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return page


@task
def summarise(state: str, counts: dict[str, int] | None = None, metrics: dict[str, float] | None = None) -> str:
    """One line about the run, whatever became of it."""
    read = f"{counts['planned']:,} flights read" if counts else "no flights read"
    found = f"held-out ROC AUC {metrics['roc_auc']:.4f}" if metrics else "no model"
    line = f"{state}: {read}, {found}"
    context().logger.info(line)
    return line


def _name(candidate: Candidate) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in candidate["settings"].items())
    return f"{candidate['kind']} ({settings})"


def _row(name: str, metrics: dict[str, float]) -> list[str]:
    return [name, *(f"{metrics[key]:.4f}" for key in ("roc_auc", "average_precision", "log_loss", "brier"))]


def _part(name: str, row: Any) -> list[str]:
    return [name, f"{row.flights:,}", f"{row.late_rate:.1%}", f"{row.roc_auc:.4f}"]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] + ["---:"] * (len(head) - 1), *rows]]
