"""The selection: of every class the first N of its total order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from selector.errors import UsageError
from selector.records import ClassOrder, PatchTable
from selector.selection.class_orders import order_classes
from selector.selection.order_cache import OrderCache
from selector.selection.ordering import DEFAULT_ORDER, Order
from selector.selection.strategies import strategy_named

Scalar = TypeVar("Scalar", bound=np.generic)

Explain = Callable[[Collection[str]], Mapping[str, str]]
"""Class names → why their files gave nothing, such as "5 damaged"; "" for a class that lost none."""

_CLASSES_SHOWN = 20
ON_SHORT = ("error", "all", "repeat", "patches")


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
    cache: OrderCache | None = None,
    pool: Executor | None = None,
    further: PatchTable | None = None,
    advance: Callable[[int], None] = lambda _: None,
    explain: Explain | None = None,
    told_in: str = "",
) -> Selection:
    """The first `ipc` patches of every class in its order.

    class_names: the classes that must be there, by class_id; patches of other classes are left out. on_short, for a
    class with fewer patches: "error" raises UsageError with every short class and its count, "all" takes what is there
    (nothing of an empty class), "repeat" begins the order again (impossible, hence UsageError, for an empty class),
    "patches" goes on with the class's rows of `further`, in their order: patches without features, whose row numbers
    follow those of the table. Every class gets its own seed, made of `seed` and its class_id. cache: where orders are
    kept, if anywhere. pool: processes that may make them side by side. advance: called with 1 for every class that is in
    order. explain, told_in: as in refuse_short. Raises UsageError for an unknown order or on_short and for ipc < 1.
    """
    if isinstance(order, str):
        strategy_named(order)
    if ipc < 1:
        raise UsageError(f"--ipc must be at least 1, got {ipc}")
    if on_short not in ON_SHORT:
        raise UsageError(f"--on-short must be one of {', '.join(ON_SHORT)}; got {on_short!r}")
    names = dict(class_names) if isinstance(class_names, Mapping) else dict(enumerate(class_names))
    described = class_rows = _rows_of(table, sorted(names))
    if further is not None and on_short == "patches":
        beyond = _rows_of(further, sorted(names))
        class_rows = {number: np.concatenate([rows, len(table) + beyond[number]]) for number, rows in described.items()}
    refuse_short({names[number]: len(rows) for number, rows in class_rows.items()}, ipc, on_short, explain, told_in)
    orders = order_classes(table, described, order, seed, cache=cache, pool=pool, advance=advance)
    orders = {number: _continued(made, len(class_rows[number])) for number, made in orders.items()}
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
        order=order if isinstance(order, str) else "custom",
        on_short=on_short,
        seed=seed,
    )


def _rows_of(table: PatchTable, classes: Sequence[int]) -> dict[int, NDArray[np.int64]]:
    """class_id → int64, its rows of the table, ascending."""
    by_class = np.argsort(table.class_id, kind="stable")
    known = table.class_id[by_class]
    edges = zip(np.searchsorted(known, classes), np.searchsorted(known, classes, side="right"), strict=True)
    return {number: by_class[start:end] for number, (start, end) in zip(classes, edges, strict=True)}


def refuse_short(
    counts: Mapping[str, int], ipc: int, on_short: str, explain: Explain | None = None, told_in: str = ""
) -> None:
    """Raises UsageError that names the classes which on_short does not let pass. counts: patches by class name.

    explain: gives the reasons behind them. told_in: the file that has those of every single image, if it was written.
    """
    least = {"error": ipc, "patches": ipc, "repeat": 1, "all": 0}[on_short]
    short = {name: count for name, count in counts.items() if count < least}
    if not short:
        return
    listed = _listed(short, explain)
    told = f" {told_in} has every file and its reason." if told_in else ""
    if on_short == "repeat":
        raise UsageError(
            f"--on-short repeat has nothing to repeat, since these classes have no usable patch: {listed}. "
            f"Add images to them, or pass --on-short all to go without them.{told}"
        )
    enough = min(counts.values())
    lower = f", ask for --ipc {enough} or less" if enough else ""
    included, remedy = "", "--on-short patches (further patches of the same images), "
    if on_short == "patches":
        included, remedy = ", further patches of the same images included", ""
    raise UsageError(
        f"{len(short)} of {len(counts)} classes have fewer than the {ipc} patches that --ipc {ipc} asks for "
        f"(class and its count{included}): {listed}. Add images{lower}, or pass {remedy}--on-short all (take what is "
        f"there) or --on-short repeat (take patches again).{told}"
    )


def _listed(short: Mapping[str, int], explain: Explain | None) -> str:
    """The first short classes with their counts and, if any is known, reasons."""
    shown = list(short)[:_CLASSES_SHOWN]
    reasons = explain(shown) if explain else {}
    parts = [f"{name} ({short[name]})" + (f": {reasons[name]}" if reasons.get(name) else "") for name in shown]
    more = f" … and {len(short) - len(shown)} more" if len(short) > len(shown) else ""
    return ("; " if any(reasons.values()) else ", ").join(parts) + more


def _continued(made: ClassOrder, count: int) -> ClassOrder:
    """The order with rows up to `count` behind it, unclustered and as they come."""
    more = count - len(made.permutation)
    if not more:
        return made
    return replace(
        made,
        permutation=np.concatenate([made.permutation, np.arange(len(made.permutation), count)]),
        cluster_label=np.concatenate([made.cluster_label, np.full(more, -1, np.int32)]),
        membership=np.concatenate([made.membership, np.zeros(more, np.float32)]),
    )


def _first(made: ClassOrder, ipc: int, on_short: str) -> NDArray[np.int64]:
    if on_short == "repeat":
        return np.resize(made.permutation, ipc)
    return made.permutation[:ipc]


def _joined(parts: Sequence[NDArray[Any]], dtype: type[Scalar]) -> NDArray[Scalar]:
    joined: NDArray[Scalar] = np.concatenate([np.empty(0, dtype=dtype), *parts]).astype(dtype)
    return joined
