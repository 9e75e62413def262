"""The one-step property: scoring once against each further selection from the same store.

Owns this measurement. Must not know networks or how scores came about. Selections are timed without writing images: the
first grows the cluster trees, the others read them. Picks of smaller budgets must be among those of larger ones.

    python -m selector.evaluation.one_step --store runs/demo/store
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from selector.images.datasets import list_items
from selector.scoring.score import read_history
from selector.selection.selection import select as select_patches
from selector.store.store import Store
from selector.store.view import view_store


def measure(store: Path, budgets: tuple[int, ...], order: str) -> dict[str, Any]:
    """Seconds of scoring (of the store's history), of opening the store and of each selection, and whether picks nest."""
    history = read_history(store)
    started = time.perf_counter()
    view = view_store(store, list_items(Store.open(store).read_data_root().root))
    opened = time.perf_counter() - started
    seconds: dict[str, float] = {}
    nested, before = True, set[tuple[int, int]]()
    with tempfile.TemporaryDirectory() as trees:
        for ipc in sorted(budgets):
            started = time.perf_counter()
            chosen = select_patches(view.patches, view.class_names, ipc, order=order, cache_dir=Path(trees))
            seconds[str(ipc)] = round(time.perf_counter() - started, 4)
            picks = {(int(c), int(row)) for c, row in zip(chosen.class_id, chosen.row, strict=True)}
            nested, before = nested and before <= picks, picks
    return {
        "images": view.images,
        "order": order,
        "scoring_seconds": round(sum(sum(record["seconds"].values()) for record in history), 1),
        "unet_rows": sum(record["unet_rows"] for record in history),
        "open_seconds": round(opened, 3),
        "selection_seconds_by_ipc": seconds,
        "nested": nested,
    }


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True, help="A scored store.")
@click.option("--ipc", default="1,10,50,100,200", show_default=True, help="Budgets, separated by commas.")
@click.option("--order", default="clusters", show_default=True, help="Order of a class's patches.")
def main(store: Path, ipc: str, order: str) -> None:
    """Measure and print one JSON object."""
    click.echo(json.dumps(measure(store, tuple(int(part) for part in ipc.split(",")), order), indent=1))


if __name__ == "__main__":
    main()
