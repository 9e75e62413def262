"""Pictures of picks, and thumbnails of their windows, out of the originals: each original is decoded once for both.

Many are cut in processes side by side, some batches ahead of what is written; in memory are the files of these batches alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import islice
from typing import NamedTuple

import pyarrow as pa

from selector.config import ExportConfig
from selector.images.canvas import cut as cut_box
from selector.images.locations import Data
from selector.images.originals import Originals, read_original
from selector.images.readers import Containers, Place
from selector.output.formats import EXPORTERS
from selector.output.picks import records, window
from selector.output.pictures import Cut, encoded
from selector.processes import begin_work, cores, process_pool
from selector.records import Box
from selector.report import thumbnail

_WORTH_PROCESSES = 1_000
"""Pictures from which processes are started: about two seconds of work."""

_BATCH = 32
_AHEAD = 8  # batches


@contextmanager
def cutting_pool(pictures: int, processes: int = 0) -> Iterator[Executor | None]:
    """Processes for so many pictures, one for each core if 0 are asked for; None where starting them would take longer.

    They start now, while the caller goes on to what comes before the first picture.
    """
    processes = processes or cores()
    if processes == 1 or pictures < _WORTH_PROCESSES:
        yield None
        return
    with process_pool(processes, _begin) as pool:
        for _ in range(processes):
            pool.submit(cores)
        yield pool


def _begin() -> None:
    """Lies here so that a process that begins has imported what it needs to cut."""
    begin_work()


class Job(NamedTuple):
    """box: what the picture shows, None for no picture. shown: the window that wants a thumbnail, None for none."""

    place: Place
    image_id: str
    box: Box | None
    shown: Box | None


class Cutter:
    """Cuts what is handed out and what the report shows."""

    def __init__(self, images: Originals, shown: int, pool: Executor | None = None) -> None:
        """shown: picks of a class that get a thumbnail. pool: processes that cut; None for this one."""
        self._images, self._shown, self._pool = images, shown, pool
        self._thumbnails: dict[tuple[str, Box], str] = {}

    def pictures(self, rows: pa.Table, cut: Cut, config: ExportConfig) -> Iterator[Callable[[], bytes]]:
        """What gives the picture's file of every row of `handed_out`; thumbnails are made beside."""
        wanted = any(EXPORTERS[name].pictures for name in config.formats)
        for pictures in self._ahead(self._jobs(rows, cut, wanted), cut, config):
            for picture, shown in pictures:
                if shown is not None:
                    self._thumbnails[shown[0], shown[1]] = shown[2]
                yield partial(bytes, picture)

    def thumbnail(self, source: str, box: Box) -> str:
        """A window as the report shows it, as a data URI."""
        made = self._thumbnails.get((source, box))
        return thumbnail(self._images.cut(source, box)) if made is None else made

    def _jobs(self, rows: pa.Table, cut: Cut, wanted: bool) -> Iterator[Job]:
        for row, place in zip(records(rows), self._images.places(rows["source"]), strict=True):
            box = window(row)
            whole = cut.box(box, row["image_height"], row["image_width"])
            shown = box if row["rank"] < self._shown else None
            yield Job(place, row["image_id"], whole if wanted else None, shown)

    def _ahead(self, jobs: Iterator[Job], cut: Cut, config: ExportConfig) -> Iterator[list[_Made]]:
        make = partial(_made, root=self._images.root, cut=cut, config=config)
        if self._pool is None:
            yield from map(make, _batches(jobs))
            return
        waiting = deque[Future[list[_Made]]]()
        for batch in _batches(jobs):
            waiting.append(self._pool.submit(make, batch))
            if len(waiting) == _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _batches(jobs: Iterator[Job]) -> Iterator[list[Job]]:
    while batch := list(islice(jobs, _BATCH)):
        yield batch


_Made = tuple[bytes, tuple[str, Box, str] | None]
"""A picture's file, and the source, window and data URI of a thumbnail."""


def _made(jobs: Sequence[Job], root: Data, cut: Cut, config: ExportConfig) -> list[_Made]:
    made = []
    for job in jobs:
        content, shown, source = b"", None, job.place.source
        if job.box is not None or job.shown is not None:
            image = read_original(_containers(), job.place, job.image_id, root)
            if job.box is not None:
                content = encoded(cut.fitted(cut_box(image, job.box), config.size), config.image_format, source)
            if job.shown is not None:
                shown = source, job.shown, thumbnail(cut_box(image, job.shown))
        made.append((content, shown))
    return made


@lru_cache(maxsize=1)
def _containers() -> Containers:
    """What this process holds open; it closes with the process."""
    return Containers()
