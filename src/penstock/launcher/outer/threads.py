"""How many threads libraries start: as many as the attempt asked for processors, or four tasks on a machine of sixteen would
start sixty-four.

Pools of threads are made once, when a library is loaded or first used, and most cannot be changed afterwards: so the number
is put into the environment before anything of the user's is imported, and a worker serves attempts of one number only
(`executors.local.intake`). Where the user has set such a variable, it stays what it is."""

from __future__ import annotations

import os
from collections.abc import Mapping

GROUPS = (
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    ("NUMEXPR_MAX_THREADS", "NUMEXPR_NUM_THREADS"),
    ("NUMBA_NUM_THREADS",),
    ("POLARS_MAX_THREADS",),
    ("RAYON_NUM_THREADS",),
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    ("LOKY_MAX_CPU_COUNT",),
)
"""Variables by what they mean. The first of a group stands for the others too where the user has set it: OpenBLAS and MKL
take OMP_NUM_THREADS, which is read by torch, scikit-learn, xgboost and pyarrow as well, where their own is not set.
LOKY_MAX_CPU_COUNT is what joblib takes for `n_jobs=-1`."""

_current = 0
_free: tuple[str, ...] = ()
"""The variables that the user has left to us."""


def threads_for(amounts: Mapping[str, int]) -> int:
    """How many threads an attempt's processors are worth: at least one, parts of a processor rounded up."""
    return max(1, -(-amounts.get("cpu", 1000) // 1000))


def limit_threads(amounts: Mapping[str, int]) -> None:
    """Have libraries that are imported from now on start so many threads. Nothing, if that was said last."""
    global _current, _free
    threads = threads_for(amounts)
    if threads == _current:
        return
    if not _current:
        _free = tuple(
            name for group in GROUPS if group[0] not in os.environ for name in group if name not in os.environ
        )
    _current = threads
    for name in _free:
        os.environ[name] = str(threads)
