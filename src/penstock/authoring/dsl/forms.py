"""`Form`: how a value is stored, where the usual form of its type is not wanted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """In the annotation of what a task returns: `Annotated[LogisticRegression, Form("joblib")]`. The forms are `skops`
    and `joblib`, between which an estimator is else written as it fits, and `pickle` for anything that no other form
    takes. Pickles and joblib files are read from the project's own store only."""

    name: str
