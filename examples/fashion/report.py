"""How good the network is on images that it has never seen, beside a baseline that needs no training worth the name."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from images import KINDS_OF_CLOTHES
from network import KINDS, probabilities

from penstock import context, task


class Measured(NamedTuple):
    """`table` counts images by what they show (rows) and what they were taken for (columns)."""

    metrics: dict[str, float]
    table: list[list[int]]


@task
def measure_baseline(
    images: np.ndarray, kinds: np.ndarray, test_images: np.ndarray, test_kinds: np.ndarray
) -> dict[str, float]:
    """Each image is taken for the kind whose mean image is nearest."""
    means = np.stack([images[kinds == kind].reshape(-1, 28 * 28).mean(0) for kind in range(KINDS)])
    pixels = test_images.reshape(-1, 28 * 28).astype("float64")
    distances = ((pixels[:, None, :] - means[None]) ** 2).sum(2)
    return {"accuracy": float((distances.argmin(1) == test_kinds).mean())}


@task
def measure_test(weights: OrderedDict, images: np.ndarray, kinds: np.ndarray) -> Measured:
    """Accuracy, log loss, and what was taken for what."""
    told = probabilities(weights, images)
    table = np.zeros((KINDS, KINDS), dtype=int)
    np.add.at(table, (kinds, told.argmax(1)), 1)
    true = told[np.arange(len(kinds)), kinds]
    metrics = {
        "images": float(len(kinds)),
        "accuracy": float(np.trace(table) / len(kinds)),
        "log_loss": float(-np.log(np.clip(true, 1e-12, 1)).mean()),
    }
    for name, value in metrics.items():
        context().log_metric(name, value)
    return Measured(metrics, table.tolist())


@task
def plot_table(table: list[list[int]]) -> Path:
    """What was taken for what, as a picture."""
    from matplotlib.figure import Figure  # here, since no other task needs half a second of importing it

    shares = np.array(table) / np.maximum(np.sum(table, axis=1, keepdims=True), 1)
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(shares.shape):
        if shares[row, column] >= 0.01:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{shares[row, column]:.0%}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(KINDS), KINDS_OF_CLOTHES, rotation=45, ha="right")
    axes.set_yticks(range(KINDS), KINDS_OF_CLOTHES)
    axes.set(xlabel="taken for", ylabel="shows")
    picture = context().scratch / "table.png"
    figure.savefig(picture, dpi=120)
    return picture


@task
def write_report(
    *,
    metrics: dict[str, float],
    baseline: dict[str, float],
    table: list[list[int]],
    accuracy: float,
    rounds: int,
    stopped: bool,
    plot: Path,
) -> Path:
    """A folder with a Markdown page and the picture that it shows."""
    counts = np.array(table)
    mistakes = sorted(
        ((int(counts[row, column]), row, column) for row, column in np.ndindex(counts.shape) if row != column),
        reverse=True,
    )
    why = "since nothing had become better" if stopped else "since there were to be no more"
    lines = [
        "# What do they wear?",
        "",
        f"Training ended after {rounds} rounds, {why}. The best weights told {accuracy:.1%} of the validation images",
        f"right; of {metrics['images']:,.0f} test images, which nothing was chosen by, {metrics['accuracy']:.1%}.",
        "",
        "| model | accuracy | log loss |",
        "| --- | ---: | ---: |",
        f"| network | {metrics['accuracy']:.4f} | {metrics['log_loss']:.4f} |",
        f"| baseline: the nearest mean image | {baseline['accuracy']:.4f} | |",
        "",
        "## Taken for something else",
        "",
        "| shows | taken for | images |",
        "| --- | --- | ---: |",
        *(f"| {KINDS_OF_CLOTHES[row]} | {KINDS_OF_CLOTHES[column]} | {count} |" for count, row, column in mistakes[:5]),
        "",
        "![what was taken for what](table.png)",
    ]
    folder = context().scratch / "report"
    folder.mkdir()
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copy(plot, folder / "table.png")
    return folder
