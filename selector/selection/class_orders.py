"""The orders of many classes: kept ones from the cache, the others made, side by side where that pays.

Owns the seed of each class and the classes in flight. A class's order depends on its own patches alone, so it is the
same whichever process makes it, and in whatever company.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.records import ClassOrder, PatchTable
from selector.selection.order_cache import OrderCache, order_key
from selector.selection.ordering import Order
from selector.selection.strategies import strategy_named

_WORTH_PROCESSES = 2**24
"""Sum of squared class sizes from which other processes are started: ten classes of 1,300, about a second of work."""

_IN_FLIGHT = max(8, 2 * (os.cpu_count() or 1))


def order_classes(
    table: PatchTable,
    class_rows: Mapping[int, NDArray[np.int64]],
    order: str | Order,
    seed: int,
    *,
    cache: OrderCache | None = None,
    pool: Executor | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[int, ClassOrder]:
    """class_id → the order of its rows. Every class has its own seed, made of `seed` and its class_id.

    cache: keeps orders that have a name. pool: processes that make them; their number changes nothing but the time.
    advance is called with 1 for every class that is done. Raises UsageError for an unknown name.
    """
    if not isinstance(order, str):
        seeds = {number: _own_seed(seed, number) for number in class_rows}
        return {number: _made(order, table.take(rows), seeds[number]) for number, rows in class_rows.items()}
    strategy_named(order)
    orders: dict[int, ClassOrder] = {}
    keys: dict[int, str] = {}
    if cache is not None:
        for number, rows in class_rows.items():
            keys[number] = order_key(order, _own_seed(seed, number), table.take(rows))
            kept = cache.read(keys[number], len(rows))
            if kept is not None:
                orders[number] = kept
                advance(1)
    missing = {number: rows for number, rows in class_rows.items() if number not in orders}
    if sum(len(rows) ** 2 for rows in missing.values()) < _WORTH_PROCESSES:
        pool = None
    for number, made in _make_all(table, missing, order, seed, cache.folder if cache else None, pool):
        orders[number] = made
        advance(1)
        if cache is not None:
            cache.write(keys[number], made)
    if cache is not None and missing:
        cache.prune(len(class_rows))
    return {number: orders[number] for number in class_rows}


def order_one_class(order: str, patches: PatchTable, seed: int, tree_folder: Path | None) -> ClassOrder:
    """The named order of one class's patches, whose features may be read here for the first time."""
    return _made(strategy_named(order, tree_folder), patches, seed)


def _made(strategy: Order, patches: PatchTable, seed: int) -> ClassOrder:
    return strategy(patches.features, patches.typicality, patches.image_id, patches.patch_rank, seed)


def _own_seed(seed: int, class_id: int) -> int:
    return int(np.random.SeedSequence([seed, class_id]).generate_state(1)[0])


def _make_all(
    table: PatchTable,
    class_rows: Mapping[int, NDArray[np.int64]],
    order: str,
    seed: int,
    tree_folder: Path | None,
    pool: Executor | None,
) -> Iterator[tuple[int, ClassOrder]]:
    """(class_id, order) of every class, in the order given; only some classes' patches are in flight at a time."""
    tasks = ((number, table.take(rows), _own_seed(seed, number)) for number, rows in class_rows.items())
    if pool is None:
        for number, patches, own_seed in tasks:
            yield number, order_one_class(order, patches, own_seed, tree_folder)
        return
    most: int = getattr(pool, "in_flight", _IN_FLIGHT)
    waiting: deque[tuple[int, Future[ClassOrder]]] = deque()
    try:
        for number, patches, own_seed in tasks:
            waiting.append((number, pool.submit(order_one_class, order, patches, own_seed, tree_folder)))
            if len(waiting) == most:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    except BrokenProcessPool as error:
        raise SelectorError(
            "a process that orders classes was ended from outside (memory, perhaps); the orders made so far are kept, "
            "and the same command goes on from there"
        ) from error
