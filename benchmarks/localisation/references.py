"""Rotating through the least similar wrong classes alone, against all of them, offline from maps of single draws.

Owns this measurement. Must not know servers. Similarity needs no boxes: two classes are as alike as the mean square of their
delta maps is small. It is learned on one half of the images and used on the other, both ways. An image's draws are the first
N of a replicate whose references are allowed, so every row of the table costs the same.

    python -m benchmarks.localisation.references validation.tar --maps runs/results/references
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.localisation import maps as single_draws
from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.builtin import builtin_repository
from selector.config import ScoreConfig
from selector.errors import SelectorError
from selector.evaluation.pictures import BOXES, read_pictures
from selector.images.class_names import match_classes
from selector.images.datasets import list_items
from selector.images.prepare import Prepared, prepare_images
from selector.localisation.centring import NONE
from selector.localisation.choice import chosen_windows
from selector.progress import Progress
from selector.records import Box
from selector.scoring.reduction import canvas_of
from selector.scoring.score import listing_of
from selector.scoring.settings import ScoringSettings, settings_of

REPLICATES = 2
DRAWS = 32
FEWEST = 5
"""References of a class that are tried at least."""


@dataclass(frozen=True)
class DrawMaps:
    """n images with the delta maps of single draws, in the listing's order.

    images: the files after decoding, all usable. class_id: int64 [n]. deltas: float32 [n, replicates, draws, h, w]: the bank is
    cut into replicates, each with the references of a grid from its start, so that two of them are two grids of the same design
    with other noises. settings: what all draws of a replicate would be scored with.
    """

    settings: ScoringSettings
    images: tuple[Prepared, ...]
    class_id: NDArray[np.int64]
    deltas: NDArray[np.float32]


def collect(config: ScoreConfig, replicates: int, folder: Path) -> DrawMaps:
    """The maps of `config.draws` draws per replicate, from the embedded server; `folder` keeps them by pieces of images.

    Raises ValueError if the folder holds maps of something else, SelectorError for an image that can't be used.
    """
    listing = listing_of(config, Progress(quiet=True)).limited(config.limit_per_class)
    identity = read_identity(config.repository)
    settings = settings_of(identity, config)
    class_ids = match_classes(listing.folders, identity.classes)
    labels = np.array([class_ids[folder] for _, folder in listing.pairs()], np.int64)
    images = prepare_images(
        listing.places(np.arange(len(listing))), settings.resolution, settings.fit, settings.min_side
    )
    for image in images:
        if image.canvas is None:
            raise SelectorError(f"{image.source} can't be used: {image.reason}")

    def repeated(class_id: int, classes: int, draws: int) -> NDArray[np.int32]:
        return np.tile(settings.rule.references(class_id, classes, draws // replicates), replicates)

    canvases = np.stack([canvas_of(image) for image in images])
    with EmbeddedServer(config.repository, threads=1) as server:
        found = asyncio.run(
            single_draws.collect(
                server.grpc_url, canvases, labels, replicates * settings.draws, {settings.rule.name: repeated}, folder
            )
        )
    deltas = found.deltas[settings.rule.name]
    return DrawMaps(
        settings, tuple(images), labels, deltas.reshape(len(images), replicates, settings.draws, *deltas.shape[2:])
    )


def true_boxes(root: Path, labels: Mapping[str, int]) -> list[Box]:
    """The boxes of these sources in their order, pixels of the originals; raises SelectorError if one is not known."""
    pictures = read_pictures(list_items(root), labels)
    known = dict(zip(pictures.sources, pictures.boxes, strict=True))
    boxes = [box for source in labels if (box := known[source]) is not None]
    if len(boxes) < len(labels):
        raise SelectorError(f"{root} has no true boxes ({BOXES}) for all of its images")
    return boxes


def dissimilarity(
    class_id: NDArray[np.int64], references: NDArray[np.int64], deltas: NDArray[np.float32], classes: int
) -> NDArray[np.float64]:
    """Mean square delta by (class, reference class), float64 [classes, classes]; −∞ where there is none.

    class_id: int64 [n]. references: class_ids int64 [n, draws]. deltas: float32 [n, replicates, draws, h, w].
    """
    squares = np.square(deltas, dtype=np.float64).mean(axis=(1, 3, 4))
    found = np.full((classes, classes), -np.inf)
    for own in range(classes):
        for other in range(classes):
            met = (class_id[:, None] == own) & (references == other)
            if met.any():
                found[own, other] = squares[met].mean()
    return found


def allowed(dissimilar: NDArray[np.float64], count: int) -> NDArray[np.bool_]:
    """The `count` least similar references of each class, bool [classes, classes]."""
    order = np.argsort(-dissimilar, axis=1, kind="stable")[:, :count]
    mask = np.zeros(dissimilar.shape, np.bool_)
    np.put_along_axis(mask, order, True, axis=1)
    return np.asarray(mask & np.isfinite(dissimilar), np.bool_)


def hits(maps: DrawMaps, boxes: Sequence[Box], count: int, draws: int) -> NDArray[np.float64]:
    """Pointing of each image, the mean of its replicates, float64 [n], with the `count` least similar references.

    Empty if an image has fewer draws with these references.
    """
    settings, classes = maps.settings, maps.settings.classes
    references = np.stack(
        [settings.rule.references(int(c), classes, settings.draws) - 1 for c in maps.class_id]
    ).astype(np.int64)
    found = np.empty((len(boxes), maps.deltas.shape[1]))
    half = np.arange(len(boxes)) % 2
    for fold in (0, 1):
        known = half != fold
        apart = dissimilarity(maps.class_id[known], references[known], maps.deltas[known], classes)
        usable = allowed(apart, count)
        for number in np.flatnonzero(half == fold):
            image = maps.images[number]
            canvas, whole = canvas_of(image), Box(0, 0, settings.resolution, settings.resolution)
            taken = np.flatnonzero(usable[maps.class_id[number], references[number]])[:draws]
            if len(taken) < draws:
                return np.empty(0)
            means = maps.deltas[number][:, taken].mean(axis=1)
            windows = [chosen_windows(mean, canvas, whole, settings.windows, 1)[0].box for mean in means]
            found[number] = [window.points_at(boxes[number]) for window in windows]
    return np.asarray(found.mean(axis=1), np.float64)


def table(maps: DrawMaps, boxes: Sequence[Box], draws: Sequence[int]) -> str:
    """A Markdown table: rows are numbers of references, columns numbers of draws; ± is half a 95 % interval, paired."""
    wrong = maps.settings.classes - 1
    lines = [f"| References | {' | '.join(f'{2 * count} rows' for count in draws)} |", "|---" * (1 + len(draws)) + "|"]
    every = {count: hits(maps, boxes, wrong, count) for count in draws}
    lines.append(f"| all {wrong} | {' | '.join(f'{every[count].mean():.3f}' for count in draws)} |")
    for kept in range(wrong - 1, min(FEWEST, wrong) - 1, -1):
        cells = [_cell(hits(maps, boxes, kept, count), every[count]) for count in draws]
        lines.append(f"| the {kept} least similar | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: NDArray[np.float64], every: NDArray[np.float64]) -> str:
    if not len(found):
        return ""
    lead = found - every
    return f"{found.mean():.3f} ({lead.mean():+.3f} ± {1.96 * lead.std(ddof=1) / np.sqrt(len(lead)):.3f})"


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--limit-per-class", default=100, show_default=True, help="Images of a class.")
@click.option(
    "--maps", "folder", type=click.Path(path_type=Path), required=True, help="Folder that keeps what was computed."
)
@click.option("--draws", default="8,12,16,24", show_default=True, help="Draws per image.")
def main(data: Path, repository: Path, limit_per_class: int, folder: Path, draws: str) -> None:
    """Try references on DATA, whose boxes.csv has the true boxes, and print a Markdown table."""
    config = ScoreConfig(data, folder, repository, draws=DRAWS, limit_per_class=limit_per_class, centring=NONE)
    maps = collect(config, REPLICATES, folder)
    labels = {image.source: int(class_id) for image, class_id in zip(maps.images, maps.class_id, strict=True)}
    click.echo(table(maps, true_boxes(data, labels), [int(part) for part in draws.split(",")]))


if __name__ == "__main__":
    main()
