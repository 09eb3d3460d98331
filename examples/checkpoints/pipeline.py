"""Which digit is it? A linear model of scikit-learn's handwritten digits, fitted batch by batch with `partial_fit`.

    penstock run examples/checkpoints/pipeline.py -p epochs=200

Kill it in the middle, with SIGKILL if you like, and give `penstock retry`: training goes on at the batch that was saved
last, and comes to the same model as if nothing had happened."""

from __future__ import annotations

from typing import NamedTuple

import joblib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

from penstock import context, pipeline, task

BATCH_SIZE = 32
SAVE_EVERY = 50
SAVED = "training.joblib"


class Digits(NamedTuple):
    """Images of 8 × 8 pixels between 0 and 1, one a row, and which digit each is; split for training and testing."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@task
def load() -> Digits:
    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=0)
    return Digits(parts[0], parts[2], parts[1], parts[3])


@task
def fit(images: np.ndarray, labels: np.ndarray, epochs: int) -> SGDClassifier:
    """The order of the batches is drawn anew in every attempt, and always the same: it is seeded from the task's key."""
    here = context()
    rng = here.rng()
    batches = [
        batch
        for _ in range(epochs)
        for batch in np.array_split(rng.permutation(len(labels)), len(labels) // BATCH_SIZE)
    ]
    saved = here.checkpoint / SAVED
    model, done = joblib.load(saved) if saved.exists() else (SGDClassifier(loss="log_loss", random_state=0), 0)
    print(f"{'goes on' if done else 'begins'} at batch {done} of {len(batches)}", flush=True)
    for number, batch in enumerate(batches[done:], done + 1):
        model.partial_fit(images[batch], labels[batch], classes=range(10))
        if number % SAVE_EVERY == 0:
            with here.saving(SAVED) as path:
                joblib.dump((model, number), path)
            here.log_metric("accuracy", model.score(images, labels), step=number)
    return model


@task
def score(model: SGDClassifier, images: np.ndarray, labels: np.ndarray) -> float:
    """How many of the images it has not seen it gets right, from 0 to 1."""
    return float(model.score(images, labels))


@pipeline
def digits(epochs: int = 20) -> float:
    data = load()
    return score(fit(data.images, data.labels, epochs), data.test_images, data.test_labels)
