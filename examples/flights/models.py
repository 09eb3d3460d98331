"""Candidates, how they are fitted, measured and chosen."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from penstock import context, pipeline, task


class Candidate(TypedDict):
    """A kind of estimator and its settings."""

    kind: str
    settings: dict[str, Any]


ANSWERS = ["late", "month", "carrier"]
ESTIMATORS = {
    "logistic_regression": LogisticRegression,
    "random_forest": RandomForestClassifier,
    "gradient_boosting": HistGradientBoostingClassifier,
    "neural_network": MLPClassifier,
}
CANDIDATES: list[Candidate] = [
    {"kind": "logistic_regression", "settings": {"C": 0.1, "max_iter": 300}},
    {
        "kind": "random_forest",
        "settings": {"n_estimators": 30, "max_depth": 12, "min_samples_leaf": 50, "max_samples": 0.3},
    },
    {"kind": "gradient_boosting", "settings": {"learning_rate": 0.1, "max_leaf_nodes": 31, "max_iter": 80}},
    {"kind": "gradient_boosting", "settings": {"learning_rate": 0.2, "max_leaf_nodes": 15, "max_iter": 80}},
    {
        "kind": "neural_network",
        "settings": {"hidden_layer_sizes": [32], "alpha": 0.001, "batch_size": 512, "max_iter": 6, "tol": 0.0},
    },
]


class Fitted(NamedTuple):
    """A fitted model and how good it is on rows that it has not seen."""

    model: BaseEstimator
    metrics: dict[str, float]


class Choice(NamedTuple):
    """The candidate that is best on the validation months, and its metrics there."""

    candidate: Candidate
    metrics: dict[str, float]


class Final(NamedTuple):
    """The model that is kept, and why it is this one."""

    model: BaseEstimator
    description: str


@task(cpu=1, memory="2GiB")
def fit(candidate: Candidate, train: pd.DataFrame, seed: int) -> BaseEstimator:
    """Fit one candidate on encoded rows."""
    model = ESTIMATORS[candidate["kind"]](**candidate["settings"], random_state=seed)
    # The task asks for one CPU: others are for the other candidates. A few rounds are meant where a few are asked for.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(train.drop(columns=ANSWERS), train["late"])


@task
def fit_baseline(train: pd.DataFrame, seed: int) -> BaseEstimator:
    """What a model has to beat: how often flights planned for that time of day were late."""
    time_of_day = ColumnTransformer([("minute", "passthrough", ["minute"])])
    rates = DecisionTreeClassifier(max_leaf_nodes=24, min_samples_leaf=500, random_state=seed)
    return make_pipeline(time_of_day, rates).fit(train.drop(columns=ANSWERS), train["late"])


@task
def evaluate(model: BaseEstimator, table: pd.DataFrame) -> dict[str, float]:
    """Metrics on encoded rows: how well late flights are ranked before others, and how true the probabilities are."""
    metrics = _metrics(table["late"].to_numpy(), _probability(model, table))
    for name, value in metrics.items():
        context().log_metric(name, value)
    return metrics


@pipeline
def fit_and_evaluate(candidate: Candidate, train: pd.DataFrame, validation: pd.DataFrame, seed: int) -> Fitted:
    """What is done for each candidate."""
    model = fit(candidate, train, seed)
    return Fitted(model, evaluate(model, validation))


@task
def choose(candidates: list[Candidate], metrics: list[dict[str, float]]) -> Choice:
    """The candidate that ranks best; the first of equals."""
    best = int(np.argmax([each["roc_auc"] for each in metrics]))
    return Choice(candidates[best], metrics[best])


@task(cpu=1, memory="2GiB")
def refit(choice: Candidate, train: pd.DataFrame, validation: pd.DataFrame, seed: int) -> Final:
    """The chosen candidate again, with the validation months as training rows too: they are the latest there are."""
    rows = pd.concat([train, validation], ignore_index=True)
    return Final(fit(choice, rows, seed), f"{choice['kind']}, fitted again with the validation months")


@task
def keep_baseline(baseline: BaseEstimator) -> Final:
    """No candidate is worth its trouble."""
    return Final(baseline, "the baseline: no candidate was enough better")


@task
def evaluate_parts(model: BaseEstimator, table: pd.DataFrame) -> pd.DataFrame:
    """Metrics per month, per carrier, and per carrier in each month: columns month (0: all), carrier (empty: all),
    flights, late_rate, predicted_rate, roc_auc (missing where all or none were late)."""
    scored = table[ANSWERS].assign(probability=_probability(model, table))
    whole = {"month": 0, "carrier": ""}
    rows = []
    for parts in (["month"], ["carrier"], ["month", "carrier"]):
        for values, part in scored.groupby(parts):
            both = 0 < part["late"].sum() < len(part)
            rows.append(
                {
                    **whole,
                    **dict(zip(parts, values, strict=True)),
                    "flights": len(part),
                    "late_rate": float(part["late"].mean()),
                    "predicted_rate": float(part["probability"].mean()),
                    "roc_auc": float(roc_auc_score(part["late"], part["probability"])) if both else np.nan,
                }
            )
    return pd.DataFrame(rows)


@task(cpu=1, memory="2GiB")
def weigh_features(model: BaseEstimator, table: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """How much ranking suffers when one column is shuffled, on a sample of rows: columns feature, loss; largest
    first."""
    sample = table.sample(n=min(rows, len(table)), random_state=seed)
    columns = sample.drop(columns=ANSWERS)
    with threadpool_limits(1):
        answer = permutation_importance(
            model, columns, sample["late"], scoring="roc_auc", n_repeats=2, random_state=seed
        )
    losses = pd.DataFrame({"feature": columns.columns, "loss": answer.importances_mean})
    return losses.sort_values(["loss", "feature"], ascending=[False, True], ignore_index=True)


def _probability(model: BaseEstimator, table: pd.DataFrame) -> Any:
    """One number per row: how probable it is that the flight is late."""
    with threadpool_limits(1):
        return model.predict_proba(table.drop(columns=ANSWERS))[:, 1]


def _metrics(late: Any, probability: Any) -> dict[str, float]:
    return {
        "rows": float(len(late)),
        "late_rate": float(late.mean()),
        "predicted_rate": float(probability.mean()),
        "roc_auc": float(roc_auc_score(late, probability)),
        "average_precision": float(average_precision_score(late, probability)),
        "log_loss": float(log_loss(late, probability)),
        "brier": float(brier_score_loss(late, probability)),
    }
