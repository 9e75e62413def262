"""Commits of several writers under one number."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from selector.scoring.sharing import Turns, committed_as
from selector.store.claims import Claims, claims
from selector.store.schema import PATCH_SCHEMA
from selector.store.store import Store
from tests.selector.store_writer import image_rows, patch_rows, vectors


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create_or_open(tmp_path / "store", {"of": "a test"})


def test_a_shard_that_another_turn_did_meanwhile_is_not_done_again(tmp_path: Path) -> None:
    """Claims that are given back at once are found free by a turn that looked at an older list."""
    mine = Claims(tmp_path, "")
    done: list[int] = []

    async def one(number: int, item: int) -> None:
        done.append(item)

    with mine.registered():
        for _ in range(20):
            asyncio.run(Turns(mine, print, 4).each("images", {number: number for number in range(30)}, one))
        assert sorted(done) == sorted(20 * list(range(30)))
        assert claims(tmp_path) == []


def test_what_another_writer_has_is_not_committed_again(store: Store) -> None:
    rows, maps = image_rows(0, 1, 6), vectors(0, 1, 2, 2, rows=6)
    committed_as(store, "images", 0, count(9), rows.slice(0, 4), maps[:4])
    committed_as(store, "images", 9, count(10), rows.slice(1, 1), maps[1:2])  # a spare number of somebody else
    committed_as(store, "images", 0, count(9), rows, maps)
    assert store.image_shards() == {0, 9, 10}
    assert store.images("source", "shard").to_pydict() == {
        "source": [f"0/{row}.png" for row in range(6)],
        "shard": [0, 9, 0, 0, 10, 10],
    }
    committed_as(store, "images", 0, count(11), rows.slice(0, 4), maps[:4])
    assert store.image_shards() == {0, 9, 10}


def test_a_patch_that_two_writers_described_stands_once(store: Store) -> None:
    rows = patch_rows(0, 1, 4).to_pylist()
    further = [dict(row, patch_rank=1) for row in rows[:2]]
    both = pa.Table.from_pylist(rows + further, PATCH_SCHEMA)
    committed_as(store, "patches", 0, count(5), both.slice(0, 3), vectors(0, 1, 4, rows=3))
    store.commit_patches(5, both.slice(2, 2), vectors(0, 1, 4, rows=2))
    committed_as(store, "patches", 0, count(5), both, np.zeros((6, 4), np.float16))
    store.commit_patches(7, both.slice(0, 1), vectors(0, 1, 4, rows=1))
    table = store.read_patches()
    found = sorted(zip(table.source.tolist(), table.patch_rank.tolist(), strict=True))
    assert found == sorted((row["source"], row["patch_rank"]) for row in rows + further)
