"""Scenes in memory: pixels, labels and the true boxes, and a hash of the pixels that names a set of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from selector.records import Box


@dataclass(frozen=True)
class Scenes:
    """images (N, canvas_px, canvas_px) uint8, or (N, canvas_px, canvas_px, 3) in colour; labels (N,); decoys (N,) bool.

    tops, lefts, sides (N,) are of the item's box.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    decoys: NDArray[np.bool_]
    sides: NDArray[np.int64]

    @property
    def canvases(self) -> NDArray[np.uint8]:
        """The images as servers take them, uint8 (N, canvas_px, canvas_px, 3)."""
        return self.images if self.images.ndim == 4 else np.repeat(self.images[..., None], 3, axis=-1)

    @property
    def planes(self) -> NDArray[np.uint8]:
        """The images as networks take them, uint8 (N, 1 or 3, canvas_px, canvas_px)."""
        return self.images[:, None] if self.images.ndim == 3 else np.moveaxis(self.images, 3, 1)

    @property
    def boxes(self) -> list[Box]:
        """The true boxes, in the images' order."""
        edges = zip(self.tops.tolist(), self.lefts.tolist(), self.sides.tolist(), strict=True)
        return [Box(top, left, side, side) for top, left, side in edges]

    def only(self, kept: NDArray[np.bool_]) -> Scenes:
        """Those of the mask."""
        return Scenes(*(getattr(self, field.name)[kept] for field in fields(self)))


def pixels_hash(scenes: Scenes) -> str:
    """16 hex digits of the pixels, labels and boxes: independent of the PNG encoder's version."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (scenes.images, scenes.labels, scenes.tops, scenes.lefts, scenes.decoys):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
