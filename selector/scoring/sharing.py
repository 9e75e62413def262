"""Shards are done once, by whichever of several processes comes first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector.store.claims import Claims, claims
from selector.store.store import Store

_POLL_S, _REMIND_S = 0.5, 60.0
_KEYS = {"images": ["source", "image_id"], "patches": ["source", "image_id", "patch_rank"]}
"""What tells rows apart, by stage."""

Item = TypeVar("Item")


class Turns:
    """Takes one shard after another that nobody else works on.

    wait: whether to look at what others work on when they are done or gone, instead of leaving it to them.
    """

    def __init__(self, mine: Claims, note: Callable[[str], None], at_once: int) -> None:
        self.claims, self.wait = mine, True
        self._note, self._at_once = note, at_once

    async def each(
        self, stage: str, work: Mapping[int, Item], one: Callable[[int, Item], Coroutine[Any, Any, None]]
    ) -> None:
        """Runs `one` on every shard, few at a time; the first error cancels the rest and is raised bare."""
        pending = dict(work)

        async def turns() -> None:
            told = time.monotonic()
            while pending:
                number = await asyncio.to_thread(self._claimed, stage, list(pending))
                if number is not None:
                    try:
                        # Another turn may have taken it, done it and given it back while this one looked.
                        if number in pending:
                            await one(number, pending.pop(number))
                    finally:
                        self.claims.release(stage, number)
                elif not self.wait:
                    return
                else:
                    if time.monotonic() - told > _REMIND_S:
                        told = time.monotonic()
                        self._note(f"waiting for {self._with_others(stage, pending)}")
                    await asyncio.sleep(_POLL_S)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._at_once):
                    group.create_task(turns())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _claimed(self, stage: str, numbers: Sequence[int]) -> int | None:
        """The first shard that could be claimed."""
        return next((number for number in numbers if self.claims.take(stage, number)), None)

    def _with_others(self, stage: str, pending: Mapping[int, object]) -> str:
        held = [one for one in claims(self.claims.store) if one.stage == stage and one.shard in pending and one.live]
        who = sorted({str(one.writer) for one in held if one.writer != self.claims.writer})
        return f"{len(pending)} shards that {', '.join(who) or 'this process'} work on"


def committed_as(
    store: Store, stage: str, number: int, spare: Iterator[int], rows: pa.Table, vectors: NDArray[np.float16]
) -> None:
    """Commits rows under the number. Where another process was faster, what its commit does not have goes under a spare one."""
    commit = store.commit_images if stage == "images" else store.commit_patches
    while len(rows) and not commit(number, rows, vectors):
        have, offered = store.committed_rows(stage, number, *_KEYS[stage]), rows.select(_KEYS[stage])
        there = set(zip(*have.to_pydict().values(), strict=True))
        left = np.array([row not in there for row in zip(*offered.to_pydict().values(), strict=True)])
        rows, vectors, number = rows.filter(pa.array(left)), vectors[left], next(spare)
