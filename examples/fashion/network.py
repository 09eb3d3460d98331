"""A small convolutional network, trained one round after the other. A round that is killed goes on where it last saved."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from penstock import context, pipeline, task

KINDS = 10
BATCHES_BETWEEN_SAVES = 50
_MEASURED_AT_ONCE = 1_000


class Network(nn.Module):
    """28 × 28 pixels in, ten numbers out: the larger one is, the more the image looks like that kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.third = nn.Linear(32 * 7 * 7, 64)
        self.last = nn.Linear(64, KINDS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """n × 1 × 28 × 28 from -1 to 1, to n × 10."""
        images = functional.max_pool2d(functional.relu(self.first(images)), 2)
        images = functional.max_pool2d(functional.relu(self.second(images)), 2)
        return self.last(functional.relu(self.third(images.flatten(1))))


class Round(NamedTuple):
    """What a round hands to the next: where training stands (`training`: weights and optimiser), the best weights so far,
    their accuracy on the validation images, and for how many rounds nothing has been better."""

    training: OrderedDict
    best: OrderedDict
    accuracy: float
    waited: int


@task
def begin(seed: int, rate: float) -> Round:
    """Weights that know nothing."""
    torch.manual_seed(seed)
    network = Network()
    return Round(_state_of(network, _optimiser(network, rate)), network.state_dict(), 0.0, 0)


@task(cpu=1, memory="3GiB")
def train(
    training: OrderedDict, images: np.ndarray, kinds: np.ndarray, *, number: int, batch: int, rate: float, seed: int
) -> OrderedDict:
    """All images once, in an order of their own for every round. It saves now and then: after a kill the next attempt
    goes on from there, and comes to the very same weights. One thread: how many there are decides in which order numbers
    are added, and so their last digits."""
    torch.set_num_threads(1)
    saved = context().checkpoint / "training.pt"
    begun = 0
    if saved.exists():
        training = torch.load(saved, weights_only=True)
        begun = training["batches"]
        context().logger.info("round %d goes on after %d batches", number, begun)
    network = Network()
    network.load_state_dict(training["network"])
    optimiser = _optimiser(network, rate)
    optimiser.load_state_dict(training["optimiser"])
    order = np.random.default_rng([seed, number]).permutation(len(images))
    batches = [order[start : start + batch] for start in range(0, len(order), batch)]
    for done, places in enumerate(batches[begun:], start=begun + 1):
        loss = functional.cross_entropy(network(_pixels(images[places])), torch.tensor(kinds[places], dtype=torch.long))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if done % BATCHES_BETWEEN_SAVES == 0:
            context().log_metric("loss", loss.item(), step=(number - 1) * len(batches) + done)
            _save(saved, OrderedDict(_state_of(network, optimiser), batches=done))
    return _state_of(network, optimiser)


@task
def measure(training: OrderedDict, images: np.ndarray, kinds: np.ndarray, number: int) -> float:
    """The share of images that are told right."""
    accuracy = float((probabilities(training["network"], images).argmax(1) == kinds).mean())
    context().log_metric("validation accuracy", accuracy, step=number)
    return accuracy


@task
def keep_best(training: OrderedDict, reached: float, best: OrderedDict, accuracy: float, waited: int) -> Round:
    """The better of the weights so far."""
    if reached > accuracy:
        return Round(training, training["network"], reached, 0)
    return Round(training, best, accuracy, waited + 1)


@pipeline
def one_round(
    *,
    training: OrderedDict,
    best: OrderedDict,
    accuracy: float,
    waited: int,
    number: int,
    train_images: np.ndarray,
    train_kinds: np.ndarray,
    validation_images: np.ndarray,
    validation_kinds: np.ndarray,
    batch: int,
    rate: float,
    seed: int,
) -> Round:
    """The body of the loop: train, measure, keep what is best."""
    trained = train(training, train_images, train_kinds, number=number, batch=batch, rate=rate, seed=seed)
    reached = measure(trained, validation_images, validation_kinds, number)
    return keep_best(trained, reached, best, accuracy, waited)


def probabilities(weights: OrderedDict, images: np.ndarray) -> np.ndarray:
    """n × 10: how probable each kind is for each image."""
    network = Network()
    network.load_state_dict(weights)
    network.eval()
    with torch.inference_mode():
        parts = [network(_pixels(part)).softmax(1) for part in _parts(images)]
    return torch.cat(parts).numpy()


def _parts(images: np.ndarray) -> list[np.ndarray]:
    return [images[start : start + _MEASURED_AT_ONCE] for start in range(0, len(images), _MEASURED_AT_ONCE)]


def _pixels(images: np.ndarray) -> torch.Tensor:
    return torch.tensor(images, dtype=torch.float32).unsqueeze(1) / 127.5 - 1


def _optimiser(network: Network, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=rate)


def _state_of(network: Network, optimiser: torch.optim.Optimizer) -> OrderedDict:
    return OrderedDict(network=network.state_dict(), optimiser=optimiser.state_dict())


def _save(path: Path, training: OrderedDict) -> None:
    with context().saving(path.name) as unfinished:
        torch.save(training, unfinished)
