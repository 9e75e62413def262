"""The built-in data: 64×64 grayscale scenes of one Fashion-MNIST item among clutter, with the true boxes; and variants.

Owns the frozen generator and its command; knows nothing of tars, models or scores. One 28×28 item lies at a
random place. Scenes without a decoy add 6 to 10 fragments (8×8 cuts of items of other classes); scenes with one
add an item of another class with its blocks permuted, as large and as bright as the item, and 2 to 4 fragments.
Brightness therefore hardly tells where the item is (docs/decisions/002-scenes.md). Variants change what they say.

    python -m benchmarks.scenes.generator --split train --per-class 300 --seed 1 --out scenes.tar
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes.composition import (
    SceneParameters,
    draw_sides,
    items_in_turn,
    other_class,
    place_beside,
    place_pair,
    scaled,
    scramble,
)
from benchmarks.scenes.items import CLASS_NAMES, ITEM_PX, SOURCE, SPLIT_FILES, Items, read_items
from benchmarks.scenes.scenes import Scenes, pixels_hash


@dataclass(frozen=True)
class Variant:
    """A kind of scenes: their parameters, whether every second one has a decoy, the classes and sides (pixels) of items.

    Where there are several sides, item and decoy are drawn alike among those that both find room.
    """

    parameters: SceneParameters
    decoys: bool = True
    classes: tuple[str, ...] = CLASS_NAMES
    sides: tuple[int, ...] = (ITEM_PX,)


VARIANTS = {
    "scenes": Variant(SceneParameters()),
    # An item takes 8.5 % of the area instead of 19 %, with as much clutter per area: smaller items, once scaled to 64 px.
    "small-items": Variant(SceneParameters(canvas_px=96, fragments=(14, 22), fragments_beside_decoy=(5, 9))),
    # Garments for the upper body alone, their clutter and decoys too: fewer and finer classes.
    "finer-classes": Variant(SceneParameters(), classes=("t-shirt", "pullover", "dress", "coat", "shirt")),
    # Items of several sizes, so that no one size of windows fits them all.
    "mixed-items": Variant(SceneParameters(), sides=(20, 28, 36)),
    "plain": Variant(SceneParameters(canvas_px=ITEM_PX, fragments=(0, 0)), decoys=False),  # the items themselves
}


def make_scene(
    items: Items,
    index: int,
    decoy: bool,
    parameters: SceneParameters,
    rng: np.random.Generator,
    sides: Sequence[int] = (ITEM_PX,),
) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """A scene of item `index`, uint8 [canvas_px, canvas_px], with its box's top, left and side."""
    canvas = np.zeros((parameters.canvas_px, parameters.canvas_px), dtype=np.uint8)
    label = items.labels[index]
    side, decoy_side = draw_sides(sides, decoy, parameters, rng)
    free = parameters.canvas_px - side + 1
    boxes = [(int(rng.integers(free)), int(rng.integers(free)), side)]
    if decoy:
        item_box, decoy_box = place_pair((side, decoy_side), parameters, rng)
        boxes = [item_box, decoy_box]
        other = items.images[other_class(items.labels, label, rng)]
        _paste(canvas, scaled(scramble(other, parameters.decoy_block_px, rng), decoy_side), *decoy_box[:2])
    low, high = parameters.fragments_beside_decoy if decoy else parameters.fragments
    for _ in range(int(rng.integers(low, high + 1))):
        fragment = _fragment(items, label, parameters, rng)
        place = place_beside(boxes, parameters, rng)
        _paste(canvas, fragment, *place)
    _paste(canvas, scaled(items.images[index], side), *boxes[0][:2])
    return canvas, boxes[0]


def make_scenes(items: Items, per_class: int, seed: int, variant: str = "scenes") -> Scenes:
    """`per_class` scenes of every class, class by class; every second one has a decoy where the variant has them.

    An item comes again only when its class has fewer than `per_class` items. Scene i depends on (seed, i) and
    the items alone. Labels are places in `CLASS_NAMES`, whichever classes the variant has.
    """
    parameters = VARIANTS[variant].parameters
    class_ids = [CLASS_NAMES.index(name) for name in VARIANTS[variant].classes]
    items = items.of_classes(class_ids)
    count = per_class * len(class_ids)
    indices = items_in_turn(items.labels, class_ids, per_class, seed, CLASS_NAMES)
    images = np.empty((count, parameters.canvas_px, parameters.canvas_px), dtype=np.uint8)
    boxes = np.empty((count, 3), dtype=np.int64)
    decoys = (np.arange(count) % per_class % 2 == 1) & VARIANTS[variant].decoys
    for i, index in enumerate(indices):
        rng = np.random.default_rng([seed, 1, i])
        sides = VARIANTS[variant].sides
        images[i], boxes[i] = make_scene(items, int(index), bool(decoys[i]), parameters, rng, sides)
    return Scenes(images, items.labels[indices], boxes[:, 0], boxes[:, 1], decoys, boxes[:, 2])


def _fragment(
    items: Items, label: np.int64, parameters: SceneParameters, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A cut of an item of another class that is not nearly black."""
    side = parameters.fragment_px
    while True:
        image = items.images[other_class(items.labels, label, rng)]
        top, left = rng.integers(ITEM_PX - side + 1, size=2)
        cut = image[top : top + side, left : left + side]
        if cut.mean() >= parameters.least_fragment_level:
            return cut


def _paste(canvas: NDArray[np.uint8], patch: NDArray[np.uint8], top: int, left: int) -> None:
    """The brighter of the two pixels stays, so that no black frame betrays a pasted box."""
    region = canvas[top : top + patch.shape[0], left : left + patch.shape[1]]
    np.maximum(region, patch, out=region)


@click.command()
@click.option("--split", type=click.Choice(sorted(SPLIT_FILES)), required=True, help="Fashion-MNIST split.")
@click.option("--per-class", type=click.IntRange(min=1), required=True, help="Scenes of every class.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--items", "item_range", default="0:", show_default=True, help="START:STOP, items of the split to use.")
@click.option(
    "--variant", type=click.Choice(list(VARIANTS)), default="scenes", show_default=True, help="Kind of scenes."
)
@click.option("--source", type=click.Path(path_type=Path, file_okay=False), default=SOURCE, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The tar to write.")
def main(split: str, per_class: int, seed: int, item_range: str, variant: str, source: Path, out: Path) -> None:
    """Write scenes with their true boxes as a tar of class folders."""
    items = read_items(split, source)
    start, _, stop = item_range.partition(":")
    try:
        items = items.between(int(start or 0), int(stop or len(items.labels)))
    except ValueError as error:
        raise click.BadParameter(f"expected START:STOP, not {item_range!r}", param_hint="--items") from error
    scenes = make_scenes(items, per_class, seed, variant)
    from benchmarks.scenes.tar import write_tar  # which imports this module

    write_tar(scenes, out)
    click.echo(
        f"{len(scenes.labels)} scenes, generator {VARIANTS[variant].parameters.fingerprint}, pixels {pixels_hash(scenes)}, "
        f"{out.stat().st_size / 1e6:.2f} MB: {out}"
    )


if __name__ == "__main__":
    main()
