"""What a round has left to do, from the store alone: decisions are written once and hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from selector.images.prepare import FAILED, OK, Prepared
from selector.scoring.racing import Race
from selector.scoring.rounds import unchanged, work_left
from selector.scoring.shards import ScoredFile
from selector.store.store import IMAGE_SCHEMA, Store
from tests.selector.scoring.test_reduction import RACE

PLAN = replace(RACE, race=Race((4, 8), (1.0, 0.5)))
Typicality = Mapping[str, float | None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create_or_open(tmp_path / "store", {"draws": 8})


def commit(store: Store, shard: int, round: int, typicality: Typicality) -> None:
    """Images by source with the typicality of their window; None is a failed one. The class is the source's folder."""
    rows = [_row(source, value, 4 * (round + 1)) for source, value in typicality.items()]
    maps = np.zeros((len(rows), 2, 2), np.float16)
    store.commit_images(shard, round, pa.Table.from_pylist(rows, IMAGE_SCHEMA), maps)


def _row(source: str, typicality: float | None, draws: int) -> dict[str, Any]:
    lists: dict[str, Any] = {f.name: [] for f in IMAGE_SCHEMA if pa.types.is_list(f.type)}
    if typicality is not None:
        lists |= {name: [0] for name in lists if name.startswith("window_") and name != "window_values"}
        lists |= {"typicality": [typicality], "standard_error": [0.0], "window_values": [draws, draws + 1]}
    status = "failed" if typicality is None else "ok"
    numbers = {"class_id": int(source[0]), "draws": draws, "height": 9, "width": 9}
    return {"image_id": f"id {source}", "source": source, "status": status, "reason": "", **numbers, **lists}


def sources(store: Store, plan: Any = PLAN, round: int = 1) -> dict[int, list[str]]:
    return {shard.number: [file.source for file in shard.files] for shard in work_left(store, plan, round)}


def test_the_better_half_of_each_class_goes_on_across_shards(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.1, "0/b": 0.4, "1/a": 0.9})
    commit(store, 1, 0, {"0/c": 0.3, "0/d": 0.2, "1/b": 0.95})
    assert sources(store) == {0: ["0/b"], 1: ["0/c", "1/b"]}


def test_the_same_images_go_on_however_they_are_sharded(tmp_path: Path) -> None:
    images = {f"0/{i}": float(np.random.default_rng(i).normal()) for i in range(20)}
    found = []
    for size in (20, 7, 1):
        store = Store.create_or_open(tmp_path / str(size), {"draws": 8})
        names = list(images)
        for shard, start in enumerate(range(0, 20, size)):
            commit(store, shard, 0, {name: images[name] for name in names[start : start + size]})
        found.append({name for chosen in sources(store).values() for name in chosen})
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 10


def test_a_round_that_was_killed_half_way_goes_on_with_what_it_decided(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.1, "0/b": 0.4})
    commit(store, 1, 0, {"0/c": 0.3, "0/d": 0.2})
    first = sources(store)
    commit(store, 0, 1, {"0/b": -5.0})
    assert sources(Store.open(store.path)) == {1: first[1]} == {1: ["0/c"]}


def test_failed_images_neither_go_on_nor_count(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.1, "0/b": None, "0/c": 0.3, "0/d": None})
    assert sources(store) == {0: ["0/c"]}


def test_images_that_come_later_race_against_all_but_give_no_earlier_one_another_draw(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.5, "0/b": 0.4, "0/c": 0.3, "0/d": 0.2})
    assert sources(store) == {0: ["0/a", "0/b"]}
    commit(store, 0, 1, {"0/a": 0.5, "0/b": 0.4})
    commit(store, 1, 0, {"0/e": 0.45, "0/f": 0.1, "0/g": 0.0, "0/h": -0.1})
    assert sources(store) == {1: ["0/e"]}, "of eight images four are above 0.25, one of them new"


def test_a_class_of_one_image_has_no_half_and_spends_nothing(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.5})
    assert sources(store) == {}
    assert sources(store) == {}


def test_the_values_of_earlier_rounds_are_joined_in_draw_order(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.5, "0/b": 0.4})
    commit(store, 0, 1, {"0/b": 0.4})
    assert {s: v.tolist() for s, v in store.window_values(0, 1).items()} == {"0/a": [4, 5], "0/b": [4, 5]}
    assert {s: v.tolist() for s, v in store.window_values(0, 2).items()} == {"0/b": [4, 5, 8, 9]}


def test_an_image_that_fails_in_a_later_round_is_no_patch_any_more(store: Store) -> None:
    commit(store, 0, 0, {"0/a": 0.5, "0/b": 0.4})
    commit(store, 0, 1, {"0/a": None})
    assert [image.source for image in store.scored_images(0)] == ["0/b"]


def test_a_file_that_changed_between_rounds_has_failed() -> None:
    image = Prepared("0/a", "other", OK, "", 9, 9)
    assert unchanged(image, ScoredFile("0/a", 0, "other")) is image
    changed = unchanged(image, ScoredFile("0/a", 0, "first"))
    assert (changed.status, changed.image_id) == (FAILED, "first")
