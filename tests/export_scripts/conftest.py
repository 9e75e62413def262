"""Two classes of tiny images to train on."""

from __future__ import annotations

import numpy as np
import pytest

from export_scripts.training.images import ImageSet


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Two classes that differ in brightness, 12 images each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60, size=(24, 1, 16, 16), dtype=np.uint8)
    labels = np.arange(24) % 2
    pixels[labels == 1] += 180
    return ImageSet(pixels, labels, ("dark", "bright"))
