"""Which flights from New York will be late? A pipeline over all 336,776 flights that were planned in 2013.

    penstock run examples/flights/pipeline.py

It reads files and a database, cleans them, makes features, fits five candidates of three families in parallel, keeps
the best if it beats a simple baseline, and reports how good that is, by month and airline, on months that nobody has
looked at."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from cleaning import clean_flights, clean_planes, clean_weather
from features import make_features
from ingest import find_sources, ingest_flights, ingest_weather, make_database, query
from models import (
    CANDIDATES,
    choose,
    evaluate,
    evaluate_parts,
    fit_and_evaluate,
    fit_baseline,
    keep_baseline,
    refit,
    weigh_features,
)
from report import plot_results, summarise, write_report
from sklearn.base import BaseEstimator

from penstock import finally_, map_over, one_of, otherwise, pipeline, when


class Result(NamedTuple):
    """What a run gives."""

    report: Path
    plot: Path
    model: BaseEstimator
    metrics: dict[str, float]
    counts: dict[str, int]


@pipeline
def flights(
    late_minutes: int = 15,
    train_until: int = 8,
    validation_until: int = 10,
    gain_min: float = 0.02,
    seed: int = 3,
) -> Result:
    """Predict arrivals more than `late_minutes` late: learn from the months up to `train_until`, choose on those up to
    `validation_until`, and measure on the rest. A candidate has to beat the baseline's ROC AUC by `gain_min`."""
    sources = find_sources()
    database = make_database(sources.planes, sources.airports, sources.airlines)
    planes = query(database, "SELECT tailnum, year AS built, manufacturer, seats, engine FROM planes")
    airports = query(database, "SELECT faa, alt, tz FROM airports")
    airlines = query(database, "SELECT carrier, name FROM airlines")

    cleaned = clean_flights(ingest_flights(sources.flights), late_minutes)
    weather = clean_weather(ingest_weather(sources.weather))
    features = make_features(
        flights=cleaned.flights,
        weather=weather,
        planes=clean_planes(planes),
        airports=airports,
        train_until=train_until,
        validation_until=validation_until,
        seed=seed,
    )

    baseline = fit_baseline(features.train, seed)
    to_beat = evaluate(baseline, features.validation)
    fitted = map_over(fit_and_evaluate, CANDIDATES, train=features.train, validation=features.validation, seed=seed)
    choice = choose(CANDIDATES, fitted.metrics)

    with when(choice.metrics["roc_auc"] > to_beat["roc_auc"] + gain_min):
        refitted = refit(choice.candidate, features.train, features.validation, seed)
    with otherwise():
        kept = keep_baseline(baseline)
    model = one_of(refitted.model, kept.model)

    metrics = evaluate(model, features.held_out)
    parts = evaluate_parts(model, features.held_out)
    plot = plot_results(parts, airlines)
    report = write_report(
        title=f"Flights from New York, 2013: more than {late_minutes} minutes late?",
        counts=cleaned.counts,
        candidates=CANDIDATES,
        validation=fitted.metrics,
        baseline_validation=to_beat,
        baseline=evaluate(baseline, features.held_out),
        final=metrics,
        description=one_of(refitted.description, kept.description),
        parts=parts,
        weights=weigh_features(model, features.held_out, rows=4_000, seed=seed),
        airlines=airlines,
        plot=plot,
    )
    finally_(summarise, counts=cleaned.counts, metrics=metrics)
    return Result(report, plot, model, metrics, cleaned.counts)
