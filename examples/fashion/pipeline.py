"""What does an image show? A small convolutional network learns it from 60,000 images, on the CPU, in a few minutes.

    apt install dataset-fashion-mnist; pip install torch matplotlib
    penstock run examples/fashion/pipeline.py

Each round of training is a task run of a loop, which ends when the validation images have not been told better for some
rounds. A round that is killed goes on from its last save; a run with more rounds takes the ones before from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from images import find_files, read, split
from network import begin, one_round
from report import measure_baseline, measure_test, plot_table, write_report

from penstock import loop_until, pipeline


class Result(NamedTuple):
    """What a run gives. `rounds`: how many rounds of training there were."""

    report: Path
    metrics: dict[str, float]
    baseline: dict[str, float]
    rounds: int


@pipeline
def fashion(
    folder: str = "", images_max: int = 60_000, patience: int = 2, batch: int = 128, rate: float = 0.001, seed: int = 7
) -> Result:
    """Learn from at most `images_max` images in `folder` until `patience` rounds have brought nothing."""
    files = find_files(folder)
    learned = read(files.train_images, files.train_kinds, images_max)
    test = read(files.test_images, files.test_kinds, images_max)
    parts = split(learned.images, learned.kinds, 0.1, seed)

    start = begin(seed, rate)
    trained = loop_until(
        one_round,
        lambda after: after.waited >= patience,
        rounds_max=12,
        round_to="number",
        training=start.training,
        best=start.best,
        accuracy=start.accuracy,
        waited=start.waited,
        train_images=parts.train_images,
        train_kinds=parts.train_kinds,
        validation_images=parts.validation_images,
        validation_kinds=parts.validation_kinds,
        batch=batch,
        rate=rate,
        seed=seed,
    )

    baseline = measure_baseline(parts.train_images, parts.train_kinds, test.images, test.kinds)
    measured = measure_test(trained.best, test.images, test.kinds)
    report = write_report(
        metrics=measured.metrics,
        baseline=baseline,
        table=measured.table,
        accuracy=trained.accuracy,
        rounds=trained.rounds,
        stopped=trained.met,
        plot=plot_table(measured.table),
    )
    return Result(report, measured.metrics, baseline, trained.rounds)
