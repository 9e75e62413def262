"""Patch tables made of random numbers, for tests that need no images: features with or without clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selector.records import PatchTable


def unit(points: NDArray[np.float64]) -> NDArray[np.float16]:
    """The points [n, F] at unit length, in the store's precision."""
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)


def blobs(sizes: list[int], seed: int = 0, width: int = 24, spread: float = 0.03) -> NDArray[np.float16]:
    """Tight clusters of these sizes around far-apart directions, in order."""
    draw = np.random.default_rng(seed)
    centres = np.linalg.qr(draw.normal(size=(width, len(sizes))))[0].T
    return unit(
        np.concatenate(
            [centre + spread * draw.normal(size=(n, width)) for centre, n in zip(centres, sizes, strict=True)]
        )
    )


def scattered(count: int, seed: int = 0, width: int = 24) -> NDArray[np.float16]:
    """Directions without any structure."""
    return unit(np.random.default_rng(seed).normal(size=(count, width)))


def image_ids(count: int, seed: int = 0) -> NDArray[np.str_]:
    """Distinct ids of 16 hex digits, in no particular order."""
    numbers = np.random.default_rng(seed).permutation(count)
    return np.array([f"{int(n) * 0x9E3779B97F4A7C15 % 2**64:016x}" for n in numbers], dtype="<U16")


def patch_table(counts: list[int], seed: int = 0, features: NDArray[np.float16] | None = None) -> PatchTable:
    """One patch per image, counts[c] images of class c, sorted as the store sorts them."""
    total = sum(counts)
    draw = np.random.default_rng(seed)
    class_id = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    ids = image_ids(total, seed)
    order = np.lexsort((ids, class_id))
    corner = draw.integers(0, 36, (2, total)).astype(np.int32)
    table = PatchTable(
        class_id=class_id,
        image_id=ids,
        source=np.array([f"class{c}/{i:05d}.png" for i, c in enumerate(class_id)], dtype=object),
        patch_rank=np.zeros(total, dtype=np.int32),
        top=corner[0],
        left=corner[1],
        height=np.full(total, 28, dtype=np.int32),
        width=np.full(total, 28, dtype=np.int32),
        typicality=draw.normal(0.02, 0.01, total).astype(np.float32),
        standard_error=np.full(total, 0.004, dtype=np.float32),
        draws=np.full(total, 12, dtype=np.int32),
        features=features if features is not None else scattered(total, seed),
    )
    return table.take(order)
