"""Orders kept on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from selector.records import ClassOrder, PatchTable
from selector.selection import order_cache
from selector.selection.order_cache import OrderCache, order_key
from selector.selection.ordering import DEFAULT_ORDER
from selector.selection.selection import Selection, select
from selector.selection.strategies import STRATEGIES
from tests.patch_tables import blobs, patch_table, scattered

NAMES = ["a", "b"]


def a_table(seed: int = 0) -> PatchTable:
    return patch_table([60, 60], seed, np.concatenate([blobs([40, 30, 20], seed, spread=0.1), scattered(30, seed)]))


def same(one: ClassOrder, other: ClassOrder) -> bool:
    arrays = ("permutation", "cluster_label", "membership")
    rest = ("clusters", "unclustered", "method", "note")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in rest
    )


def all_same(one: Selection, other: Selection) -> bool:
    return all(same(one.orders[number], other.orders[number]) for number in one.orders)


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, no order can be made."""

    def forbid() -> None:
        def refuse(*_: Any) -> ClassOrder:
            raise AssertionError("an order was made")

        monkeypatch.setattr("selector.selection.class_orders.order_one_class", refuse)

    return forbid


@pytest.mark.parametrize("order", list(STRATEGIES))
def test_a_further_selection_makes_no_order_and_is_the_same(
    tmp_path: Path, order: str, forbidden: Callable[[], None]
) -> None:
    table, cache = a_table(), OrderCache(tmp_path)
    plain = select(table, NAMES, 20, order=order)
    assert all_same(select(table, NAMES, 5, order=order, cache=cache), plain)
    forbidden()
    again = select(table, NAMES, 20, order=order, cache=cache)
    assert all_same(again, plain)
    for name in ("class_id", "rank", "row", "cluster_label", "membership"):
        kept, made = getattr(again, name), getattr(plain, name)
        np.testing.assert_array_equal(kept, made)
        assert kept.dtype == made.dtype
    assert cache.problem == ""


def _another_feature(table: PatchTable) -> PatchTable:
    features: NDArray[np.float16] = np.array(table.features)
    features[7, 3] = np.nextafter(features[7, 3], np.float16(1))
    return replace(table, features=features)


def _another_typicality(table: PatchTable) -> PatchTable:
    typicality = table.typicality.copy()
    typicality[7] = np.nextafter(typicality[7], np.float32(1))
    return replace(table, typicality=typicality)


def _another_image(table: PatchTable) -> PatchTable:
    image_id = table.image_id.copy()
    image_id[7] = "0123456789abcdef"
    return replace(table, image_id=image_id)


def _another_rank(table: PatchTable) -> PatchTable:
    patch_rank = table.patch_rank.copy()
    patch_rank[7] = 1
    return replace(table, patch_rank=patch_rank)


def _another_order_of_rows(table: PatchTable) -> PatchTable:
    return table.take(np.r_[1, 0, 2 : len(table)])


def _one_row_less(table: PatchTable) -> PatchTable:
    return table.take(np.arange(len(table) - 1))


CHANGES = [
    _another_feature,
    _another_typicality,
    _another_image,
    _another_rank,
    _another_order_of_rows,
    _one_row_less,
]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_an_order_depends_on_changes_its_key(change: Callable[[PatchTable], PatchTable]) -> None:
    table = patch_table([20])
    assert order_key("clusters", 0, change(table)) != order_key("clusters", 0, table)


def test_seed_and_strategy_change_the_key_and_a_box_does_not() -> None:
    table = patch_table([20])
    keys = {order_key(order, seed, table) for order in STRATEGIES for seed in (0, 1)}
    assert len(keys) == 2 * len(STRATEGIES)
    assert order_key("clusters", 0, replace(table, top=table.top + 1)) in keys


def test_other_code_or_another_library_changes_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = patch_table([20])
    here = order_key("clusters", 0, table)
    monkeypatch.setattr(order_cache, "version", lambda name: "0.1")
    order_cache._code.cache_clear()
    assert order_key("clusters", 0, table) != here
    monkeypatch.undo()
    (tmp_path / "seats.py").write_text("another way to deal")
    monkeypatch.setattr(order_cache, "files", lambda package: tmp_path)
    order_cache._code.cache_clear()
    assert order_key("clusters", 0, table) != here
    monkeypatch.undo()
    order_cache._code.cache_clear()
    assert order_key("clusters", 0, table) == here


def _empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flipped(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40] ^= 1
    path.write_bytes(content)


def _of_another_class(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def _a_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [_empty, _cut, _flipped, _of_another_class, _a_folder])
def test_a_damaged_or_foreign_file_is_passed_over(tmp_path: Path, damage: Callable[[Path, Path], None]) -> None:
    table, cache = a_table(), OrderCache(tmp_path)
    plain = select(table, NAMES, 20, cache=cache)
    keys = [
        order_key(DEFAULT_ORDER, seed, table.take(table.class_id == number)) for number, seed in enumerate(_seeds())
    ]
    path, other = (tmp_path / f"order-{key}.bin" for key in keys)
    damage(path, other)
    assert cache.read(keys[0], 60) is None
    assert cache.read(keys[1], 60) is not None
    assert all_same(select(table, NAMES, 20, cache=cache), plain)


def _seeds() -> list[int]:
    """The seeds of classes 0 and 1 of a selection with seed 0."""
    return [int(np.random.SeedSequence([0, number]).generate_state(1)[0]) for number in range(2)]


def test_a_damaged_file_is_replaced_by_a_whole_one(tmp_path: Path, forbidden: Callable[[], None]) -> None:
    table, cache = a_table(), OrderCache(tmp_path)
    plain = select(table, NAMES, 20, cache=cache)
    for path in tmp_path.iterdir():
        _flipped(path, path)
    select(table, NAMES, 20, cache=cache)
    forbidden()
    assert all_same(select(table, NAMES, 20, cache=cache), plain)


def test_a_folder_that_can_not_be_written_costs_the_cache_but_not_the_selection(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = OrderCache(tmp_path / "file" / "orders")
    assert all_same(select(a_table(), NAMES, 20, cache=cache), select(a_table(), NAMES, 20))
    assert "file" in cache.problem


def test_the_orders_used_last_are_kept_and_no_more_than_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_cache, "_LEAST_KEPT", 3)
    monkeypatch.setattr(order_cache, "_SELECTIONS_KEPT", 2)
    cache, made = (
        OrderCache(tmp_path),
        STRATEGIES["typicality"](
            scattered(3), np.zeros(3, np.float32), np.array(["a", "b", "c"]), np.zeros(3, np.int32), 0
        ),
    )
    for number in range(6):
        cache.write(f"{number}", made)
        os.utime(tmp_path / f"order-{number}.bin", ns=(number, number))
    (tmp_path / "order-left.partial").write_bytes(b"by a killed process")
    os.utime(tmp_path / "order-left.partial", ns=(0, 0))
    assert cache.read("1", 3) is not None  # and so was used last
    cache.prune(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"order-{number}.bin" for number in (1, 3, 4, 5)]


def test_an_order_without_a_name_is_not_kept(tmp_path: Path) -> None:
    select(a_table(), NAMES, 5, order=STRATEGIES["herding"], cache=OrderCache(tmp_path))
    assert list(tmp_path.iterdir()) == []
