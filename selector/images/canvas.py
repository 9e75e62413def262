"""The S × S canvas that models see, and how its boxes map back to the original image's pixels.

Resizing is Pillow's bicubic with antialiasing. Every edge is mapped by integer arithmetic and rounded half up, so boxes
that touch on the canvas touch on the original, and those that do not overlap do not overlap there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selector.records import Box

MODES = ("crop", "pad")
PADDING = 0
"""Grey level of letterbox bars; windows never reach into them."""


@dataclass(frozen=True)
class CanvasMap:
    """Which part of the original lies where on the canvas.

    valid: the canvas pixels that show image, where windows may lie. region: the original's pixels shown
    there.
    """

    valid: Box
    region: Box

    def to_original(self, box: Box) -> Box:
        """The box of canvas pixels in pixels of the original, never empty, always within `region`.

        Raises ValueError if the box is empty or reaches out of `valid`. Sides may differ by a pixel of
        rounding.
        """
        v, r = self.valid, self.region
        top, height = _mapped(box.top - v.top, box.height, v.height, r.height)
        left, width = _mapped(box.left - v.left, box.width, v.width, r.width)
        return Box(r.top + top, r.left + left, height, width)


def _mapped(start: int, length: int, valid: int, region: int) -> tuple[int, int]:
    """An interval within [0, valid) as one within [0, region)."""
    if start < 0 or length < 1 or start + length > valid:
        raise ValueError(f"[{start}, {start + length}) is not within the {valid} px of canvas that show image")
    first = (2 * start * region + valid) // (2 * valid)
    end = (2 * (start + length) * region + valid) // (2 * valid)
    if end == first:  # a strongly enlarged image: less than one of its pixels
        first = min(first, region - 1)
        end = first + 1
    return first, end - first


def fit(image: NDArray[np.uint8], resolution: int, mode: str = "crop") -> tuple[NDArray[np.uint8], CanvasMap]:
    """The image on a canvas uint8 [S, S, 3], and the way back. image: uint8 [H, W, 3]; resolution: S.

    "crop": the centre square (the shorter side fills S). "pad": the whole image with its longer side at S,
    centred between bars of PADDING. An image of S × S is returned as it is, box mapping then is the identity.
    """
    height, width = image.shape[:2]
    if mode == "crop":
        side = min(height, width)
        region = Box((height - side) // 2, (width - side) // 2, side, side)
        return crop(image, region, resolution), CanvasMap(Box(0, 0, resolution, resolution), region)
    if mode != "pad":
        raise ValueError(f"fit must be one of {MODES}, not {mode!r}")
    longer = max(height, width)
    # Rounded half up, at least one pixel.
    rows = max(1, (2 * height * resolution + longer) // (2 * longer))
    columns = max(1, (2 * width * resolution + longer) // (2 * longer))
    valid = Box((resolution - rows) // 2, (resolution - columns) // 2, rows, columns)
    canvas = np.full((resolution, resolution, 3), PADDING, np.uint8)
    canvas[valid.top : valid.top + rows, valid.left : valid.left + columns] = _resized(image, rows, columns)
    return canvas, CanvasMap(valid, Box(0, 0, height, width))


def crop(image: NDArray[np.uint8], box: Box, resolution: int) -> NDArray[np.uint8]:
    """The box of the image (its pixels alone) resized to uint8 [S, S, 3]; raises ValueError if it reaches outside."""
    return _resized(cut(image, box), resolution, resolution)


def cut(image: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The box of the image at native resolution, uint8 [height, width, 3]; raises ValueError like crop."""
    height, width = image.shape[:2]
    inside = box.top >= 0 and box.left >= 0 and box.height >= 1 and box.width >= 1
    if not inside or box.top + box.height > height or box.left + box.width > width:
        raise ValueError(f"{box} is not within an image of {height} × {width} px")
    return image[box.top : box.top + box.height, box.left : box.left + box.width]


def _resized(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if image.shape[:2] == (height, width):
        return np.array(image, np.uint8)
    resized = Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized, np.uint8)
