"""Which exceptions mean want of memory: Python's own, and those of allocators that say it in a way of their own. By name,
since none of these libraries may be imported for the question.

Sources: torch `OutOfMemoryError` (until 2.0 a RuntimeError with the same text) and the text of its CPU allocator; cupy
`cuda.memory.OutOfMemoryError`; jax `XlaRuntimeError` with the status RESOURCE_EXHAUSTED; tensorflow
`ResourceExhaustedError`; numba, duckdb, xgboost by their texts; ENOMEM of the operating system."""

from __future__ import annotations

import errno
import re

MACHINE, GPU = "", "gpu"

_CLASSES = {
    ("torch", "OutOfMemoryError"): GPU,
    ("cupy", "OutOfMemoryError"): GPU,
    ("cupy_backends", "OutOfMemoryError"): GPU,
    ("rmm", "MemoryError"): GPU,
    ("tensorflow", "ResourceExhaustedError"): GPU,
    ("duckdb", "OutOfMemoryException"): MACHINE,
    ("_duckdb", "OutOfMemoryException"): MACHINE,
}
_TEXTS = (
    (re.compile(r"CUDA (error: )?out of memory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation", re.I), GPU),
    (re.compile(r"(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)"), GPU),
    (re.compile(r"HIP out of memory|MPS backend out of memory"), GPU),
    (re.compile(r"DefaultCPUAllocator: (can't|not enough)|std::bad_alloc"), MACHINE),
)
_RAISERS = ("RuntimeError", "XlaRuntimeError", "JaxRuntimeError", "XGBoostError", "CudaAPIError", "LightGBMError")
_EXHAUSTED = re.compile(r"RESOURCE_EXHAUSTED|Out of memory allocating")
_CHECKED = 2_000
CHAIN_LENGTH_MAX = 20


def wants_memory(error: BaseException) -> str | None:
    """Whose memory was too little, `MACHINE` or `GPU`; None: the exception means something else. What it was raised from
    counts (`raise ... from`); what happened to be handled at the time doesn't."""
    cause: BaseException | None = error
    for _ in range(CHAIN_LENGTH_MAX):
        if cause is None:
            return None
        device = _device_of(cause)
        if device is not None:
            return device
        cause = cause.__cause__
    return None


def _device_of(error: BaseException) -> str | None:
    if not isinstance(error, Exception):
        return None
    for cls in type(error).__mro__:
        device = _CLASSES.get((cls.__module__.partition(".")[0], cls.__qualname__))
        if device is not None:
            return device
    if isinstance(error, MemoryError):
        return MACHINE
    if isinstance(error, OSError):
        return MACHINE if error.errno == errno.ENOMEM else None
    if type(error).__name__ not in _RAISERS:
        return None
    try:
        text = str(error)[:_CHECKED]
    except Exception:  # noqa: BLE001 - an exception whose own text raises
        return None
    if type(error).__name__ in ("XlaRuntimeError", "JaxRuntimeError") and _EXHAUSTED.search(text):
        return GPU if "gpu" in text.lower() or "cuda" in text.lower() else MACHINE
    return next((device for pattern, device in _TEXTS if pattern.search(text)), None)


# -- processes of the task's own ---------------------------------------------------------------------------------------

_BROKEN = ("BrokenProcessPool", "BrokenExecutor", "TerminatedWorkerError", "WorkerLostError")
_DATA_LOADER = re.compile(r"DataLoader worker .*(killed by signal: Killed|exited unexpectedly)", re.S)
_KILLED = (-9, 137)


def lost_a_process(error: BaseException) -> bool:
    """Whether an exception says that a process of the task's own was killed: of `concurrent.futures`, joblib and loky,
    a torch DataLoader, or a program that it called."""
    cause: BaseException | None = error
    for _ in range(CHAIN_LENGTH_MAX):
        if cause is None:
            return False
        names = {cls.__name__ for cls in type(cause).__mro__}
        if names.intersection(_BROKEN) or getattr(cause, "returncode", None) in _KILLED:
            return True
        if isinstance(cause, RuntimeError) and _DATA_LOADER.search(str(cause)[:_CHECKED]):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
