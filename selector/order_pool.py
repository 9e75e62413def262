"""Processes that order classes, each with one thread of BLAS and OpenMP: of this machine, or of a Ray cluster.

Their number is the parallelism: more threads in each would only compete, and change no order
(`tests/selector/selection/`).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from selector.processes import begin_work, cores, process_pool
from selector.ray_cluster import Tasks, cluster


@contextmanager
def order_pool(processes: int = 0, ray: str | None = None) -> Iterator[Executor | None]:
    """As many processes, started when the first class is handed to them; 0: the default. None for one process.

    ray: the cluster that has the processes, as `cluster` takes it; there Ray sees to one thread in each.
    """
    if ray is not None:
        with cluster(ray) as connected:
            yield Tasks(connected)
        return
    processes = processes or default_processes()
    if processes == 1:
        yield None
        return
    with process_pool(processes, _begin) as pool:
        yield pool


def default_processes() -> int:
    """One for each core that this process may use, and two that compute while others wait for the disk.

    1,000 classes of 1,300 × 1280 from a disk without its cache, two cores: 153 s by two processes, 89 s by four.
    """
    return 2 + cores()


def _begin() -> None:
    begin_work()
    import hdbscan  # noqa: F401  # before the threads of what it loads are limited

    threadpool_limits(limits=1)
