"""The GPUs of this machine and what goes on on them: through NVML (nvidia-ml-py, NVIDIA's own binding, imported only where
there is a driver), or through anything else that answers as a `GpuSource` does. It knows devices and processes, not
attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

NVML = "penstock.executors.local.gpus:open_nvml"
AUTO, OFF = "auto", "off"
DRIVER_FILES = ("/dev/nvidiactl", "/dev/dxg", "/proc/driver/nvidia/version")
"""One of them is there where NVIDIA's driver is (the second on WSL)."""


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or one MIG instance of one. `uuid` is what CUDA_VISIBLE_DEVICES takes; `index` counts in the order of the
    PCI bus, as `nvidia-smi` does."""

    uuid: str
    index: int
    name: str
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """What goes on on a device: memory that is taken and how busy it is (percent; None: it cannot be told), as a whole and
    by process. Processes of other containers may have ids that mean nothing here."""

    memory_bytes: int = 0
    percent: float | None = None
    memory_bytes_by_pid: Mapping[int, int] = field(default_factory=dict)
    percent_by_pid: Mapping[int, float] = field(default_factory=dict)


class GpuSource(Protocol):
    """Where GPUs are learned of. `testing.conformance.gpus` says what one keeps to."""

    def devices(self) -> Sequence[Device]:
        """The devices, in order of their index; the same ones for as long as the source is open."""
        ...

    def use(self, uuid: str) -> DeviceUse:
        """What goes on on a device now; nothing, where the driver does not say. Raises KeyError for a device that is not
        there."""
        ...

    def close(self) -> None: ...


class NoGpus:
    """A machine without any."""

    def devices(self) -> Sequence[Device]:
        return ()

    def use(self, uuid: str) -> DeviceUse:
        raise KeyError(uuid)

    def close(self) -> None:
        pass


def open_nvml() -> GpuSource:
    """The machine's GPUs; `NoGpus` where there is no driver, or one that does not answer."""
    if not has_driver():
        return NoGpus()
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return NoGpus()
    return NvmlGpus(pynvml)


class NvmlGpus:
    """GPUs through NVML. What a device does not support (per-process figures on MIG instances, utilisation on some) is
    left out."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles: dict[str, Any] = {}
        self._devices: list[Device] = []
        self._seen_us: dict[str, int] = {}
        for index in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # one that has fallen off the bus: the others are of use
                self._add(nvml.nvmlDeviceGetHandleByIndex(index), index)

    def _add(self, handle: Any, index: int) -> None:
        parts = self._instances(handle) or [handle]
        for part in parts:
            uuid = str(self._nvml.nvmlDeviceGetUUID(part))
            memory = self._nvml.nvmlDeviceGetMemoryInfo(part)
            self._handles[uuid] = part
            self._devices.append(Device(uuid, index, str(self._nvml.nvmlDeviceGetName(part)), int(memory.total)))

    def _instances(self, handle: Any) -> list[Any]:
        """The MIG instances of a device that is split into such."""
        nvml, found = self._nvml, []
        with suppress(nvml.NVMLError):
            if nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE:
                for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
                    with suppress(nvml.NVMLError):  # the numbers have gaps
                        found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number))
        return found

    def devices(self) -> Sequence[Device]:
        return tuple(self._devices)

    def use(self, uuid: str) -> DeviceUse:
        nvml, handle = self._nvml, self._handles[uuid]
        memory = self._asked(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._asked(nvml.nvmlDeviceGetUtilizationRates, handle)
        processes = self._asked(nvml.nvmlDeviceGetComputeRunningProcesses, handle) or ()
        samples = self._asked(nvml.nvmlDeviceGetProcessUtilization, handle, self._seen_us.get(uuid, 0)) or ()
        if samples:
            self._seen_us[uuid] = max(sample.timeStamp for sample in samples)
        return DeviceUse(
            int(memory.used) if memory is not None else 0,
            float(rates.gpu) if rates is not None else None,
            {each.pid: int(each.usedGpuMemory) for each in processes if each.usedGpuMemory is not None},
            {each.pid: float(each.smUtil) for each in samples if 0 <= each.smUtil <= 100},
        )

    def _asked(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What NVML answers; None where it cannot tell."""
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None

    def close(self) -> None:
        with suppress(self._nvml.NVMLError):
            self._nvml.nvmlShutdown()


def chosen(devices: Sequence[Device], *, setting: str, visible: str | None) -> tuple[Device, ...]:
    """The devices that may be leased: all that there are, those that `visible` (CUDA_VISIBLE_DEVICES of this process, None:
    not set) names, or those that the setting names: `auto`, `off`, or indexes and UUIDs (or how they begin) with commas.
    As CUDA does it, a name that fits nothing ends the list."""
    if setting == OFF:
        return ()
    names = setting if setting != AUTO else visible
    if names is None:
        return tuple(devices)
    found: dict[str, Device] = {}
    for name in (each.strip() for each in names.split(",")):
        fitting = [each for each in devices if name == str(each.index) or (name and each.uuid.startswith(name))]
        if not fitting:
            break
        found.update({each.uuid: each for each in fitting})
    return tuple(sorted(found.values(), key=lambda device: (device.index, device.uuid)))


def has_driver() -> bool:
    """Whether NVIDIA's driver is there, as far as its files tell."""
    return any(Path(file).exists() for file in DRIVER_FILES)
