"""Processes that work for a command: how they begin, and that they end with it, whatever ends it.

This is about their signals, and those of the two processes that Python starts for them (fork server, resource tracker).
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing import forkserver, resource_tracker
from typing import Any, TypeVar

from selector.console import streams
from selector.console.endings import SIGNALS
from selector.errors import SelectorError

Result = TypeVar("Result")

# The tracker removes the names of semaphores that a killed process left; that it did so is no news.
_NO_NEWS = "ignore:resource_tracker:UserWarning"


@contextmanager
def process_pool(processes: int, begin: Callable[[], None], *, spawned: bool = False) -> Iterator[ProcessPoolExecutor]:
    """So many processes, started with the first work; each calls `begin` first. An error in the body ends them at once.

    They are made by a fork server, since forking a process that speaks gRPC is not safe, or spawned, each as a program of
    its own (submit the first work in `signals_held_back`).
    """
    servant = not spawned and "forkserver" in multiprocessing.get_all_start_methods()
    _start_tracker()
    if servant:
        with signals_held_back():
            forkserver.ensure_running()
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("forkserver" if servant else "spawn")
    pool = ProcessPoolExecutor(processes, context, initializer=begin)
    try:
        yield pool
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise SelectorError(
                "a process that worked for this command was killed, mostly for want of memory: run it again with fewer "
                "--workers, the same command goes on from there"
            ) from error
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def begin_work() -> None:
    """Signals of the terminal and to the group are the parent's to handle; the parent's death ends this process.

    A worker waits on a queue whose writing end it shares with the other workers, so that the parent's death alone would
    go unnoticed; and they hold the fork server's pipe, so that it would stay too.
    """
    streams.prepare()
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # that the pool ends it by
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_in_loop(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """As asyncio.run, of what `main` makes. A signal waits while the loop is made: half a loop complains when it goes."""
    work = main()
    try:
        with ExitStack() as stack:
            with signals_held_back():
                runner = stack.enter_context(asyncio.Runner())
            return runner.run(work)
    finally:
        work.close()  # work that was never begun would be complained of; to what has ended, it does nothing


@contextmanager
def signals_held_back() -> Iterator[None]:
    """A process started inside begins with the signals blocked, and so do those that it forks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Before anything that it tracks is made: its own start would leave it to the signals of the terminal."""
    sys.warnoptions.append(_NO_NEWS)  # the tracker is given these
    try:
        with signals_held_back():
            resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(_NO_NEWS)


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
