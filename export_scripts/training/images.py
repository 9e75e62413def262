"""Training images in memory: a folder or tar of class folders read once, batches with random zooms.

Owns reading, the order of classes and the zooms; knows nothing of noise or models. A batch is a function of
(seed, step) alone, so a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True)
class ImageSet:
    """pixels (N, 1 or 3, S, S) uint8; labels (N,) int64 into class_names."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]


def read_image_set(source: Path, image_size: int, class_order: Sequence[str] | None = None) -> ImageSet:
    """Every image of a folder or tar of class folders, its shorter side fitted to `image_size`, centre crop.

    Classes are the folder names: sorted, or as `class_order` lists them. One channel when every image is gray.
    Raises ValueError when there is no image, or when `class_order` and the folders differ.
    """
    images: list[NDArray[np.uint8]] = []
    folders: list[str] = []
    for folder, content in _files(source):
        with Image.open(io.BytesIO(content)) as image:
            images.append(_fit(image, image_size))
        folders.append(folder)
    if not images:
        raise ValueError(f"{source}: no images in class folders")
    found = sorted(set(folders))
    names = tuple(class_order) if class_order is not None else tuple(found)
    if sorted(names) != found:
        raise ValueError(f"classes listed: {sorted(names)}; folders found in {source}: {found}")
    if any(image.ndim == 3 for image in images):
        stacked = np.stack([image if image.ndim == 3 else np.repeat(image[..., None], 3, -1) for image in images])
        pixels = np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))
    else:
        pixels = np.stack(images)[:, None]
    labels = np.array([names.index(folder) for folder in folders], dtype=np.int64)
    return ImageSet(pixels, labels, names)


def _files(source: Path) -> Iterator[tuple[str, bytes]]:
    """(class folder, bytes) of every image, sorted by path."""
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            parts = path.relative_to(source).parts
            if len(parts) > 1 and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                yield parts[0], path.read_bytes()
        return
    with tarfile.open(source) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            path = PurePosixPath(member.name)
            parts = tuple(part for part in path.parts if part != ".")
            if len(parts) > 1 and path.suffix.lower() in IMAGE_SUFFIXES and member.isfile():
                stream = tar.extractfile(member)
                if stream is not None:
                    yield parts[0], stream.read()


def _fit(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """(side, side) for a gray image, else (side, side, 3)."""
    upright = ImageOps.exif_transpose(image)
    gray = upright.mode in ("1", "L")
    upright = upright.convert("L" if gray else "RGB")
    if upright.size != (side, side):
        upright = ImageOps.fit(upright, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(upright, dtype=np.uint8)


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
