"""The feed of one `score` call and the other tasks of its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest

from client.delivery import stream
from client.delivery.bounds import Room
from client.delivery.packing import Batch
from client.delivery.stream import Stream
from client.rows import Answer, Result, Row
from tests.client.fake_triton import toy_rows


def longest_pull(rows: int, batch_rows: int) -> int:
    """The most rows of a plain iterable that are pulled between two turns of another task."""
    pulled = 0

    def plain() -> Iterator[Row]:
        nonlocal pulled
        for row in toy_rows(rows):
            pulled += 1
            yield row

    async def deliver(batch: Batch) -> list[Result]:
        return [Answer(row.key, {}) for row in batch.rows]

    async def main() -> list[int]:
        seen: list[int] = []

        async def other() -> None:
            while pulled < rows:
                seen.append(pulled)
                await asyncio.sleep(0)

        call = Stream(
            plain(),
            check=lambda row: None,
            deliver=deliver,
            batch_rows=lambda model: batch_rows,
            row_bytes=lambda model: 1,
            linger_s=0.005,
            room=Room(10 * rows, 10 * rows),
        )
        task = asyncio.create_task(other())
        keys = [result.key async for result in call.results()]
        await task
        assert sorted(keys) == list(range(rows))
        return [*seen, rows]

    return max(later - earlier for earlier, later in pairwise(asyncio.run(main())))


def test_other_tasks_have_a_turn_with_every_full_batch_of_a_plain_iterable() -> None:
    """It never waits by itself."""
    assert longest_pull(64, 8) <= 8


def test_they_have_one_as_well_when_rows_are_slow_and_fill_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every row here, since no time at all is allowed without one."""
    monkeypatch.setattr(stream, "LONGEST_TURN_S", 0.0)
    assert longest_pull(20, 1000) <= 2
