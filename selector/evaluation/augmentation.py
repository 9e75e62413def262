"""Random views of training images: crops, flips and cut-and-mix, on batches, from a generator.

Images are float32 in [-1, 1].
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional


def as_input(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 [n, S, S, 3] → float32 [n, 3, S, S] in [-1, 1], channels last in memory."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return (pixels.float() / 127.5 - 1.0).contiguous(memory_format=torch.channels_last)


def random_crops(
    images: torch.Tensor, least_area: float, draw: torch.Generator, side_px: int | None = None
) -> torch.Tensor:
    """Of each image a square crop of a share of its area from [least_area, 1], half of them mirrored.

    side_px: of the crops, the images' own by default.
    """
    count = len(images)
    side = torch.sqrt(least_area + (1.0 - least_area) * torch.rand(count, generator=draw))
    centre = (2.0 * torch.rand(count, 2, generator=draw) - 1.0) * (1.0 - side)[:, None]
    mirror = 1.0 - 2.0 * (torch.rand(count, generator=draw) < 0.5).float()
    return sampled(images, side * mirror, side, centre[:, 0], centre[:, 1], side_px or images.shape[-1])


def tile_crops(mosaics: torch.Tensor, least_area: float, draw: torch.Generator) -> torch.Tensor:
    """Of each mosaic one random crop inside one of its quarters, at the mosaic's own size: no crop crosses a border.

    PCA's augmentation (arXiv 2502.06434). The share of the area is of the quarter.
    """
    side = mosaics.shape[-1] // 2
    quarter = torch.randint(4, (len(mosaics),), generator=draw)
    rows, columns = (quarter // 2 * side).tolist(), (quarter % 2 * side).tolist()
    tiles = [m[:, r : r + side, c : c + side] for m, r, c in zip(mosaics, rows, columns, strict=True)]
    return random_crops(torch.stack(tiles), least_area, draw, 2 * side)


def sampled(
    images: torch.Tensor,
    width: torch.Tensor,
    height: torch.Tensor,
    right: torch.Tensor,
    down: torch.Tensor,
    side_px: int,
) -> torch.Tensor:
    """Boxes of the images, bilinear, [n, 3, side_px, side_px].

    width, height: [n], of the image's size; a negative width mirrors. right, down: [n], the box's centre in [-1, 1].
    """
    zero = torch.zeros_like(right)
    rows = [torch.stack([width, zero, right], dim=1), torch.stack([zero, height, down], dim=1)]
    grid = functional.affine_grid(torch.stack(rows, dim=1), [len(images), 3, side_px, side_px], align_corners=False)
    views = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return views.contiguous(memory_format=torch.channels_last)


def cut_and_mix(images: torch.Tensor, draw: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, float]:
    """CutMix (Yun et al. 2019): a box of every image replaced by that of a partner.

    Returns the mixed images, the partners' rows and the share of its own image that each keeps.
    """
    side = images.shape[-1]
    partner = torch.randperm(len(images), generator=draw)
    edge = math.sqrt(float(torch.rand((), generator=draw))) * side
    row, column = (float(torch.rand((), generator=draw)) * side for _ in range(2))
    top, left = max(0, round(row - edge / 2)), max(0, round(column - edge / 2))
    bottom, right = min(side, round(row + edge / 2)), min(side, round(column + edge / 2))
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = images[partner][:, :, top:bottom, left:right]
    return mixed, partner, 1.0 - (bottom - top) * (right - left) / side**2


def tiled(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mosaics: each four images uint8 [4m, S, S, 3] in a row become the quarters of one, uint8 [m, 2S, 2S, 3]."""
    m, side = len(images) // 4, images.shape[1]
    grid = images.reshape(m, 2, 2, side, side, 3).swapaxes(2, 3)
    return np.ascontiguousarray(grid.reshape(m, 2 * side, 2 * side, 3))
