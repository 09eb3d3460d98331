"""GPUs: which of them are chosen, and what is made of NVML's answers (`Nvml` answers in its place as the binding does)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from penstock.executors.local.gpus import Device, DeviceUse, NvmlGpus, chosen

DEVICES = tuple(Device(f"GPU-{name}", index, "H", 80 << 30) for index, name in enumerate(("aa1", "ab2", "cc3")))


@pytest.mark.parametrize(
    ("setting", "visible", "expected"),
    [
        ("auto", None, "aa1 ab2 cc3"),
        ("auto", "1", "ab2"),
        ("auto", "2,0", "aa1 cc3"),
        ("auto", "GPU-c", "cc3"),
        ("auto", "", ""),
        ("auto", "0,-1,1", "aa1"),
        ("auto", "NoDevFiles", ""),
        ("off", None, ""),
        ("0, GPU-cc3", "1", "aa1 cc3"),
        ("7", None, ""),
    ],
)
def test_devices_are_chosen_as_cuda_does(setting: str, visible: str | None, expected: str) -> None:
    found = chosen(DEVICES, setting=setting, visible=visible)
    assert [device.uuid.removeprefix("GPU-") for device in found] == expected.split()


class NvmlError(Exception):
    pass


class Nvml:
    """NVML's functions, over devices as plain data: what a device does not have is not supported."""

    NVMLError = NvmlError
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(self, *devices: dict[str, Any]) -> None:
        self.devices = devices
        self.open = True

    def nvmlDeviceGetCount(self) -> int:
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:
        if not self.devices[index]:
            raise NvmlError("lost")
        return self.devices[index]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Any, number: int) -> Any:
        if number not in handle["instances"]:
            raise NvmlError("not found")
        return handle["instances"][number]

    def nvmlDeviceGetProcessUtilization(self, handle: Any, since: int) -> Any:
        handle["asked_since"] = since
        return self._of(handle, "ProcessUtilization")

    def nvmlShutdown(self) -> None:
        self.open = False

    def _of(self, handle: Any, name: str) -> Any:
        if name not in handle:
            raise NvmlError("not supported")
        return handle[name]

    def __getattr__(self, name: str) -> Any:
        return lambda handle: self._of(handle, name.removeprefix("nvmlDeviceGet"))


def device(uuid: str, **more: Any) -> dict[str, Any]:
    memory = SimpleNamespace(total=80 << 30, used=3 << 30, free=77 << 30)
    return {"UUID": uuid, "Name": "NVIDIA H", "MemoryInfo": memory, **more}


def test_what_nvml_says_becomes_devices_and_their_use() -> None:
    processes = [SimpleNamespace(pid=7, usedGpuMemory=2 << 30), SimpleNamespace(pid=8, usedGpuMemory=None)]
    samples = [SimpleNamespace(pid=7, smUtil=40, timeStamp=123), SimpleNamespace(pid=9, smUtil=4_000_000, timeStamp=99)]
    more = {
        "ComputeRunningProcesses": processes,
        "UtilizationRates": SimpleNamespace(gpu=55),
        "ProcessUtilization": samples,
    }
    nvml = Nvml(device("GPU-a", **more), {}, device("GPU-b"))
    source = NvmlGpus(nvml)
    assert [(each.uuid, each.index, each.memory_bytes) for each in source.devices()] == [
        ("GPU-a", 0, 80 << 30),
        ("GPU-b", 2, 80 << 30),
    ]
    assert source.use("GPU-a") == DeviceUse(3 << 30, 55.0, {7: 2 << 30}, {7: 40.0})
    source.use("GPU-a")
    assert nvml.devices[0]["asked_since"] == 123, "only samples since the last look"
    assert source.use("GPU-b") == DeviceUse(3 << 30, None, {}, {}), "what is not supported is left out"
    with pytest.raises(KeyError):
        source.use("GPU-c")
    source.close()
    assert not nvml.open


def test_instances_of_a_split_device_are_devices() -> None:
    instances = {0: device("MIG-x"), 3: device("MIG-y")}
    split = device("GPU-a", MigMode=(1, 1), instances=instances)
    whole = device("GPU-b", MigMode=(0, 0), instances={})
    assert [each.uuid for each in NvmlGpus(Nvml(split, whole)).devices()] == ["MIG-x", "MIG-y", "GPU-b"]
