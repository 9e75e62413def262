"""Features that stay on disk until they are asked for."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from selector.errors import StoreError
from selector.selection.order_cache import order_key
from selector.store.store import Store
from tests.selector.store_writer import deleted, patch_rows, vectors_file


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create_or_open(tmp_path / "store", {"of": "a test"})


def numbers(shard: int, rows: int = 8) -> NDArray[np.float16]:
    return np.random.default_rng(shard).uniform(-1, 1, (rows, 5)).astype(np.float16)


def fill(store: Store, shards: int = 3) -> NDArray[np.float16]:
    for shard in range(shards):
        store.commit_patches(shard, patch_rows(shard, 1, 8), numbers(shard))
    return np.concatenate([numbers(shard) for shard in range(shards)])


def test_rows_of_rows_are_those_of_the_whole_array(store: Store) -> None:
    whole, features = fill(store), store.read_patches().features
    draw = np.random.default_rng(0)
    some, mask = draw.permutation(24)[:15], draw.random(15) < 0.5
    np.testing.assert_array_equal(np.asarray(features), whole)
    np.testing.assert_array_equal(np.asarray(features[some][mask], dtype=np.float32), whole[some][mask])
    assert len(features[some][mask]) == mask.sum()
    assert np.asarray(features[:0]).shape == (0, 5)


def test_nothing_is_read_before_it_is_asked_for(store: Store) -> None:
    whole, features = fill(store), store.read_patches().features
    vectors_file(store, 1).unlink()
    np.testing.assert_array_equal(np.asarray(features[np.r_[0:8, 16:24]]), whole[np.r_[0:8, 16:24]])
    with pytest.raises(StoreError, match="00001 is damaged"):
        np.asarray(features)


def test_they_can_be_sent_to_another_process(store: Store) -> None:
    whole = fill(store)
    sent = pickle.loads(pickle.dumps(store.read_patches().features[np.arange(3, 12)]))
    np.testing.assert_array_equal(np.asarray(sent), whole[3:12])


def test_the_identity_is_that_of_the_vectors_in_their_order(store: Store, tmp_path: Path) -> None:
    fill(store)
    features = store.read_patches().features
    twin = Store.create_or_open(tmp_path / "twin", {"of": "another"})
    fill(twin)
    assert twin.read_patches().features.identity() == features.identity()
    known = {features.identity(), features[::-1].identity(), features[:23].identity(), features[1:].identity()}
    deleted(twin, 2)
    twin.commit_patches(2, patch_rows(2, 1, 8), numbers(9))
    changed = twin.read_patches().features
    assert len(known | {changed.identity()}) == 5
    assert changed[:16].identity() == features[:16].identity()  # the other commits are as they were


def test_a_commit_that_is_replaced_after_opening_is_not_taken_for_the_one_that_was_opened(store: Store) -> None:
    fill(store)
    features = store.read_patches().features
    deleted(store, 1)
    store.commit_patches(1, patch_rows(1, 1, 8), numbers(9))
    np.asarray(features[:8])
    with pytest.raises(StoreError, match="00001 was deleted and committed again"):
        np.asarray(features[8:16])


def test_commits_of_an_earlier_version_have_no_identity_and_are_known_by_their_bytes(store: Store) -> None:
    fill(store)
    of_commits = order_key("clusters", 0, store.read_patches())
    path = store.path / "patches" / "00000.parquet"
    table = pq.read_table(path)
    stamp = table.schema.metadata[b"selector.vectors"]
    assert b"blake2b" in stamp
    older = b'{"shape": [8, 5], "dtype": "<f2", "crc32": ' + stamp.split(b'"crc32": ')[1].split(b",")[0] + b"}"
    pq.write_table(table.replace_schema_metadata({b"selector.vectors": older}), path)
    vectors_file(store, 0).rename(path.with_suffix(".npy"))
    patches = store.read_patches()
    assert patches.features.identity() is None
    first = order_key("clusters", 0, patches)
    assert first != of_commits
    np.testing.assert_array_equal(np.asarray(patches.features), np.concatenate([numbers(s) for s in range(3)]))
    changed = patches.take(np.r_[1, 0, 2:24])
    assert order_key("clusters", 0, changed) != first
