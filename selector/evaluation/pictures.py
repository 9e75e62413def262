"""Labelled images in memory, with their true boxes where the data has them, and crops of them as training arrays.

A file that can't be decoded is an error here: a test set must not shrink in silence.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.images.canvas import crop
from selector.images.class_names import match_classes
from selector.images.datasets import Reader, list_items, read_beside
from selector.images.decoding import DecodeError, decode
from selector.images.listing import Listing
from selector.records import Box

BOXES = "boxes.csv"


@dataclass(frozen=True)
class Pictures:
    """n images uint8 [H, W, 3] of any sizes, their sources, class_ids int64 [n] and true boxes (None where unknown)."""

    images: tuple[NDArray[np.uint8], ...]
    sources: tuple[str, ...]
    labels: NDArray[np.int64]
    boxes: tuple[Box | None, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def whole(self, number: int) -> Box:
        """The box of a whole image."""
        height, width = self.images[number].shape[:2]
        return Box(0, 0, height, width)

    def crops(self, numbers: Sequence[int], boxes: Sequence[Box], side_px: int) -> NDArray[np.uint8]:
        """The boxes of these images, scaled to side_px²: uint8 [m, side_px, side_px, 3]."""
        cut = [crop(self.images[number], box, side_px) for number, box in zip(numbers, boxes, strict=True)]
        return np.stack(cut) if cut else np.empty((0, side_px, side_px, 3), dtype=np.uint8)

    def take(self, numbers: Sequence[int]) -> Pictures:
        """These images, in this order."""
        return Pictures(
            tuple(self.images[n] for n in numbers),
            tuple(self.sources[n] for n in numbers),
            self.labels[np.asarray(numbers, dtype=np.int64)],
            tuple(self.boxes[n] for n in numbers),
        )


def read_pictures(listing: Listing, labels: Mapping[str, int]) -> Pictures:
    """The images at these sources (source → class_id) in sorted order; raises SelectorError for one that is unusable."""
    sources = tuple(sorted(labels))
    images = []
    with Reader(listing) as reader:
        has_boxes = any(skipped.source == BOXES for skipped in listing.skipped)
        boxes = _true_boxes(read_beside(listing.root, BOXES)) if has_boxes else {}
        for source in sources:
            try:
                images.append(decode(reader.read(source)))
            except (OSError, DecodeError) as error:
                raise SelectorError(f"{listing.root / source} can't be used for the evaluation: {error}") from error
    return Pictures(
        tuple(images),
        sources,
        np.array([labels[source] for source in sources], dtype=np.int64),
        tuple(boxes.get(source) for source in sources),
    )


def read_data_set(root: Path, class_names: Sequence[str]) -> Pictures:
    """Every image of a folder or tar whose class folders bear these names; class_id is the name's position.

    Raises as `labels_of` and `read_pictures`.
    """
    return read_pictures(*labels_of(root, class_names))


def labels_of(root: Path, class_names: Sequence[str]) -> tuple[Listing, dict[str, int]]:
    """The listing of such a folder or tar, and source → class_id, the position of the class's name.

    Raises MismatchError for a folder of another name and SelectorError for a class without images or an image that can't be
    taken.
    """
    listing = list_items(root)
    for lost in listing.passed_over:
        raise SelectorError(f"{root / lost.source} can't be used for the evaluation: {lost.reason}")
    class_ids = match_classes(listing.folders, class_names)
    labels = {source: class_ids[folder] for source, folder in listing.pairs()}
    known = set(labels.values())
    missing = [name for number, name in enumerate(class_names) if number not in known]
    if missing:
        raise SelectorError(f"{root} has no images of: {', '.join(missing)}")
    return listing, labels


def _true_boxes(content: bytes) -> dict[str, Box]:
    """Boxes by source, from lines path,top,left,height,width (pixels of the image)."""
    rows = csv.DictReader(io.StringIO(content.decode()))
    try:
        return {
            row["path"]: Box(int(row["top"]), int(row["left"]), int(row["height"]), int(row["width"])) for row in rows
        }
    except (KeyError, ValueError) as error:
        raise SelectorError(f"{BOXES} needs the columns path,top,left,height,width in pixels: {error}") from error
