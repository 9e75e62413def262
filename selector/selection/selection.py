"""The selection: of every class the first N of its total order.

Owns what IPC means, prefixes and short classes. Must not know of files, reports or how an order comes about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from selector.errors import UsageError
from selector.records import ClassOrder, PatchTable
from selector.selection.baselines import BASELINES
from selector.selection.ordering import DEFAULT_ORDER, ORDERS, Order, cluster_order

Scalar = TypeVar("Scalar", bound=np.generic)

ON_SHORT = ("error", "all", "repeat")

STRATEGIES: Mapping[str, Order] = MappingProxyType({**ORDERS, **BASELINES})
"""Every order by name: the candidates for the default, then the baselines."""


@dataclass(frozen=True)
class Selection:
    """The picks of all classes, sorted by (class_id, rank), as columns of equal length m.

    class_id, rank: int32 [m], rank from 0. row: int64 [m], row of the patch table. cluster_label: int32 [m] and
    membership: float32 [m], of the pick within its class. orders: class_id → the class's order. class_rows: class_id →
    int64, the table's rows that the class's order numbers. ipc, order, on_short, seed: what was asked for; order is
    "custom" if it has no name.
    """

    class_id: NDArray[np.int32]
    rank: NDArray[np.int32]
    row: NDArray[np.int64]
    cluster_label: NDArray[np.int32]
    membership: NDArray[np.float32]
    orders: Mapping[int, ClassOrder]
    class_rows: Mapping[int, NDArray[np.int64]]
    ipc: int
    order: str
    on_short: str
    seed: int

    def __len__(self) -> int:
        return len(self.row)


def select(
    table: PatchTable,
    class_names: Sequence[str] | Mapping[int, str],
    ipc: int,
    *,
    order: str | Order = DEFAULT_ORDER,
    on_short: str = "error",
    seed: int = 0,
    cache_dir: Path | None = None,
) -> Selection:
    """The first `ipc` patches of every class in its order.

    class_names: the classes that must be there, by class_id; patches of other classes are left out. on_short, for a
    class with fewer patches: "error" raises UsageError with every short class and its count, "all" takes what is there
    (nothing of an empty class), "repeat" begins the order again (impossible, hence UsageError, for an empty class).
    Raises UsageError for an unknown order or on_short and for ipc < 1. Every class gets its own seed, made of `seed`
    and its class_id. cache_dir: where the default order keeps its trees, if anywhere.
    """
    strategy, order_name = _strategy(order, cache_dir)
    if ipc < 1:
        raise UsageError(f"--ipc must be at least 1, got {ipc}")
    if on_short not in ON_SHORT:
        raise UsageError(f"--on-short must be one of {', '.join(ON_SHORT)}; got {on_short!r}")
    names = dict(class_names) if isinstance(class_names, Mapping) else dict(enumerate(class_names))
    class_rows = {number: np.flatnonzero(table.class_id == number) for number in sorted(names)}
    refuse_short({names[number]: len(rows) for number, rows in class_rows.items()}, ipc, on_short)
    orders = {number: _ordered(table, rows, strategy, seed, number) for number, rows in class_rows.items()}
    picks = {number: _first(orders[number], ipc, on_short) for number in orders}
    return Selection(
        class_id=_joined([np.full(len(pick), number) for number, pick in picks.items()], np.int32),
        rank=_joined([np.arange(len(pick)) for pick in picks.values()], np.int32),
        row=_joined([class_rows[number][pick] for number, pick in picks.items()], np.int64),
        cluster_label=_joined([orders[number].cluster_label[pick] for number, pick in picks.items()], np.int32),
        membership=_joined([orders[number].membership[pick] for number, pick in picks.items()], np.float32),
        orders=orders,
        class_rows=class_rows,
        ipc=ipc,
        order=order_name,
        on_short=on_short,
        seed=seed,
    )


def _strategy(order: str | Order, cache_dir: Path | None) -> tuple[Order, str]:
    if not isinstance(order, str):
        return order, "custom"
    if order not in STRATEGIES:
        raise UsageError(f"unknown order {order!r}; there are: {', '.join(STRATEGIES)}")
    return cluster_order(cache_dir) if order == DEFAULT_ORDER else STRATEGIES[order], order


def refuse_short(counts: Mapping[str, int], ipc: int, on_short: str) -> None:
    """Raises UsageError that names the classes which on_short does not let pass. counts: patches by class name."""
    least = {"error": ipc, "repeat": 1, "all": 0}[on_short]
    short = {name: count for name, count in counts.items() if count < least}
    if not short:
        return
    listed = ", ".join(f"{name} ({count})" for name, count in short.items())
    if on_short == "repeat":
        raise UsageError(
            f"--on-short repeat has nothing to repeat, since these classes have no usable patch: {listed}. "
            "Add images to them, or pass --on-short all to go without them."
        )
    enough = min(counts.values())
    lower = f", ask for --ipc {enough} or less" if enough else ""
    raise UsageError(
        f"{len(short)} of {len(counts)} classes have fewer than the {ipc} patches that --ipc {ipc} asks for "
        f"(class and its count): {listed}. Add images{lower}, or pass --on-short all (take what is there) or "
        "--on-short repeat (take patches again)."
    )


def _ordered(table: PatchTable, rows: NDArray[np.int64], strategy: Order, seed: int, class_id: int) -> ClassOrder:
    """The order of one class, whose permutation numbers `rows`."""
    patches = table.take(rows)
    own_seed = int(np.random.SeedSequence([seed, class_id]).generate_state(1)[0])
    return strategy(patches.features, patches.typicality, patches.image_id, patches.patch_rank, own_seed)


def _first(made: ClassOrder, ipc: int, on_short: str) -> NDArray[np.int64]:
    if on_short == "repeat":
        return np.resize(made.permutation, ipc)
    return made.permutation[:ipc]


def _joined(parts: Sequence[NDArray[Any]], dtype: type[Scalar]) -> NDArray[Scalar]:
    joined: NDArray[Scalar] = np.concatenate([np.empty(0, dtype=dtype), *parts]).astype(dtype)
    return joined
