"""The picture of a pick: which box of the original it is cut from, the square it is fitted to, and the bytes of its file.

The same pixels give the same bytes: no picture carries metadata.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selector.errors import SelectorError
from selector.images.canvas import crop, fit
from selector.records import Box

JPEG_QUALITY = 95

SUFFIXES: Mapping[str, str] = MappingProxyType({"png": ".png", "jpeg": ".jpg", "webp": ".webp"})
LOSSLESS = ("png", "webp")
_SETTINGS: Mapping[str, dict[str, Any]] = {
    "png": {},
    "jpeg": {"quality": JPEG_QUALITY, "subsampling": "4:4:4"},
    "webp": {"lossless": True},
}


@dataclass(frozen=True)
class Cut:
    """What is handed out of an original.

    take: "patch" is the chosen window, "image" the whole image. mode: how whole images are fitted to a square, "crop" or "pad" as
    in `fit`. A window is square already, but for a pixel of rounding; its sides are made equal.
    """

    take: str
    mode: str

    def box(self, window: Box, height: int, width: int) -> Box:
        """The box of an original, of this height and width, that is handed out."""
        return window if self.take == "patch" else Box(0, 0, height, width)

    def fitted(self, pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """The box's pixels [h, w, 3] as a square of this side; as they are for a size of 0."""
        if not size:
            return pixels
        if self.take == "image":
            return fit(pixels, size, self.mode)[0]
        return crop(pixels, Box(0, 0, *pixels.shape[:2]), size)


def encoded(pixels: NDArray[np.uint8], image_format: str, source: str) -> bytes:
    """The pixels [h, w, 3] as a file of one of IMAGE_FORMATS; raises SelectorError that names the source if it can't be."""
    file = io.BytesIO()
    try:
        Image.fromarray(pixels).save(file, format=image_format.upper(), **_SETTINGS[image_format])
    except (OSError, ValueError) as error:
        height, width = pixels.shape[:2]
        raise SelectorError(
            f"{source}: {height} × {width} pixels can't be a file of {image_format} ({error}): "
            "name another --image-format, or a --size"
        ) from None
    return file.getvalue()


def decoded(content: bytes) -> NDArray[np.uint8]:
    """The pixels [h, w, 3] of a file that `encoded` made; raises OSError or SyntaxError for another."""
    with Image.open(io.BytesIO(content), formats=[name.upper() for name in SUFFIXES]) as picture:
        return np.asarray(picture.convert("RGB"))
