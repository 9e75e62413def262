"""Files read by the decoding processes, and tried again where they could not be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from typing import Any, TypeVar

from selector.images.prepare import CHANGED, UNREAD, Crops, Prepared, prepare_crops, prepare_images
from selector.images.readers import Place
from selector.records import Box
from selector.scoring.settings import ScoringSettings

_PIECE = 64  # files per call of a decoding process
_PAUSES_S = (0.5, 2.0)  # before files that could not be read are tried again

Item = TypeVar("Item")
Read = TypeVar("Read", Prepared, Crops)


class Files:
    """Reads by a pool of processes."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool

    async def prepared(self, settings: ScoringSettings, places: Sequence[Place]) -> list[Prepared]:
        """The files decoded and fitted, in their order."""
        fitting = (settings.resolution, settings.fit, settings.min_side)

        async def prepare(wanted: Sequence[Place]) -> list[Prepared]:
            return await self._in_pool(lambda piece: (prepare_images, piece, *fitting), wanted)

        return await _insisted(prepare, places)

    async def crops(self, wanted: Sequence[tuple[Place, str, tuple[Box, ...]]], resolution: int) -> list[Crops]:
        """Boxes cut out of the files that still have these ids, in their order."""

        async def cut(wanted: Sequence[tuple[Place, str, tuple[Box, ...]]]) -> list[Crops]:
            return await self._in_pool(lambda piece: (prepare_crops, piece, resolution), wanted)

        return await _insisted(cut, wanted)

    async def _in_pool(self, call: Callable[[Sequence[Item]], tuple[Any, ...]], items: Sequence[Item]) -> list[Any]:
        """The results of calls on pieces of the items, side by side in the decoding processes, in the items' order."""
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(self._pool, *call(piece)) for piece in _pieces(items)]
        return [result for part in await asyncio.gather(*calls) for result in part]


def _pieces(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + _PIECE] for start in range(0, len(items), _PIECE)]


async def _insisted(read: Callable[[Sequence[Item]], Awaitable[list[Read]]], items: Sequence[Item]) -> list[Read]:
    """The results of reading the items; those that could not be read are tried again after each pause."""
    found = await read(items)
    for pause_s in _PAUSES_S:
        lost = [i for i, one in enumerate(found) if one.status == UNREAD and one.reason != CHANGED]
        if not lost:
            break
        await asyncio.sleep(pause_s)
        for i, one in zip(lost, await read([items[i] for i in lost]), strict=True):
            found[i] = one
    return found
