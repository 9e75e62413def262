"""Where the picks of each method lie, against true boxes: seen without training a student.

Owns this measurement. Must not know how students are trained. *Pointing* is the share of picks whose centre is in the true
box; IoU is their overlap with it.

    python -m selector.evaluation.pick_quality --store STORE --teacher teacher.pt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.evaluation.boxes import centred, overlap
from selector.evaluation.methods import Pick, methods
from selector.evaluation.pools import Pool, resampled
from selector.evaluation.teacher import load_teacher
from selector.images.datasets import list_items
from selector.store.store import Store
from selector.store.view import view_store


def quality(pool: Pool, picks: Sequence[Pick]) -> tuple[float, float]:
    """Pointing and mean IoU of picks; raises SelectorError if a picture has no true box."""
    pairs = [(pick.box, pool.pictures.boxes[pick.picture]) for pick in picks]
    known = [(box, true) for box, true in pairs if true is not None]
    if len(known) < len(pairs):
        raise SelectorError("the data has no true boxes (boxes.csv) for all of its images")
    return float(np.mean([centred(*pair) for pair in known])), float(np.mean([overlap(*pair) for pair in known]))


def as_markdown(found: Mapping[str, NDArray[np.float64]]) -> str:
    """found: method → float64 [pools, 2], pointing and IoU."""
    lines = ["| Method | Pointing of the picks | Mean IoU | Pools |", "|---|---|---|---|"]
    for name, values in found.items():
        pointing, iou = values.mean(axis=0)
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else (np.nan, np.nan)
        lines.append(f"| {name} | {pointing:.3f} ± {spread[0]:.3f} | {iou:.3f} ± {spread[1]:.3f} | {len(values)} |")
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True, help="A scored store.")
@click.option("--teacher", type=click.Path(path_type=Path, exists=True), required=True, help="RDED's teacher.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Where the images lie now.")
@click.option("--pools", default=8, show_default=True, help="Resampled pools.")
@click.option("--pool-size", default=100, show_default=True, help="Images of a class in a pool.")
@click.option("--ipc", default=10, show_default=True, help="Picks of a class.")
@click.option("--seed", default=0, show_default=True, help="Seed of the pools.")
def main(store: Path, teacher: Path, data: Path | None, pools: int, pool_size: int, ipc: int, seed: int) -> None:
    """Measure and print a Markdown table."""
    torch.set_num_threads(1)
    judge = load_teacher(teacher)
    root = data or Store.open(store).read_data_root().root
    view = view_store(store, list_items(root))
    by_name = methods(judge.confidence, judge.side_px)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in by_name}
    for pool in resampled(view.patches, view.class_names, root, pools, pool_size, seed):
        for name, method in by_name.items():
            found[name].append(quality(pool, method(pool, ipc)))
    click.echo(as_markdown({name: np.array(values) for name, values in found.items()}), nl=False)


if __name__ == "__main__":
    main()
