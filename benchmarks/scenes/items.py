"""Fashion-MNIST items: what scenes are made of.

Owns the reading of the IDX files and the names of the classes. Must not know what is made of items.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip
SOURCE = Path("/usr/share/datasets/fashion-mnist")  # Debian package dataset-fashion-mnist
SPLIT_FILES = {"train": "train", "test": "t10k"}
ITEM_PX = 28


@dataclass(frozen=True)
class Items:
    """Fashion-MNIST items: images (N, 28, 28) uint8, labels (N,) int64 in `CLASS_NAMES` order."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def between(self, start: int, stop: int) -> Items:
        return Items(self.images[start:stop], self.labels[start:stop])

    def of_classes(self, class_ids: Sequence[int]) -> Items:
        own = np.isin(self.labels, class_ids)
        return Items(self.images[own], self.labels[own])


def read_items(split: str, source: Path = SOURCE) -> Items:
    """One split of the IDX files. Raises FileNotFoundError if the package is missing, ValueError if damaged."""
    stem = source / SPLIT_FILES[split]
    images = _read_idx(Path(f"{stem}-images-idx3-ubyte.gz"), 3)
    labels = _read_idx(Path(f"{stem}-labels-idx1-ubyte.gz"), 1)
    if len(images) != len(labels) or images.shape[1:] != (ITEM_PX, ITEM_PX):
        raise ValueError(f"{stem}: {images.shape} images do not match {labels.shape} labels")
    return Items(images, labels.astype(np.int64))


def _read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    content = gzip.decompress(path.read_bytes())
    header = np.frombuffer(content, dtype=">i4", count=1 + axes)
    if header[0] != 0x0800 + axes:  # unsigned bytes, `axes` dimensions
        raise ValueError(f"{path}: not an IDX file of bytes with {axes} axes (magic {header[0]:#x})")
    body = np.frombuffer(content, dtype=np.uint8, offset=4 * (1 + axes))
    return body.reshape([int(size) for size in header[1:]])
