"""The GPUs that an attempt may see. CUDA reads its environment once, when it begins: so an attempt with GPUs has a process of
its own, and is told of them before anything of the user's is imported."""

from __future__ import annotations

import os
from collections.abc import Mapping

VISIBLE = "CUDA_VISIBLE_DEVICES"
PREFIX = "gpu:"


def devices_in(amounts: Mapping[str, int]) -> tuple[str, ...]:
    """UUIDs of the devices that amounts name."""
    return tuple(sorted(name.removeprefix(PREFIX) for name in amounts if name.startswith(PREFIX)))


def show_devices(amounts: Mapping[str, int]) -> None:
    """Let this process see the devices of its attempt, if it has any. Where the executor manages GPUs, others see none:
    the keeper was started so."""
    devices = devices_in(amounts)
    if devices:
        os.environ[VISIBLE] = ",".join(devices)
