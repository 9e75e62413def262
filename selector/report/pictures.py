"""Arrays as data URIs: thumbnails, scenes and typicality maps. Small ones are PNG, made in a fifth of WebP's time."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THUMBNAIL_PX = 96
SCENE_PX = 320

_NATIVE_PX = 48  # up to this side pictures are kept lossless: they are shown enlarged, where artefacts would be seen
_SCALE = np.array(
    [[24, 78, 140], [67, 133, 190], [160, 200, 224], [247, 247, 245], [248, 190, 140], [222, 107, 58], [156, 40, 24]]
)
"""Colours from the least typical (blue) over 0 (near white) to the most typical (orange-red), evenly spaced, in sRGB."""


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """The window of a pick [h, w, 3] as a data URI."""
    return shrunk(pixels, THUMBNAIL_PX)


def shrunk(pixels: NDArray[np.uint8], longest_px: int) -> str:
    """The picture [h, w, 3] as a data URI, shrunk to longest_px if it is larger and never enlarged."""
    picture = Image.fromarray(pixels)
    shrink = longest_px / max(picture.size)
    if shrink < 1:
        size = (max(1, round(picture.width * shrink)), max(1, round(picture.height * shrink)))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return _data_uri(picture, lossless=max(picture.size) <= _NATIVE_PX)


def map_picture(values: NDArray[np.float16] | NDArray[np.float32] | NDArray[np.float64]) -> tuple[str, float]:
    """A map [h, w] in the diverging colours, 0 in the middle, and the value at the ends of the scale.

    The ends are the map's largest size; values that are not finite are drawn as 0.
    """
    finite = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    end = float(np.abs(finite).max(initial=0.0))
    return _data_uri(Image.fromarray(diverging(finite / end if end > 0 else finite)), lossless=True), end


def diverging(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Values in [−1, 1], any shape, as colours uint8 [..., 3]."""
    stops = np.linspace(-1.0, 1.0, len(_SCALE))
    channels = [np.interp(values, stops, _SCALE[:, channel]) for channel in range(3)]
    colours: NDArray[np.uint8] = np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
    return colours


def scale_css() -> str:
    """The colour scale as the arguments of a CSS linear-gradient."""
    return ", ".join(f"rgb({r} {g} {b})" for r, g, b in _SCALE.tolist())


def _data_uri(picture: Image.Image, *, lossless: bool) -> str:
    file, kind = io.BytesIO(), "png" if lossless else "webp"
    picture.save(file, format=kind, **({} if lossless else {"quality": 80, "method": 4}))
    return f"data:image/{kind};base64," + base64.b64encode(file.getvalue()).decode("ascii")
