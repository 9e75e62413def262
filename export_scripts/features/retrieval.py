"""How well features find images of the same label, by the block and the timestep that they are read at.

An image is found if, of all others, the one most alike has its label. All images get the null prompt: a label has to be seen in
the pixels. Eager torch, by the graph that is exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export_scripts.errors import PipelineError
from export_scripts.graphs.draw_maps import latents_of
from export_scripts.graphs.leaves import dift_noise
from export_scripts.graphs.networks import DiftExtractor
from export_scripts.pipelines.denoiser import Denoiser, Place
from export_scripts.pipelines.parts import SourcePipeline

CELLS_AT_ONCE = 16_384  # of latents: what bounds the memory
ALIKE = 1e-6  # of cosines in float32: these are the same
_RESAMPLES = 2000


@dataclass(frozen=True)
class Candidate:
    """found: float64 [n], whether each image was found, and a share where several images are the most alike."""

    block: Place
    timestep: int
    found: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """The share of images that were found."""
        return float(self.found.mean())


def compare(
    source: SourcePipeline,
    latents: Tensor,
    labels: NDArray[np.int64],
    blocks: Sequence[Place],
    timesteps: Sequence[int],
    advance: Callable[[int], None] = lambda _: None,
) -> list[Candidate]:
    """Every block at every timestep, the best first. latents: [n, C, h, w]. advance: called with images that are described.

    Raises PipelineError for features that are not finite.
    """
    noise, candidates = torch.from_numpy(dift_noise(source.latent)), []
    for timestep in timesteps:
        denoiser = at_timestep(source.denoiser, timestep)
        for block in blocks:
            extract = DiftExtractor(denoiser, timestep, block, noise).eval()
            rows = []
            with torch.no_grad():
                for part in latents.split(_rows(source)):
                    rows.append(extract.features(part, _null(source, len(part))))
                    advance(len(part))
            candidates.append(Candidate(block, timestep, found(torch.cat(rows).numpy(), labels)))
    return sorted(candidates, key=lambda each: -each.accuracy)  # of equal ones the first: it costs least


def found(features: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each of the features [n, F], of length 1: the share of its label among those most alike, itself left out."""
    if not np.isfinite(features).all():
        raise PipelineError("features are not finite: nothing can be compared by them")
    alike = features @ features.T
    np.fill_diagonal(alike, -np.inf)
    nearest = alike >= alike.max(axis=1, keepdims=True) - ALIKE
    same: NDArray[np.float64] = (nearest & (labels[:, None] == labels)).sum(axis=1) / nearest.sum(axis=1)
    return same


def encoded(source: SourcePipeline, images: NDArray[np.uint8]) -> Tensor:
    """images: uint8 [n, S, S, 3] → latents [n, C, h, w], a few at a time."""
    rows = _rows(source)
    parts = [images[start : start + rows].transpose(0, 3, 1, 2) for start in range(0, len(images), rows)]
    return torch.cat([latents_of(source, part) for part in parts])


def at_timestep(denoiser: Denoiser, timestep: int) -> Denoiser:
    """The denoiser as an export with features of that timestep has it: its channels of massive activations are others."""
    again = denoiser.taps.again
    return denoiser if again is None else replace(denoiser, taps=again(timestep))


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean over images."""
    picked = np.random.default_rng(0).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.percentile(values[picked].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _rows(source: SourcePipeline) -> int:
    return max(1, CELLS_AT_ONCE // (source.latent[1] * source.latent[2]))


def _null(source: SourcePipeline, count: int) -> tuple[Tensor, ...]:
    tables = (source.table,) if source.pooled is None else (source.table, source.pooled)
    return tuple(table[:1].expand(count, *table.shape[1:]) for table in tables)
