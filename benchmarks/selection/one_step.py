"""The one-step property: scoring once against each further selection from the same store.

Owns this measurement. Must not know networks or how scores came about. Selections are timed without writing images: the
first makes the order of every class, the others read it from the cache. Picks of smaller budgets must be among those of
larger ones.

    python -m benchmarks.selection.one_step --store runs/demo/store --figure one-step.svg
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.selection.one_step_figure import figure
from selector.images.datasets import list_items
from selector.order_pool import order_pool
from selector.selection.order_cache import OrderCache
from selector.selection.ordering import DEFAULT_ORDER
from selector.selection.selection import select as select_patches
from selector.store.store import Store
from selector.store.view import view_store

_REPEATS = 5


def measure(store: Path, budgets: tuple[int, ...], order: str) -> dict[str, Any]:
    """Seconds of scoring (of the store's history), of opening the store and of each selection, and whether picks nest.

    A further selection's seconds are the median of five. Scoring that was killed left rows but no record of its time:
    scoring_seconds are those of unet_rows, of which the store has unet_rows_in_store.
    """
    history = Store.open(store).read_history()
    started = time.perf_counter()
    view = view_store(store, list_items(Store.open(store).read_data_root().root))
    opened = time.perf_counter() - started
    seconds: dict[str, float] = {}
    nested, before = True, set[tuple[int, int]]()
    with tempfile.TemporaryDirectory() as folder, order_pool() as pool:
        select = partial(
            select_patches, view.patches, view.class_names, order=order, cache=OrderCache(Path(folder)), pool=pool
        )
        started = time.perf_counter()
        select(min(budgets))
        first = time.perf_counter() - started
        for ipc in sorted(budgets):
            times = []
            for _ in range(_REPEATS):
                started = time.perf_counter()
                chosen = select(ipc)
                times.append(time.perf_counter() - started)
            seconds[str(ipc)] = round(statistics.median(times), 4)
            picks = {(int(c), int(row)) for c, row in zip(chosen.class_id, chosen.row, strict=True)}
            nested, before = nested and before <= picks, picks
    return {
        "images": view.images,
        "classes": len(view.class_names),
        "order": order,
        "scoring_seconds": round(sum(sum(record["seconds"].values()) for record in history), 1),
        "unet_rows": sum(record["unet_rows"] for record in history),
        "unet_rows_in_store": view.unet_rows,
        "open_seconds": round(opened, 3),
        "first_selection_seconds": round(first, 4),
        "selection_seconds_by_ipc": seconds,
        "nested": nested,
        "load_average": round(os.getloadavg()[0], 1),
    }


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True, help="A scored store.")
@click.option("--ipc", default="1,10,50,100,200", show_default=True, help="Budgets, separated by commas.")
@click.option("--order", default=DEFAULT_ORDER, show_default=True, help="Order of a class's patches.")
@click.option("--figure", "drawing", type=click.Path(path_type=Path), help="Draw the times into this file (SVG).")
def main(store: Path, ipc: str, order: str, drawing: Path | None) -> None:
    """Measure and print one JSON object."""
    measured = measure(store, tuple(int(part) for part in ipc.split(",")), order)
    if drawing is not None:
        drawing.write_text(figure(measured), encoding="utf-8")
    click.echo(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
