"""Orders of many classes, in this process or in others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from selector.errors import SelectorError
from selector.order_pool import order_pool
from selector.records import PatchTable
from selector.selection import class_orders
from selector.selection.order_cache import OrderCache
from selector.selection.selection import Selection, select
from tests.patch_tables import blobs, patch_table, scattered

COUNTS = [40, 1, 90, 30, 0, 55]
NAMES = [f"class {number}" for number in range(len(COUNTS))]


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with order_pool(2) as pool:
        assert pool is not None
        yield pool


@pytest.fixture(autouse=True)
def _however_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool is used for these few patches too."""
    monkeypatch.setattr(class_orders, "_WORTH_PROCESSES", 0)


def a_table() -> PatchTable:
    groups = [blobs([count // 2, count - count // 2], number, spread=0.1) for number, count in enumerate(COUNTS)]
    groups[3] = scattered(COUNTS[3])  # answered by k-means
    return patch_table(COUNTS, features=np.concatenate(groups))


def picked(made: Selection) -> list[tuple[int, int, int, float]]:
    columns = (made.class_id, made.row, made.cluster_label, made.membership)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("order", ["clusters", "herding", "random", "k-means"])
def test_other_processes_make_the_same_orders(order: str, processes: Executor) -> None:
    alone = select(a_table(), NAMES, 60, order=order, on_short="all")
    shared = select(a_table(), NAMES, 60, order=order, on_short="all", pool=processes)
    assert picked(shared) == picked(alone)
    assert {made.method for made in shared.orders.values()} == {made.method for made in alone.orders.values()}


def test_what_other_processes_made_is_kept(processes: Executor, tmp_path: Path) -> None:
    cache = OrderCache(tmp_path)
    first = select(a_table(), NAMES, 60, on_short="all", cache=cache, pool=processes)
    assert len(list(tmp_path.iterdir())) == len(COUNTS)
    again = select(a_table(), NAMES, 60, on_short="all", cache=cache)
    assert picked(again) == picked(first)


def test_no_more_than_some_classes_are_handed_over_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_orders, "_IN_FLIGHT", 2)
    handed, most = 0, 0

    class Counting(ThreadPoolExecutor):
        def submit(self, *arguments, **named):  # type: ignore[no-untyped-def]
            nonlocal handed, most
            handed += 1
            most = max(most, handed)
            future = super().submit(*arguments, **named)
            result = future.result

            def taken(*limits):  # type: ignore[no-untyped-def]
                nonlocal handed
                handed -= 1
                return result(*limits)

            future.result = taken
            return future

    with Counting(1) as pool:
        select(a_table(), NAMES, 5, on_short="all", pool=pool)
    assert most == 2
    assert handed == 0


def test_every_class_that_is_done_is_told_once_kept_or_made(processes: Executor, tmp_path: Path) -> None:
    cache, told = OrderCache(tmp_path), list[int]()
    for pool in (processes, None):
        select(a_table(), NAMES, 60, on_short="all", cache=cache, pool=pool, advance=told.append)
        assert told == [1] * len(COUNTS)
        told.clear()


def test_an_error_in_another_process_is_the_error_of_the_selection(processes: Executor) -> None:
    table = a_table()
    typicality = table.typicality.copy()
    typicality[3] = np.nan
    with pytest.raises(SelectorError, match="1 patches have a typicality that is not finite"):
        select(PatchTable(**{**vars(table), "typicality": typicality}), NAMES, 5, on_short="all", pool=processes)


def test_processes_that_were_killed_are_an_error_that_says_so() -> None:
    with order_pool(2) as pool:
        assert pool is not None
        assert isinstance(pool.submit(os._exit, 1).exception(timeout=200), BrokenProcessPool)
        with pytest.raises(SelectorError, match="ended from outside"):
            select(a_table(), NAMES, 5, on_short="all", pool=pool)


def test_a_process_that_is_killed_at_work_leaves_the_orders_made_before(tmp_path: Path) -> None:
    class Breaking(ThreadPoolExecutor):
        def submit(self, *arguments, **named):  # type: ignore[no-untyped-def]
            if arguments[2].class_id[:1].tolist() != [2]:
                return super().submit(*arguments, **named)
            broken: Future[None] = Future()
            broken.set_exception(BrokenProcessPool())
            return broken

    with Breaking(1) as pool, pytest.raises(SelectorError, match="the orders made so far are kept"):
        select(a_table(), NAMES, 5, on_short="all", cache=OrderCache(tmp_path), pool=pool)
    assert len(list(tmp_path.iterdir())) == 2


def test_one_process_is_no_pool() -> None:
    with order_pool(1) as pool:
        assert pool is None
