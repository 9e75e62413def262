"""What the system itself says about a server's processes and its shared memory: the reference of the tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")


def until(condition: Callable[[], bool], what: str, deadline_s: float = 20.0) -> None:
    """Waits for a condition; fails with `what` if it does not come."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {deadline_s} s: {what}"
        time.sleep(0.01)


def family(pid: int) -> set[int]:
    """A process and all below it."""
    process = psutil.Process(pid)
    return {pid, *(child.pid for child in process.children(recursive=True))}


def alive(pids: set[int]) -> set[int]:
    """Those that still run; a zombie does not."""
    found = set()
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def mapped_regions(pid: int) -> set[Path]:
    """The files in /dev/shm that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split(maxsplit=5)[5]) for line in lines if str(SHARED_MEMORY) in line}


def left(regions: set[Path]) -> set[Path]:
    """Those that still exist."""
    return {region for region in regions if region.exists()}
