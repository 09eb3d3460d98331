"""What people read: a plot, a page with the numbers of the run, and one line however it ended."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
from models import Candidate

from penstock import context, task

CARRIER_FLIGHTS_MIN = 500  # fewer flights say little about a carrier
WEIGHTS_SHOWN = 10
METRICS = ["model", "ROC AUC", "average precision", "log loss", "Brier"]
PARTS = ["part", "flights", "late", "expected late", "ROC AUC"]


@task
def plot_results(parts: pd.DataFrame, airlines: pd.DataFrame) -> Path:
    """A picture by month and airline: how many flights were late and how many were expected to be, and how well late
    flights are ranked."""
    from matplotlib.figure import Figure  # here, since no other task needs half a second of importing it

    shown = _carriers_shown(parts, airlines)
    months = sorted(parts.loc[parts["month"] > 0, "month"].unique())
    figure = Figure(figsize=(10, 0.45 * len(shown) + 1.6), layout="constrained")
    rates, ranks = figure.subplots(1, 2, sharey=True)
    place_by_carrier = {carrier: place for place, carrier in enumerate(shown)}
    for position, month in enumerate(months):
        rows = parts[(parts["month"] == month) & parts["carrier"].isin(list(shown))]
        height = 0.8 / len(months)
        places = rows["carrier"].map(place_by_carrier) + (position - (len(months) - 1) / 2) * height
        rates.barh(places, rows["late_rate"], height * 0.9, color=f"C{position}", label=f"month {month}: late")
        rates.plot(rows["predicted_rate"], places, "k|", markersize=9, label="expected" if position == 0 else None)
        ranks.plot(rows["roc_auc"], places, "o", color=f"C{position}", label=f"month {month}")
    rates.set(xlabel="share of flights that were late", yticks=range(len(shown)), yticklabels=shown.values())
    rates.invert_yaxis()
    rates.legend(loc="lower right", fontsize="small")
    ranks.axvline(0.5, color="0.7", linestyle="--")
    ranks.set(xlabel="ROC AUC (0.5: no better than chance)")
    ranks.legend(loc="lower right", fontsize="small")
    picture = context().scratch / "results.png"
    figure.savefig(picture, dpi=120)
    return picture


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
    plot: Path,
) -> Path:
    """A folder with a Markdown page and the picture that it shows."""
    models = [("baseline: time of day", baseline_validation)]
    models += [(_name(candidate), metrics) for candidate, metrics in zip(candidates, validation, strict=True)]
    months = parts[parts["carrier"] == ""]
    shown = _carriers_shown(parts, airlines)
    carriers = parts[(parts["month"] == 0) & parts["carrier"].isin(list(shown))]
    lines = [
        f"# {title}",
        "",
        f"{counts['planned']:,} flights planned, {counts['cancelled']:,} cancelled, {counts['diverted']:,} diverted.",
        f"Of the other {counts['arrived']:,}, {counts['late'] / counts['arrived']:.1%} were late.",
        "",
        "A prediction uses what is known when a flight is due to leave: the timetable, the plane, where it goes, and",
        "the weather of that hour (as measured, where a forecast would stand in practice). It does not use the delay",
        "at departure, nor anything that happens later. Rates of lateness per plane, destination and route are learned",
        "from the training months alone.",
        "",
        "## Candidates, on the validation months",
        "",
        *_table(METRICS, [_row(*model) for model in models]),
        "",
        "## Kept, on the held-out months",
        "",
        f"{description[0].upper()}{description[1:]}. {final['rows']:,.0f} flights.",
        "",
        *_table(METRICS, [_row("kept", final), _row("baseline: time of day", baseline)]),
        "",
        *_verdict(final, baseline),
        "",
        *_table(PARTS, [_part(f"month {row.month}", row) for row in months.itertuples()]),
        "",
        *_table(PARTS, [_part(shown[row.carrier], row) for row in carriers.itertuples()]),
        "",
        "![by month and airline](results.png)",
        "",
        "## What it looks at",
        "",
        "How much ROC AUC is lost when one column is shuffled:",
        "",
        *_table(
            ["column", "loss"], [[row.feature, f"{row.loss:.4f}"] for row in weights.head(WEIGHTS_SHOWN).itertuples()]
        ),
    ]
    folder = context().scratch / "report"
    folder.mkdir()
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copy(plot, folder / "results.png")
    return folder


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


def _carriers_shown(parts: pd.DataFrame, airlines: pd.DataFrame) -> dict[str, str]:
    """The names of carriers with enough flights to say something about, most flights first."""
    known = dict(zip(airlines["carrier"], airlines["name"], strict=True))
    whole = parts[(parts["month"] == 0) & (parts["flights"] >= CARRIER_FLIGHTS_MIN)]
    whole = whole.sort_values(["flights", "carrier"], ascending=[False, True])
    return {carrier: known.get(carrier, carrier) for carrier in whole["carrier"]}


def _verdict(final: dict[str, float], baseline: dict[str, float]) -> list[str]:
    """What the numbers are worth, said as they came out."""
    gain = final["roc_auc"] - baseline["roc_auc"]
    missed = final["late_rate"] - final["predicted_rate"]
    return textwrap.wrap(
        f"Of a late flight and one that was not, it ranks the late one higher {final['roc_auc']:.0%} of the time, and the"
        f" baseline {baseline['roc_auc']:.0%}: {'a gain' if gain > 0 else 'no gain'} of {gain:+.4f}. It expected"
        f" {final['predicted_rate']:.1%} of flights to be late, and {final['late_rate']:.1%} were: its probabilities are too"
        f" {'low' if missed > 0 else 'high'} by {abs(missed):.1%} taken together, and by more for single months and"
        " airlines, which are not like those that it was fitted on.",
        width=110,
    )


def _row(name: str, metrics: dict[str, float]) -> list[str]:
    return [name, *(f"{metrics[key]:.4f}" for key in ("roc_auc", "average_precision", "log_loss", "brier"))]


def _part(name: str, row: Any) -> list[str]:
    return [name, f"{row.flights:,}", f"{row.late_rate:.1%}", f"{row.predicted_rate:.1%}", f"{row.roc_auc:.4f}"]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in [head, ["---"] + ["---:"] * (len(head) - 1), *rows]]
