"""Processes that order classes, each with one thread of BLAS and OpenMP.

Owns how they begin. Must not know what orders are. Their number is the parallelism: more threads in each would only
compete, and change no order (`tests/selector/selection/`).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

# Imported so that the libraries are loaded in a new process before their threads are limited.
import selector.selection.class_orders  # noqa: F401
from selector.images.decoder_pool import end_with_parent


@contextmanager
def order_pool(processes: int = 0) -> Iterator[Executor | None]:
    """As many processes, started when the first class is handed to them; 0: one per core. None for one process."""
    processes = processes or _cores()
    if processes == 1:
        yield None
        return
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context(method), initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    end_with_parent()
    threadpool_limits(limits=1)


def _cores() -> int:
    """Cores that this process may use, where the system says."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
