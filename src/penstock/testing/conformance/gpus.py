"""What every source of GPUs keeps to. `CHECKS` are functions of a `GpuSubject`; a test runs each of them over its own source.
A subject without a device cannot be checked: that is for the test to say."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Protocol

from penstock.executors.local.gpus import Device, DeviceUse, GpuSource

TAKEN_BYTES = 256 << 20
WAIT_S = 30.0


class GpuSubject(Protocol):
    def open(self) -> GpuSource: ...

    def occupy(self, device: Device, memory_bytes: int) -> AbstractContextManager[int]:
        """A process that takes so much memory on a device for as long as the context lasts; gives its id."""
        ...


def devices_have_names_of_their_own(subject: GpuSubject) -> None:
    with closing(subject.open()) as source:
        devices = source.devices()
        assert devices
        assert len({device.uuid for device in devices}) == len(devices)
        assert all(device.uuid and "," not in device.uuid and device.name for device in devices)
        assert all(device.memory_bytes > TAKEN_BYTES for device in devices)
        assert [device.index for device in devices] == sorted(device.index for device in devices)
        assert source.devices() == devices


def another_source_sees_the_same(subject: GpuSubject) -> None:
    with closing(subject.open()) as source, closing(subject.open()) as other:
        assert source.devices() == other.devices()


def a_device_that_is_not_there_is_a_key_error(subject: GpuSubject) -> None:
    with closing(subject.open()) as source:
        try:
            source.use("GPU-nowhere")
        except KeyError:
            return
        raise AssertionError("something was said of a device that is not there")


def use_is_within_what_there_is(subject: GpuSubject) -> None:
    with closing(subject.open()) as source:
        for device in source.devices():
            use = source.use(device.uuid)
            assert 0 <= use.memory_bytes <= device.memory_bytes
            assert use.percent is None or 0 <= use.percent <= 100
            assert all(0 <= percent <= 100 for percent in use.percent_by_pid.values())


def memory_that_a_process_takes_is_seen(subject: GpuSubject) -> None:
    with closing(subject.open()) as source:
        device = source.devices()[0]
        before = source.use(device.uuid).memory_bytes

        def grown(use: DeviceUse) -> bool:
            return use.memory_bytes >= before + TAKEN_BYTES

        with subject.occupy(device, TAKEN_BYTES) as pid:
            use = _use_when(source, device, grown)
            if pid in use.memory_bytes_by_pid:  # in a container without the host's process ids it is not
                assert use.memory_bytes_by_pid[pid] >= TAKEN_BYTES
        _use_when(source, device, lambda use: not grown(use))


def _use_when(source: GpuSource, device: Device, holds: Callable[[DeviceUse], bool]) -> DeviceUse:
    until = time.monotonic() + WAIT_S
    while True:
        use = source.use(device.uuid)
        if holds(use):
            return use
        assert time.monotonic() < until, use
        time.sleep(0.01)


CHECKS: tuple[Callable[[GpuSubject], None], ...] = (
    devices_have_names_of_their_own,
    another_source_sees_the_same,
    a_device_that_is_not_there_is_a_key_error,
    use_is_within_what_there_is,
    memory_that_a_process_takes_is_seen,
)
