"""The worlds with true boxes, by name: grey scenes of garments and colour scenes of drawings, one call for both.

Owns which items a split has. Must not know models, scores or tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import clipart, items
from benchmarks.scenes.colour import make_colour_scenes
from benchmarks.scenes.composition import items_in_turn
from benchmarks.scenes.generator import VARIANTS, make_scenes
from benchmarks.scenes.scenes import Scenes

SPLITS = ("train", "tuning", "test")
_GREY_TUNING = (55_000, 60_000)  # of the train split; no pipeline was trained on them


@dataclass(frozen=True)
class Drawn:
    """Scenes, and which item each of them shows, int64 (n,): scenes of one item are not independent of each other."""

    scenes: Scenes
    items: NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """class_names: in the order of labels. package: Debian's, and where it puts its files. kinds: label of a kind → variant.

    draw: (split, scenes of a class, seed, variant, where the files are) → scenes. Raises FileNotFoundError without the files.
    """

    class_names: tuple[str, ...]
    package: str
    source: Path
    kinds: Mapping[str, str]
    draw: Callable[[str, int, int, str, Path], Drawn]


def draw_scenes(
    name: str, split: str, per_class: int, seed: int, source: Path | None = None, variant: str = "scenes"
) -> Drawn:
    """Scenes of the world `name`, every second one with a decoy; raises ClickException where its package is not installed."""
    world = WORLDS[name]
    place = source or world.source
    try:
        return world.draw(split, per_class, seed, variant, place)
    except FileNotFoundError:
        message = f"{place} has no files for these scenes: install Debian's package {world.package}, or name --source"
        raise click.ClickException(message) from None


def _draw_grey(split: str, per_class: int, seed: int, variant: str, source: Path) -> Drawn:
    pool = items.read_items("test" if split == "test" else "train", source)
    if split == "tuning":
        pool = pool.between(*_GREY_TUNING)
    own = pool.of_classes([items.CLASS_NAMES.index(name) for name in VARIANTS[variant].classes])
    class_ids = np.unique(own.labels).tolist()
    shown = items_in_turn(own.labels, class_ids, per_class, seed, items.CLASS_NAMES)
    return Drawn(make_scenes(pool, per_class, seed, variant), shown)


def _draw_colour(split: str, per_class: int, seed: int, _variant: str, source: Path) -> Drawn:
    drawings = clipart.read_drawings(source).of_split(split)
    shown = items_in_turn(drawings.labels, range(len(clipart.CLASS_NAMES)), per_class, seed, clipart.CLASS_NAMES)
    return Drawn(make_colour_scenes(drawings, per_class, seed), shown)


WORLDS: Mapping[str, World] = MappingProxyType(
    {
        "grey": World(
            items.CLASS_NAMES,
            "dataset-fashion-mnist",
            items.SOURCE,
            {"one size": "scenes", "mixed sizes": "mixed-items"},
            _draw_grey,
        ),
        "colour": World(
            clipart.CLASS_NAMES, "openclipart-png", clipart.SOURCE, {"16 to 40 px": "scenes"}, _draw_colour
        ),
    }
)
