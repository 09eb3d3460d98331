"""GPUs that are not there: a `GpuSource` over a folder in which processes note what they take. `allocate` is what a task calls
in place of a framework; it sees what CUDA_VISIBLE_DEVICES shows, and there is no more memory than a device has.

Chosen for a whole program by the environment, so that the real executor and the real command line run with them:

    PENSTOCK_TEST_GPUS=2x80GiB:/some/folder penstock run train.py
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from penstock.base.sizes import size_bytes, size_text
from penstock.executors.local.gpus import Device, DeviceUse
from penstock.launcher.outer.devices import VISIBLE

VARIABLE = "PENSTOCK_TEST_GPUS"


class FakeGpus:
    """`count` devices of one size; what processes have of them is in files of `folder`, one a device."""

    def __init__(self, count: int, memory_bytes: int, folder: Path) -> None:
        self._folder = folder
        self._devices = [Device(f"GPU-fake-{n:04}", n, "Fake", memory_bytes) for n in range(count)]

    def devices(self) -> Sequence[Device]:
        return tuple(self._devices)

    def use(self, uuid: str) -> DeviceUse:
        if uuid not in {device.uuid for device in self._devices}:
            raise KeyError(uuid)
        with _noted(self._folder, uuid) as notes:
            memory = {int(pid): taken for pid, (taken, _) in notes.items()}
            percents = {int(pid): percent for pid, (_, percent) in notes.items()}
        return DeviceUse(sum(memory.values()), min(100.0, sum(percents.values())), memory, percents)

    def close(self) -> None:
        pass


def open_fake() -> FakeGpus:
    """The devices that the environment says: `COUNTxSIZE:FOLDER`."""
    form, _, folder = os.environ[VARIABLE].partition(":")
    count, _, size = form.partition("x")
    return FakeGpus(int(count), size_bytes(size), Path(folder))


def visible() -> list[str]:
    """The devices that a program of this process would find."""
    devices = [device.uuid for device in open_fake().devices()]
    names = os.environ.get(VISIBLE)
    return devices if names is None else [name for name in names.split(",") if name in devices]


def allocate(memory_bytes: int, *, percent: float = 50.0) -> str:
    """Take memory on the first device that this process sees, until it ends; which one. Raises RuntimeError where there is
    none, or not so much left: as torch does it."""
    devices = visible()
    if not devices:
        raise RuntimeError("No CUDA GPUs are available")
    source = open_fake()
    with _noted(source._folder, devices[0]) as notes:
        taken = sum(other for other, _ in notes.values())
        if taken + memory_bytes > source.devices()[0].memory_bytes:
            raise RuntimeError(f"CUDA out of memory. Tried to allocate {size_text(memory_bytes)}")
        before = notes.get(str(os.getpid()), (0, 0.0))[0]
        notes[str(os.getpid())] = (before + memory_bytes, percent)
    return devices[0]


@contextmanager
def _noted(folder: Path, uuid: str) -> Iterator[dict[str, tuple[int, float]]]:
    """What living processes have noted of a device, under a lock; written back."""
    fd = os.open(folder / f"{uuid}.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        text = os.pread(fd, 1 << 20, 0)
        notes = {pid: note for pid, note in (json.loads(text) if text else {}).items() if Path("/proc", pid).exists()}
        yield notes
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(notes).encode(), 0)
    finally:
        os.close(fd)


# -- what attempts do ----------------------------------------------------------------------------------------------------


def sees(note: str) -> str:
    """The devices that an attempt sees, as CUDA would read them."""
    return os.environ.get(VISIBLE, "all")


def works(note: str, memory_bytes: int, ms: int) -> str:
    """Take memory on a GPU, and hold it until this process ends; which device, when from and to (monotonic, ns)."""
    begun = time.monotonic_ns()
    device = allocate(memory_bytes, percent=40.0)
    time.sleep(ms / 1000)
    return f"{device} {begun} {time.monotonic_ns()}"
