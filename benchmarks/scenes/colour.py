"""Colour scenes: 64×64 pictures of one drawing of ten classes over a texture, among fragments and decoys, with the true boxes.

Owns the second frozen generator and its command. A drawing is cut by its alpha, has 16 to 40 pixels on its longer side and may
be mirrored; its true box is the square around it. Every second scene has a decoy: a drawing of another class with its blocks
permuted. What both generators share is in composition.py (docs/decisions/027-three-worlds.md).

    python -m benchmarks.scenes.colour --split train --per-class 3000 --seed 1 --out colour.tar
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.scenes.clipart import CLASS_NAMES, DRAWING_PX, SOURCE, Drawings, read_drawings
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
from benchmarks.scenes.scenes import Scenes, pixels_hash
from benchmarks.scenes.splits import SPLIT_SHARES


@dataclass(frozen=True)
class ColourParameters(SceneParameters):
    """Everything that shapes a colour scene besides the seed. Frozen: a change is a new data set."""

    least_fragment_level: float = 128.0  # mean alpha of a fragment
    decoy_block_px: int = DRAWING_PX // 4
    least_side: int = 16
    largest_side: int = 40
    # A texture is a sum of smooth noises, (cells, weight) each: the coarser, the stronger, as in photographs.
    octaves: tuple[tuple[int, int], ...] = ((2, 8), (4, 6), (8, 4), (16, 3), (32, 2), (64, 1))
    texture_colour: tuple[int, int] = (80, 176)  # of the mean of a texture, each channel
    texture_contrast: tuple[int, int] = (32, 192)  # of 256

    @property
    def sides(self) -> range:
        """Of drawings and decoys, in pixels."""
        return range(self.least_side, self.largest_side + 1)


def make_colour_scenes(drawings: Drawings, per_class: int, seed: int) -> Scenes:
    """`per_class` scenes of every class, class by class; every second one has a decoy.

    Scene i depends on (seed, i) and the drawings alone.
    """
    parameters = ColourParameters()
    indices = items_in_turn(drawings.labels, range(len(CLASS_NAMES)), per_class, seed, CLASS_NAMES)
    side = parameters.canvas_px
    images = np.empty((len(indices), side, side, 3), dtype=np.uint8)
    boxes = np.empty((len(indices), 3), dtype=np.int64)
    decoys = np.arange(len(indices)) % per_class % 2 == 1
    for i, index in enumerate(indices.tolist()):
        rng = np.random.default_rng([seed, 1, i])
        images[i], boxes[i] = make_colour_scene(drawings, index, bool(decoys[i]), parameters, rng)
    return Scenes(images, drawings.labels[indices], boxes[:, 0], boxes[:, 1], decoys, boxes[:, 2])


def make_colour_scene(
    drawings: Drawings, index: int, decoy: bool, parameters: ColourParameters, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
    """A scene of drawing `index`, uint8 [canvas_px, canvas_px, 3], with its box's top, left and side."""
    canvas = texture(parameters, rng)
    label = drawings.labels[index]
    side, decoy_side = draw_sides(parameters.sides, decoy, parameters, rng)
    free = parameters.canvas_px - side + 1
    boxes = [(int(rng.integers(free)), int(rng.integers(free)), side)]
    if decoy:
        boxes = list(place_pair((side, decoy_side), parameters, rng))
        other = _mirrored(drawings.images[other_class(drawings.labels, label, rng)], rng)
        _paste(canvas, scaled(scramble(other, parameters.decoy_block_px, rng), decoy_side), *boxes[1][:2])
    low, high = parameters.fragments_beside_decoy if decoy else parameters.fragments
    for _ in range(int(rng.integers(low, high + 1))):
        fragment = _fragment(drawings, label, parameters, rng)
        _paste(canvas, fragment, *place_beside(boxes, parameters, rng))
    _paste(canvas, scaled(_mirrored(drawings.images[index], rng), side), *boxes[0][:2])
    return canvas, boxes[0]


def texture(parameters: ColourParameters, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A background, uint8 [canvas_px, canvas_px, 3]; whole numbers only, so that every machine makes the same."""
    size = (parameters.canvas_px, parameters.canvas_px)
    total = np.zeros((*size, 3), np.int64)
    for cells, weight in parameters.octaves:
        grey = rng.integers(256, size=(cells, cells, 1))
        noise = (3 * grey + rng.integers(256, size=(cells, cells, 3))) // 4  # channels go together, but for a quarter
        smooth = Image.fromarray(noise.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        total += weight * (np.asarray(smooth, np.int64) - 128)
    colour = rng.integers(*parameters.texture_colour, size=3)
    contrast = int(rng.integers(*parameters.texture_contrast))
    strength = sum(weight for _, weight in parameters.octaves)
    return np.clip(colour + 3 * contrast * total // (strength * 256), 0, 255).astype(np.uint8)


def _mirrored(drawing: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    return np.ascontiguousarray(drawing[:, ::-1]) if rng.integers(2) else drawing


def _fragment(
    drawings: Drawings, label: np.int64, parameters: ColourParameters, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """A cut of a drawing of another class, at a size that drawings have, that is hardly transparent."""
    fragment_px = parameters.fragment_px
    while True:
        side = int(rng.integers(parameters.least_side, parameters.largest_side + 1))
        image = scaled(drawings.images[other_class(drawings.labels, label, rng)], side)
        top, left = rng.integers(side - fragment_px + 1, size=2)
        cut = image[top : top + fragment_px, left : left + fragment_px]
        if cut[..., 3].mean() >= parameters.least_fragment_level:
            return cut


def _paste(canvas: NDArray[np.uint8], patch: NDArray[np.uint8], top: int, left: int) -> None:
    """Lays an RGBA patch over the canvas."""
    region = canvas[top : top + patch.shape[0], left : left + patch.shape[1]]
    alpha = patch[..., 3:].astype(np.int64)
    region[:] = (alpha * patch[..., :3] + (255 - alpha) * region + 127) // 255


@click.command()
@click.option("--split", type=click.Choice(list(SPLIT_SHARES)), required=True, help="Whose drawings are used.")
@click.option("--per-class", type=click.IntRange(min=1), required=True, help="Scenes of every class.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--source", type=click.Path(path_type=Path, file_okay=False), default=SOURCE, show_default=True)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The tar to write.")
def main(split: str, per_class: int, seed: int, source: Path, out: Path) -> None:
    """Write colour scenes with their true boxes as a tar of class folders."""
    try:
        drawings = read_drawings(source).of_split(split)
    except FileNotFoundError as error:
        raise click.ClickException(f"{error}: install Debian's package openclipart-png, or name --source") from None
    scenes = make_colour_scenes(drawings, per_class, seed)
    from benchmarks.scenes.tar import write_tar  # as the other generator

    write_tar(scenes, out, CLASS_NAMES)
    click.echo(
        f"{len(scenes.labels)} scenes of {len(drawings.names)} drawings, generator {ColourParameters().fingerprint}, "
        f"pixels {pixels_hash(scenes)}, {out.stat().st_size / 1e6:.2f} MB: {out}"
    )


if __name__ == "__main__":
    main()
