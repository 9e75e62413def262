"""Draws that a pipeline brings: `draws.npz` beside its weights. What makes them is export_scripts/training/noises.py."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export_scripts.errors import PipelineError

DRAWS_FILE = "draws.npz"


@dataclass(frozen=True)
class FirstDraws:
    """timesteps: int64 [M]. noises: float32 [M, C, h, w]."""

    timesteps: NDArray[np.int64]
    noises: NDArray[np.float32]

    def digest(self, of_weights: str) -> str:
        """16 hex digits of the weights' digest and these draws: other noises are other scores."""
        found = hashlib.blake2b(of_weights.encode(), digest_size=8)
        found.update(self.timesteps.tobytes() + self.noises.tobytes())
        return found.hexdigest()


def read_first_draws(pipeline: Path, latent: tuple[int, int, int], steps: int) -> FirstDraws | None:
    """The draws of the pipeline in this folder, or None if it brings none.

    latent: (C, h, w) of its latents. steps: of its schedule. Raises PipelineError for a file that does not fit them.
    """
    path = pipeline / DRAWS_FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = FirstDraws(arrays["timesteps"].astype(np.int64), arrays["noises"].astype(np.float32))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise PipelineError(f"{path} is damaged or no file of draws: {error}: make it again, or take it away") from None
    count = len(found.timesteps)
    if found.noises.shape != (count, *latent) or not np.isfinite(found.noises).all():
        raise PipelineError(
            f"{path} has noises of the shape {found.noises.shape}, this pipeline's {count} need {(count, *latent)}: make it again"
        )
    if not ((found.timesteps >= 0) & (found.timesteps < steps)).all():
        raise PipelineError(f"{path} has timesteps outside the schedule of {steps} steps: make it again")
    return found
