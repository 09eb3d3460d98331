"""Generators of random numbers for tasks. numpy is loaded when one is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.random import Generator as Generator


def numpy_generator(seed: int) -> Generator:
    """Raises ImportError where there is no numpy."""
    import numpy as np

    return np.random.default_rng(seed)
