"""Runs a command and watches the memory of it and of all processes below it.

Owns the sampling. Memory is the resident set: a page that several processes map counts in each, a few hundred MB in all. The
kernel counts proportional sets page by page, which took a tenth of a core here.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

EVERY_S = 1.0


@dataclass
class Watched:
    """What a command took. peak_bytes: of all its processes at one moment. peaks: the same of those processes alone whose
    command line has one of the words, by word."""

    code: int = 0
    stdout: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0
    peaks: dict[str, int] = field(default_factory=dict)


def watch(command: Sequence[str], words: Sequence[str] = ()) -> Watched:
    """Runs the command to its end; stderr goes where ours does."""
    found, started = Watched(), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ended = threading.Event()
        sampler = threading.Thread(target=_sample_until, args=(ended, process.pid, words, found))
        sampler.start()
        try:
            found.stdout, _ = process.communicate()
        finally:
            ended.set()
            sampler.join()
    found.code, found.seconds = process.returncode, time.monotonic() - started
    return found


def _sample_until(ended: threading.Event, pid: int, words: Sequence[str], found: Watched) -> None:
    while not ended.wait(EVERY_S):
        with contextlib.suppress(psutil.NoSuchProcess):
            _sample(psutil.Process(pid), words, found)


def _sample(root: psutil.Process, words: Sequence[str], found: Watched) -> None:
    total, by_word = 0, dict.fromkeys(words, 0)
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            line, held = " ".join(process.cmdline()), process.memory_info().rss
            total += held
            for word in words:
                by_word[word] += held if word in line else 0
    found.peak_bytes = max(found.peak_bytes, total)
    for word, held in by_word.items():
        found.peaks[word] = max(found.peaks.get(word, 0), held)
