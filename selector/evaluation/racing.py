"""The table of racing: rows spent and picks kept, against fixed numbers of draws and the full grid.

Owns what is compared and how it is shown. Must not know how a race runs (selector.scoring.racing) or is tried
(racing_trial.py). Both replicates take both parts and are averaged by class; intervals are over classes.

    python -m selector.evaluation.racing pool.tar --limit-per-class 200 --maps runs/results/racing
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from selector.builtin import builtin_repository
from selector.config import ScoreConfig
from selector.errors import SelectorError, UsageError
from selector.evaluation.boxes import centred
from selector.evaluation.draw_maps import DrawMaps, collect, describe
from selector.evaluation.pictures import read_pictures
from selector.evaluation.racing_trial import Merit, Picks, Scores, Trial, pick, pointing, same_images, same_windows
from selector.evaluation.statistics import half_width
from selector.progress import Progress
from selector.records import Box
from selector.scoring.centring import NONE
from selector.scoring.racing import make_race

REPLICATES = 2
DRAWS = 32

GRIDS: Mapping[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    12: ((4, 6, 8, 10), (10, 12, 16, 20)),
    32: ((12, 16, 24), (20, 24, 32, 48)),
}
"""Draws of the full grid → fixed numbers of draws and budgets of races (UNet rows per image) that it is compared with."""
OTHER_MERITS_AT = 16


@dataclass(frozen=True)
class Contender:
    """A way to spend rows, tried in each replicate. scores: one per replicate."""

    name: str
    scores: tuple[Scores, ...]


def contenders(trial: Trial, draws: int) -> list[Contender]:
    """The full grid first, then fixed numbers of draws, then races, and for one budget races by other merits."""
    fixed, budgets = GRIDS[draws]
    found = [_fixed(trial, f"full grid, {draws} draws", draws)]
    found += [_fixed(trial, f"{count} draws for all", count) for count in fixed]
    found += [_raced(trial, draws, budget) for budget in budgets]
    if draws == min(GRIDS):
        found.append(_raced(trial, draws, OTHER_MERITS_AT, trial.window, ", by doubt about the window"))
        found.append(
            _raced(trial, draws, OTHER_MERITS_AT, trial.boundary, ", by nearness to the best quarter's boundary")
        )
    return found


def _fixed(trial: Trial, name: str, draws: int) -> Contender:
    return Contender(name, tuple(trial.fixed(replicate, draws) for replicate in range(REPLICATES)))


def _raced(trial: Trial, draws: int, budget: int, merit: Merit | None = None, suffix: str = "") -> Contender:
    race = make_race(draws, budget)
    if race is None:
        raise UsageError(f"{budget} rows per image of {draws} draws are no race")
    stages = [f"{share:.0%} {end}" for share, end in zip(race.shares, race.ends, strict=True)]
    scores = tuple(trial.raced(replicate, race, merit) for replicate in range(REPLICATES))
    return Contender(f"race: {', '.join(stages)}{suffix}", scores)


def compared(
    maps: DrawMaps,
    found: Sequence[Contender],
    features: Mapping[tuple[int, Box], NDArray[np.float16]],
    boxes: Sequence[Box],
    budgets: Sequence[int],
    order: str,
) -> str:
    """A Markdown table of contenders, the first of which is the full grid; cells hold one figure per budget (IPC)."""
    picks = [[pick(maps, scores, features, max(budgets), order) for scores in one.scores] for one in found]
    ipcs = " / ".join(map(str, budgets))
    lines = [
        f"| Order `{order}`, IPC {ipcs} | Rows per image | Saved | Same images | … and windows | Same images, disjoint draws "
        "| … against the full grid's | … and windows | Pointing of picks | … of all images |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one, own in zip(found, picks, strict=True):
        rows = float(np.mean([scores.rows_per_image for scores in one.scores]))
        cells = [_cells(own, picks[0], boxes, ipc) for ipc in budgets]
        joined = [" / ".join(column) for column in zip(*cells, strict=True)]
        saved = 1 - rows / found[0].scores[0].rows_per_image
        everywhere = np.mean(
            [centred(w.original, b) for s in one.scores for w, b in zip(s.windows, boxes, strict=True)]
        )
        lines.append(f"| {one.name} | {rows:.1f} | {saved:.0%} | {' | '.join(joined)} | {everywhere:.3f} |")
    return "\n".join(lines)


def _cells(own: Sequence[Picks], full: Sequence[Picks], boxes: Sequence[Box], ipc: int) -> list[str]:
    own, full = [one.first(ipc) for one in own], [one.first(ipc) for one in full]
    pairs = list(zip(own, full, strict=True))
    crossed = list(zip(own, full[::-1], strict=True))
    images = np.mean([same_images(*pair) for pair in crossed], axis=0)
    ceiling = np.mean([same_images(*pair) for pair in zip(full, full[::-1], strict=True)], axis=0)
    return [
        f"{np.mean([same_images(*pair) for pair in pairs]):.2f}",
        f"{np.mean([same_windows(*pair) for pair in pairs]):.2f}",
        f"{images.mean():.3f}",
        f"{(images - ceiling).mean():+.3f} ± {half_width(images - ceiling):.3f}",
        f"{np.mean([same_windows(*pair) for pair in crossed]):.3f}",
        f"{np.mean([pointing(one, boxes) for one in own]):.3f}",
    ]


def true_boxes(data: Path, maps: DrawMaps) -> list[Box]:
    """Of each image, in pixels of the original; raises SelectorError if one is not known."""
    pictures = read_pictures(data, {image.source: int(c) for image, c in zip(maps.images, maps.class_id, strict=True)})
    known = dict(zip(pictures.sources, pictures.boxes, strict=True))
    boxes = [known[image.source] for image in maps.images]
    if any(box is None for box in boxes):
        raise SelectorError(f"{data} has no true boxes (boxes.csv) for all of its images")
    return [box for box in boxes if box is not None]


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--limit-per-class", default=200, show_default=True, help="Images of a class.")
@click.option(
    "--maps", "folder", type=click.Path(path_type=Path), required=True, help="Folder that keeps what was computed."
)
@click.option("--ipc", default="10,50", show_default=True, help="Budgets, separated by commas.")
@click.option("--orders", default="typicality,clusters,herding", show_default=True, help="Orders, separated by commas.")
def main(data: Path, repository: Path, limit_per_class: int, folder: Path, ipc: str, orders: str) -> None:
    """Try races on DATA, whose boxes.csv has the true boxes, and print Markdown tables."""
    config = ScoreConfig(data, folder, repository, draws=DRAWS, limit_per_class=limit_per_class, centring=NONE)
    maps = collect(config, REPLICATES, folder, Progress())
    trial, boxes = Trial(maps), true_boxes(data, maps)
    found = {draws: contenders(trial, draws) for draws in GRIDS}
    windows = {
        (number, window.original)
        for group in found.values()
        for one in group
        for scores in one.scores
        for number, window in enumerate(scores.windows)
    }
    features = describe(config, maps, windows, folder)
    budgets = [int(part) for part in ipc.split(",")]
    tables = [
        compared(maps, group, features, boxes, budgets, order)
        for order in orders.split(",")
        for group in found.values()
    ]
    click.echo("\n\n".join(tables))


if __name__ == "__main__":
    main()
