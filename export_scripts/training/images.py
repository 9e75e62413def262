"""Training images in memory: a data set read once, and batches with random zooms.

Images are read and fitted as the selector's own commands do, so a model trains on what it will score. A batch is a
function of (seed, step) alone: a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from selector.errors import UsageError
from selector.images.canvas import fit
from selector.images.datasets import Reader, list_items
from selector.images.decoding import DecodeError, decode
from selector.images.readers import ContentError

log = logging.getLogger("train_small")


@dataclass(frozen=True)
class ImageSet:
    """pixels (N, 1 or 3, S, S) uint8; labels (N,) int64 into class_names."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]


def read_image_set(source: Path, image_size: int, class_order: Sequence[str] | None = None) -> ImageSet:
    """Every image of a folder or tar of class folders: its centre square, fitted to `image_size`.

    Classes are the folders with images: sorted, or as `class_order` lists them. One channel where every image is gray.
    Raises UsageError for data without images, a damaged image, and a `class_order` of other folders.
    """
    listing = list_items(source)
    if not len(listing):
        raise UsageError(f"{source} holds no images in class folders")
    for lost in listing.passed_over:
        log.warning("%s is not trained on: %s", lost.source, lost.reason)
    labels = [folder for _, folder in listing.pairs()]
    found = sorted(set(labels))
    names = tuple(found if class_order is None else class_order)
    if sorted(names) != found:
        raise UsageError(f"classes listed: {sorted(names)}; folders found in {source}: {found}")
    images = []
    with Reader(listing) as reader:
        for item in listing.sources.to_pylist():
            try:
                image, _ = fit(decode(reader.read(item)), image_size)
            except (DecodeError, ContentError) as error:
                raise UsageError(f"{item} in {source}: {error}: mend it, or take it out of the data") from error
            images.append(image[..., :1].copy() if (image == image[..., :1]).all() else image)
    gray = all(image.shape[2] == 1 for image in images)
    pixels = np.empty((len(images), 1 if gray else 3, image_size, image_size), np.uint8)
    for row, image in zip(pixels, images, strict=True):
        row[:] = image.transpose(2, 0, 1)  # one channel is spread over three
    return ImageSet(pixels, np.array([names.index(label) for label in labels], np.int64), names)


def zoom(images: Tensor, zoomed: Tensor, least_fraction: float, generator: torch.Generator) -> Tensor:
    """images (N, C, S, S) float; the rows where `zoomed` (N,) bool become bilinear enlargements of random square crops.

    Stage II shows the model such crops. least_fraction: smallest side of a crop over the image's.
    """
    count = images.shape[0]
    fraction = least_fraction + (1 - least_fraction) * torch.rand(count, generator=generator)
    fraction = torch.where(zoomed, fraction, torch.ones(()))
    centre = (2 * torch.rand(count, 2, generator=generator) - 1) * (1 - fraction)[:, None]
    if not bool(zoomed.any()):
        return images
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = fraction
    theta[:, :, 2] = centre
    rows = zoomed.nonzero().squeeze(1)
    grid = functional.affine_grid(theta[rows], [len(rows), *images.shape[1:]], align_corners=False)
    enlarged = functional.grid_sample(images[rows], grid, padding_mode="border", align_corners=False)
    return images.index_copy(0, rows, enlarged)


def batch_indices(count: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """Rows of batch `step`: every image once per epoch, each epoch in its own order."""
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = positions // count
    chosen = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([seed, int(epoch)]).permutation(count)
        own = epochs == epoch
        chosen[own] = order[positions[own] % count]
    return chosen
