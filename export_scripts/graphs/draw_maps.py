"""Delta maps of single draws in eager torch, by the graph that is exported: what a server would answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export_scripts.graphs.draw_bank import DrawBank
from export_scripts.graphs.networks import NoisePredictor
from export_scripts.pipelines.parts import SourcePipeline

_ROWS = 64


def latents_of(source: SourcePipeline, images: NDArray[np.uint8]) -> Tensor:
    """images: uint8 [n, 1 or 3, S, S] → latents [n, C, h, w]."""
    pixels = torch.from_numpy(images).float().expand(-1, 3, -1, -1) / 127.5 - 1
    with torch.no_grad():
        return source.encoder(pixels)


def draw_maps(
    source: SourcePipeline,
    bank: DrawBank,
    latents: Tensor,
    class_ids: NDArray[np.int64],
    references: NDArray[np.int32],
    advance: Callable[[int], None] = lambda _: None,
) -> NDArray[np.float32]:
    """float32 [n, draws, h, w], draws 0, 1, … of the bank. references: rows of the prompt table, int32 [n, draws].

    advance: called with the number of the network's evaluations that are done.
    """
    predictor = NoisePredictor(source.denoiser, bank).eval()
    count, draws = references.shape
    images, numbers = np.divmod(np.arange(count * draws), draws)
    maps = np.empty((count * draws, *latents.shape[2:]), np.float32)
    with torch.no_grad():
        for start in range(0, len(maps), _ROWS):
            part = slice(start, start + _ROWS)
            image, draw = torch.from_numpy(images[part]), torch.from_numpy(numbers[part])
            cond = source.table[torch.from_numpy(class_ids[images[part]] + 1)]
            reference = source.table[torch.from_numpy(references[images[part], numbers[part]]).long()]
            maps[part] = predictor(latents[image], cond, reference, draw[:, None])[0].numpy()
            advance(2 * len(cond))
    return maps.reshape(count, draws, *maps.shape[1:])
