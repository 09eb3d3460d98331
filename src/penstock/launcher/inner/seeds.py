"""Random generators, seeded for every attempt: Python's, and those of the libraries that are loaded. A library that
is loaded during an attempt is seeded as soon as it is there."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping

_NUMPY, _TORCH = "numpy.random", "torch"


def _seed_numpy(seed: int) -> None:
    sys.modules[_NUMPY].seed(seed & 0xFFFF_FFFF)


def _seed_torch(seed: int) -> None:
    sys.modules[_TORCH].manual_seed(seed & 0x7FFF_FFFF_FFFF_FFFF)


SEEDERS: Mapping[str, Callable[[int], None]] = {_NUMPY: _seed_numpy, _TORCH: _seed_torch}


def seed_all(seed: int) -> None:
    random.seed(seed)
    for name, seeder in SEEDERS.items():
        if name in sys.modules:
            seeder(seed)
