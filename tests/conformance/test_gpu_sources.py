"""Sources of GPUs pass one suite: the fake everywhere, NVML where there is a GPU (the header of a test run says whether)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.executors.local.gpus import NVML, Device, GpuSource, NoGpus, has_driver, open_nvml
from penstock.launcher.outer.devices import VISIBLE
from penstock.launcher.outer.worker import named
from penstock.testing.conformance.gpus import CHECKS, GpuSubject
from penstock.testing.gpus import FakeGpus

FAKE_PROGRAM = """
import os, sys
from penstock.testing.gpus import allocate
allocate(int(sys.argv[1]))
print("taken", flush=True)
sys.stdin.read()
"""
# The driver's own interface (cuda.h): no framework is needed to take memory.
CUDA_PROGRAM = """
import ctypes, sys
cuda = ctypes.CDLL("libcuda.so.1")
def call(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    assert code == 0, (name, code)
device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
call("cuInit", 0)
call("cuDeviceGet", ctypes.byref(device), 0)
call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
call("cuCtxSetCurrent", context)
call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(int(sys.argv[1])))
print("taken", flush=True)
sys.stdin.read()
"""


@contextmanager
def occupied(program: str, device: Device, memory_bytes: int, **more: str) -> Iterator[int]:
    environment = {**os.environ, VISIBLE: device.uuid, **more}
    arguments = [sys.executable, "-c", program, str(memory_bytes)]
    with subprocess.Popen(
        arguments, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process.pid
        process.kill()


class FakeSubject:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self) -> GpuSource:
        return FakeGpus(2, 8 << 30, self._folder)

    @contextmanager
    def occupy(self, device: Device, memory_bytes: int) -> Iterator[int]:
        with occupied(FAKE_PROGRAM, device, memory_bytes, PENSTOCK_TEST_GPUS=f"2x8GiB:{self._folder}") as pid:
            yield pid


class NvmlSubject:
    def __init__(self, folder: Path) -> None:
        pass

    def open(self) -> GpuSource:
        return open_nvml()

    @contextmanager
    def occupy(self, device: Device, memory_bytes: int) -> Iterator[int]:
        with occupied(CUDA_PROGRAM, device, memory_bytes) as pid:
            yield pid


SUBJECTS = (FakeSubject, NvmlSubject) if has_driver() else (FakeSubject,)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.__name__)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_gpu_source(
    check: Callable[[GpuSubject], None], subject: type[FakeSubject] | type[NvmlSubject], tmp_path: Path
) -> None:
    check(subject(tmp_path))


def test_a_machine_without_a_driver_has_no_gpus_and_loads_nothing_to_say_so() -> None:
    assert named(NVML) is open_nvml
    program = "from penstock.executors.local.gpus import open_nvml; print(len(open_nvml().devices()))"
    program += "; import sys; print('pynvml' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert said == ["0", "False"] if not has_driver() else said[1] == "True"
    assert NoGpus().devices() == ()
