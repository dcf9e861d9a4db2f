"""How many threads BLAS may use while a large factor is computed.

More BLAS threads than free cores make a Cholesky factorisation several times slower than one thread, since the
threads wait for each other. Small matrices gain nothing from a second thread; for large ones the number of threads is
limited to the cores that are free.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

SMALL = 400  # dimension up to which BLAS stays with one thread by itself
LARGE = 1500  # dimension from which a second thread pays


def free_cores() -> int:
    """Cores that this process may use and that nothing else is using now, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        others = max(0.0, os.getloadavg()[0] - 1.0)
    except (AttributeError, OSError):  # not known on this system: claim one core only
        return 1
    return max(1, round(cores - others))


def blas_threads(dimension: int, threads: int | None = None) -> AbstractContextManager[Any]:
    """Context in which BLAS uses as many threads as a matrix of this dimension can turn to account, or as many as said.

    By itself never more than the environment allows (``OPENBLAS_NUM_THREADS`` and its like).
    """
    if threads is not None:
        from threadpoolctl import threadpool_limits

        return threadpool_limits(limits=threads, user_api="blas")
    if dimension <= SMALL:
        return nullcontext()
    from threadpoolctl import threadpool_info, threadpool_limits

    allowed = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    limit = min(allowed, free_cores()) if dimension >= LARGE else 1
    return threadpool_limits(limits=limit, user_api="blas")
