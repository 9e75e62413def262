"""Inputs of golden rows, made from a seed and the contract's tensors, and the numbers that a tensor is boiled down to.

All of it follows from SHAKE-128 of short texts, by integers and one exact float32 product a number. So it is the same for good,
whatever numpy's generators become, and in any language. Another way of making them needs another RECIPE.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from client.contract import DTYPES, Model, Tensor

RECIPE = 1
PROJECTIONS = 4
"""Numbers kept of a row of a tensor, or its one value if it has one."""
PATCHES = 8
"""An image is so many patches of one colour along each side, with noise on top: noise alone is like no picture."""

# Four bytes added up are nearly Gaussian: mean 4 · 127.5, variance 4 · (256² - 1) / 12.
_BYTES = 4
_MEAN, _SPREAD = 510, sqrt(_BYTES * (256**2 - 1) / 12)

Arrays = dict[str, NDArray[np.generic]]


def make_inputs(model: Model, seed: int, rows: Sequence[int], scales: Mapping[str, float]) -> Arrays:
    """Inputs of these golden rows, dim 0 the row. A tensor of one name is the same in every model of one geometry.

    scales: standard deviation of inputs that are no images and no indices, 1 where none is said. Indices differ from row to
    row as far as their range goes, and a reference differs from its prompt.
    """
    ranges = {name: (least, greatest) for name, least, greatest in model.index_ranges}
    made: Arrays = {}
    for tensor in model.inputs:
        if tensor.name in ranges:
            made[tensor.name] = np.array(
                [[_index(tensor.name, seed, row, *ranges[tensor.name])] for row in rows], np.int32
            )
        elif tensor.datatype == "UINT8":
            made[tensor.name] = np.stack([_image(tensor, seed, row) for row in rows])
        else:
            made[tensor.name] = np.stack([_noise(tensor, seed, row, scales.get(tensor.name, 1.0)) for row in rows])
    return made


def project(name: str, array: NDArray[np.generic]) -> NDArray[np.float64]:
    """[rows, PROJECTIONS] of a tensor [rows, …] of n numbers a row: sums with random signs, over √n.

    Such a sum of an error is as large as the error's root mean square, for an error of any shape. One value stands for itself.
    """
    flat = array.reshape(len(array), -1)
    size = flat.shape[1]
    if size == 1:
        return flat.astype(np.float64)
    sums = [
        np.where(_signs(name, number, size), flat, -flat).sum(axis=1, dtype=np.float64) for number in range(PROJECTIONS)
    ]
    projections: NDArray[np.float64] = np.stack(sums, axis=1) / sqrt(size)
    return projections


def _stream(nbytes: int, *parts: object) -> bytes:
    return hashlib.shake_128(" ".join(("golden", str(RECIPE), *map(str, parts))).encode()).digest(nbytes)


def _whole(*parts: object) -> int:
    return int.from_bytes(_stream(8, *parts), "little")


def _index(name: str, seed: int, row: int, least: int, greatest: int) -> int:
    """Steps of a quarter of the range, so that draws are of all noise levels, and one more, so that they are of both signs; less
    where four of them would meet again."""
    count = greatest - least + 1
    step = max(1, min(count // 4 + 1, (count - 1) // 3))
    if name != "REFERENCE_ID":
        return least + (_whole(seed, name) + row * step) % count
    ahead = 1 + _whole(seed, name, row) % max(1, count - 1)
    return least + (_whole(seed, "PROMPT_ID") + row * step + ahead) % count


def _image(tensor: Tensor, seed: int, row: int) -> NDArray[np.uint8]:
    height, width, channels = tensor.shape
    colours = np.frombuffer(_stream(PATCHES**2 * channels, seed, tensor.name, row, "colours"), np.uint8)
    down, right = (np.arange(side) * PATCHES // side for side in (height, width))
    coarse = colours.reshape(PATCHES, PATCHES, channels)[down][:, right].astype(np.uint16)
    fine = np.frombuffer(_stream(prod(tensor.shape), seed, tensor.name, row), np.uint8).reshape(tensor.shape)
    image: NDArray[np.uint8] = ((3 * coarse + fine) // 4).astype(np.uint8)
    return image


def _noise(tensor: Tensor, seed: int, row: int, scale: float) -> NDArray[np.generic]:
    content = _stream(_BYTES * prod(tensor.shape), seed, tensor.name, row)
    sums = np.frombuffer(content, np.uint8).reshape(-1, _BYTES).sum(axis=1, dtype=np.int32)
    values = (sums - _MEAN).astype(np.float32) * np.float32(scale / _SPREAD)
    noise: NDArray[np.generic] = values.reshape(tensor.shape).astype(DTYPES[tensor.datatype])
    return noise


def _signs(name: str, number: int, size: int) -> NDArray[np.bool_]:
    content = np.frombuffer(_stream((size + 7) // 8, "signs", name, number), np.uint8)
    return np.unpackbits(content, count=size).astype(np.bool_)
