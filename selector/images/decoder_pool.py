"""A pool of decoding processes that ends with its parent, even if that is killed."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def decoder_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes started by a fork server, since forking a process that speaks gRPC is not safe."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context(method), initializer=end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent() -> None:
    """Ctrl-C is the parent's to handle; the parent's death ends this process.

    A worker waits on a queue whose writing end it shares with the other workers, so that the parent's death alone would
    go unnoticed; and they hold the fork server's pipe, so that it would stay too.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
