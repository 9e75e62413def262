"""What every generator of scenes does alike: which items come, where they lie, and how a decoy is made of one.

Owns the parameters of a scene. Must not know what items are of, nor how they are pasted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class SceneParameters:
    """Everything that shapes a scene besides the seed. Frozen: a change is a new data set."""

    canvas_px: int = 64
    fragment_px: int = 8
    fragments: tuple[int, int] = (6, 10)
    fragments_beside_decoy: tuple[int, int] = (2, 4)
    least_fragment_level: float = 64.0  # mean grey level of a fragment, so that clutter is seen
    decoy_block_px: int = 7
    decoy_overlap_px: int = 0  # at most this many pixels of the item's box
    placement_tries: int = 50
    version: int = 1

    @property
    def fingerprint(self) -> str:
        """16 hex digits naming these parameters."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def items_in_turn(
    labels: NDArray[np.int64], class_ids: Sequence[int], per_class: int, seed: int, class_names: Sequence[str]
) -> NDArray[np.int64]:
    """The item of every scene, class by class; one comes again only when its class has fewer than `per_class`.

    Raises ValueError for a class without items.
    """
    chosen = []
    for class_id in class_ids:
        own = np.flatnonzero(labels == class_id)
        if not len(own):
            raise ValueError(f"no items of class {class_names[class_id]!r}")
        rng = np.random.default_rng([seed, 0, class_id])
        rounds = [rng.permutation(own) for _ in range(-(-per_class // len(own)))]
        chosen.append(np.concatenate(rounds)[:per_class])
    return np.concatenate(chosen)


def draw_sides(
    sides: Sequence[int], decoy: bool, parameters: SceneParameters, rng: np.random.Generator
) -> tuple[int, int]:
    """Sides of item and decoy. One side takes no random number, so scenes of one are what they were before there were more."""
    if len(sides) == 1:
        return sides[0], sides[0]
    pairs = [(a, b) for a in sides for b in sides if not decoy or a + b <= parameters.canvas_px]
    return pairs[int(rng.integers(len(pairs)))]


def place_pair(
    sides: tuple[int, int], parameters: SceneParameters, rng: np.random.Generator
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Two boxes of these sides, uniform among the pairs that overlap so little: the same law for both."""
    side, other = sides
    free, other_free = parameters.canvas_px - side + 1, parameters.canvas_px - other + 1
    while True:
        top, left, other_top, other_left = (int(v) for v in rng.integers([free, free, other_free, other_free]))
        rows = max(0, min(top + side, other_top + other) - max(top, other_top))
        columns = max(0, min(left + side, other_left + other) - max(left, other_left))
        if rows * columns <= parameters.decoy_overlap_px:
            return (top, left, side), (other_top, other_left, other)


def scaled(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The square image with another side; one that has it stays as it is."""
    if image.shape == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def place_beside(
    boxes: Sequence[tuple[int, int, int]], parameters: SceneParameters, rng: np.random.Generator
) -> tuple[int, int]:
    """A place for a fragment outside `boxes`; anywhere when there is hardly room."""
    side = parameters.fragment_px
    top = left = 0
    for _ in range(parameters.placement_tries):
        top, left = (int(value) for value in rng.integers(parameters.canvas_px - side + 1, size=2))
        if all(
            top + side <= box_top or box_top + box_px <= top or left + side <= box_left or box_left + box_px <= left
            for box_top, box_left, box_px in boxes
        ):
            break
    return top, left


def other_class(labels: NDArray[np.int64], label: np.int64, rng: np.random.Generator) -> int:
    """An item of another class."""
    while True:
        index = int(rng.integers(len(labels)))
        if labels[index] != label:
            return index


def scramble(image: NDArray[np.uint8], block_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The blocks of an image, permuted; with or without channels."""
    side, channels = image.shape[0] // block_px, image.shape[2:]
    blocks = image.reshape(side, block_px, side, block_px, *channels).swapaxes(1, 2)
    blocks = blocks.reshape(side * side, block_px, block_px, *channels)
    shuffled = blocks[rng.permutation(side * side)].reshape(side, side, block_px, block_px, *channels)
    return np.ascontiguousarray(shuffled.swapaxes(1, 2).reshape(image.shape))
