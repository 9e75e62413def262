"""Families of drawings: those that share a name or look alike, so that no split holds a variant of another split's drawing.

Owns what counts as alike. Must not know files, classes or splits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_CELLS = 20  # of the side of a signature
_SAME_SHAPE = 0.03  # mean difference of two alphas at most, 1 being all
_SAME_LINES = 0.6  # correlation of the edges at least: a recoloured drawing keeps its lines
_SAME_PICTURE = 0.035  # mean difference of two pictures on white at most


def families_of(names: Sequence[str], labels: Sequence[int], images: NDArray[np.uint8]) -> list[str]:
    """The family of each drawing: the first name of all of its class that belong together.

    images: uint8 [n, S, S, 4], S a multiple of 20. Equal names have equal labels.
    """
    parents = list(range(len(names)))

    def root(i: int) -> int:
        while parents[i] != i:
            i = parents[i]
        return i

    first: dict[str, int] = {}
    for i, name in enumerate(names):
        parents[root(i)] = root(first.setdefault(name, i))
    same = np.equal.outer(labels, labels) & alike(images)
    for i, j in np.argwhere(np.triu(same, 1)).tolist():
        parents[root(j)] = root(i)
    members: dict[int, list[str]] = {}
    for i, name in enumerate(names):
        members.setdefault(root(i), []).append(name)
    return [min(members[root(i)]) for i in range(len(names))]


def alike(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which drawings look alike, bool [n, n]: one picture, or one shape with the same lines in other colours."""
    alpha, grey = _signatures(images)
    shape, picture = _distances(alpha), _distances(grey)
    lines = _edges(grey)
    return (picture <= _SAME_PICTURE) | ((shape <= _SAME_SHAPE) & (lines @ lines.T >= _SAME_LINES))


def _signatures(images: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Alpha, and grey on white, each [n, 20, 20] in [0, 1]."""
    cell = images.shape[1] // _CELLS
    alpha = images[..., 3] / 255.0
    grey = images[..., :3].mean(axis=-1) / 255.0 * alpha + (1 - alpha)
    blocks = [each.reshape(len(images), _CELLS, cell, _CELLS, cell).mean(axis=(2, 4)) for each in (alpha, grey)]
    return blocks[0], blocks[1]


def _distances(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = blocks.reshape(len(blocks), -1)
    return np.stack([np.abs(flat - one).mean(axis=1) for one in flat])


def _edges(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strength of edges, centred and of unit length, [n, 400]."""
    rows, columns = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(rows, columns).reshape(len(grey), -1)
    strength -= strength.mean(axis=1, keepdims=True)
    return strength / np.linalg.norm(strength, axis=1, keepdims=True).clip(1e-9)
