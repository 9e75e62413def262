"""Where the picks of each method lie, against true boxes: seen without training a student.

Owns this measurement. Must not know how students are trained. *Pointing* is the share of picks whose centre is in the true
box; IoU is their overlap with it.

    python -m benchmarks.students.pick_quality --store STORE --teacher teacher.pt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from selector.errors import SelectorError, UsageError
from selector.evaluation.easiness import Committee, committee_file, load_committee
from selector.evaluation.methods import asks_error_norm, methods
from selector.evaluation.networks import Networks
from selector.evaluation.picks import Pick
from selector.evaluation.pools import Pool, resampled
from selector.evaluation.teacher import Teacher, load_teacher
from selector.images.datasets import list_items
from selector.store.store import Store
from selector.store.view import view_store


def quality(pool: Pool, picks: Sequence[Pick]) -> tuple[float, float]:
    """Pointing and mean IoU of picks; raises SelectorError if a picture has no true box."""
    pairs = [(pick.box, pool.pictures.boxes[pick.picture]) for pick in picks]
    known = [(box, true) for box, true in pairs if true is not None]
    if len(known) < len(pairs):
        raise SelectorError("the data has no true boxes (boxes.csv) for all of its images")
    return float(np.mean([box.points_at(true) for box, true in known])), float(
        np.mean([box.overlap(true) for box, true in known])
    )


def as_markdown(found: Mapping[str, NDArray[np.float64]], budgets: Sequence[int]) -> str:
    """found: method → float64 [pools, budgets, 2], pointing and IoU; mean ± standard deviation over pools."""
    heads = [f"{what}, IPC {ipc}" for ipc in budgets for what in ("Pointing", "mean IoU")]
    lines = [f"| Method | {' | '.join(heads)} | Pools |", "|---" * (2 + len(heads)) + "|"]
    for name, values in found.items():
        spread = values.std(axis=0, ddof=1) if len(values) > 1 else np.full(values.shape[1:], np.nan)
        pairs = zip(values.mean(axis=0).ravel(), spread.ravel(), strict=True)
        cells = [f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in pairs]
        lines.append(f"| {name} | {' | '.join(cells)} | {len(values)} |")
    return "\n".join(lines) + "\n"


def _budgets(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"takes whole numbers, separated by commas, not {value!r}") from None


def _committee(path: Path, judge: Teacher) -> Committee | None:
    """The networks of el2n-easy, if an evaluation has left them beside the teacher."""
    beside = committee_file(path)
    return load_committee(beside, judge.class_names, judge.side_px) if beside.exists() else None


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True, help="A scored store.")
@click.option("--teacher", type=click.Path(path_type=Path, exists=True), required=True, help="RDED's teacher.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="Where the images lie now.")
@click.option("--pools", default=8, show_default=True, help="Resampled pools.")
@click.option("--pool-size", default=100, show_default=True, help="Images of a class in a pool.")
@click.option("--ipc", "budgets", default="10,50", show_default=True, callback=_budgets, help="Picks of a class.")
@click.option("--methods", "names", default="", help="Methods; default: all whose windows are as they were scored.")
@click.option("--seed", default=0, show_default=True, help="Seed of the pools.")
def main(
    store: Path,
    teacher: Path,
    data: Path | None,
    pools: int,
    pool_size: int,
    budgets: tuple[int, ...],
    names: str,
    seed: int,
) -> None:
    """Measure and print a Markdown table."""
    torch.set_num_threads(1)
    judge = load_teacher(teacher)
    root = data or Store.open(store).read_data_root().root
    listing = list_items(root)
    view = view_store(store, listing)
    by_name = methods(Networks(judge, committee := _committee(teacher, judge), {}).judges(judge.side_px))
    usual = [name for name in by_name if "+" not in name and (committee or not asks_error_norm(name))]
    asked = [part.strip() for part in names.split(",") if part.strip()] or usual
    strangers = [name for name in asked if name not in by_name]
    if strangers:
        raise UsageError(f"unknown methods {', '.join(strangers)}; there are: {', '.join(by_name)}")
    found: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in asked}
    for pool in resampled(view.patches, view.class_names, listing, pools, pool_size, seed):
        for name in asked:
            found[name].append([quality(pool, by_name[name](pool, ipc)) for ipc in budgets])
    click.echo(as_markdown({name: np.array(values) for name, values in found.items()}, budgets), nl=False)


if __name__ == "__main__":
    main()
