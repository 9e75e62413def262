"""Bytes of a picture file → RGB pixels, or a plain reason why not.

Every change that is not a plain reading of the file's samples is in `Decoded.notes`. The rules:
- EXIF orientation is applied.
- Animations and multi-page files give their first frame.
- Transparency is composited on white.
- 16-bit samples of grey are scaled to 8 (65535 → 255), never clipped; of colour Pillow keeps the high byte.
- CMYK and the like are converted by Pillow's plain formula; embedded colour profiles and gammas are not applied.
- Integers and floats without an agreed range are refused, and so are files that are cut short and pictures above
  MAX_PIXELS, before their pixels are decoded.

Pillow's bomb warning must be an error here, and Python's warning filters belong to the whole process: one
lock lets a process decode one picture at a time. Decode in parallel by processes.
"""

from __future__ import annotations

import io
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL import __version__ as _pillow

from selector.errors import SelectorError
from selector.images.recognition import HEAD_BYTES, content_named, picture_kind

MAX_PIXELS = 89_478_485
"""Pictures above this are refused by their header: Pillow's own limit for RGB in 256 MiB."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that are tried; Pillow's others (some start programs, EPS) are not offered the bytes."""

DECODER = f"pillow {_pillow}, rules 1"
"""What decoded pixels depend on; part of a store's fingerprint."""

_MODES = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"}
_ALPHA = {"RGBA", "RGBa", "LA", "La", "PA"}
_CONVERTED = {"CMYK", "YCbCr", "HSV"}
_TRANSPOSED = 1
_ORIENTATION = 0x0112
_SUBFILE_TYPE = 254
_SRGB_GAMMA = 0.45455


class DecodeError(SelectorError):
    """A file that can't be used; the text is a plain reason, without the file's name."""


@dataclass(frozen=True)
class Decoded:
    """image: uint8 [H, W, 3], RGB. notes: what was done beyond reading samples, such as "rotated by EXIF"."""

    image: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def decode(content: bytes) -> NDArray[np.uint8]:
    """RGB pixels uint8 [H, W, 3] of a picture file's bytes; raises DecodeError."""
    return decode_with_notes(content).image


_one_at_a_time = threading.Lock()


def decode_with_notes(content: bytes) -> Decoded:
    """The same with a record of every conversion; raises DecodeError."""
    if not content:
        raise DecodeError("the file is empty")
    with _one_at_a_time, warnings.catch_warnings():
        # Pillow's other warnings are about odd metadata; its pixels are checked by load().
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            return _decoded(content)
        except (DecodeError, MemoryError):  # a want of memory says nothing about the file
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DecodeError(f"more pixels than the limit of {MAX_PIXELS}") from error
        except UnidentifiedImageError as error:
            raise DecodeError(_unidentified(content[:HEAD_BYTES])) from error
        except Exception as error:
            # Parsers of hostile bytes raise almost anything (OSError, SyntaxError, struct.error, KeyError, …):
            # all of it says that this file can't be decoded.
            raise DecodeError(f"damaged or cut short: {error or type(error).__name__}") from error


def _unidentified(head: bytes) -> str:
    if picture_kind(head) in FORMATS:
        return f"damaged or cut short: the header of this {picture_kind(head)} can't be read"
    named = content_named(head)
    return f"not a picture of a known format ({', '.join(FORMATS)})" + (f": its content is {named}" if named else "")


def _decoded(content: bytes) -> Decoded:
    notes: list[str] = []
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise DecodeError(f"{width} × {height} pixels, more than the limit of {MAX_PIXELS}")
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            notes.append(f"first of {frames} frames")
            image.seek(0)
        notes += _reductions(image)  # first: the EXIF of a PNG is found by loading it
        orientation = image.getexif().get(_ORIENTATION, _TRANSPOSED)
        image.load()
        upright = ImageOps.exif_transpose(image)
        if orientation != _TRANSPOSED and orientation in range(2, 9):
            notes.append("rotated by EXIF")
        pixels = _rgb(upright, image.format or "", notes)
    return Decoded(np.ascontiguousarray(pixels, np.uint8), tuple(notes))


def _reductions(image: Image.Image) -> list[str]:
    """What Pillow will do or leave out without a word, by the header of a picture that is not loaded yet."""
    found = []
    tiles = getattr(image, "tile", ())
    args = tiles[0].args if tiles else None
    raw, *more = args if isinstance(args, tuple) and args else (args,)
    if isinstance(raw, str) and ";16" in raw and raw[:3] not in ("BGR", "I;1"):  # BGR;16 is 5, 6 and 5 bits of a BMP
        found.append("16-bit samples cut to 8")
    elif image.format == "PPM" and image.mode in ("L", "RGB") and more and more[0] != 255:
        found.append("16-bit samples scaled to 8" if more[0] == 65535 else "samples scaled from another range")
    subfile = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE)
    if isinstance(subfile, int) and subfile & 1:
        found.append("a reduced preview of the picture")
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and not any("sRGB".encode(kind) in profile for kind in ("ascii", "utf-16-be")):
        found.append("colour profile not applied")
    elif not profile and abs(image.info.get("gamma", _SRGB_GAMMA) - _SRGB_GAMMA) > 0.01:
        found.append("gamma not applied")
    return found


def _rgb(image: Image.Image, file_format: str, notes: list[str]) -> NDArray[np.uint8]:
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _from_16_bit(image, file_format, notes)
    if image.mode in _ALPHA or "transparency" in image.info:
        notes.append("transparency composited on white")
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, rgba).convert("RGB"))
    if image.mode not in _MODES:
        raise DecodeError(f"samples of kind {image.mode!r} have no agreed range")
    if image.mode in _CONVERTED:
        notes.append(f"converted from {image.mode}")
    return np.asarray(image.convert("RGB"))


def _from_16_bit(image: Image.Image, file_format: str, notes: list[str]) -> NDArray[np.uint8]:
    if image.mode == "I" and file_format not in ("PNG", "PPM"):
        raise DecodeError("32-bit integer samples have no agreed range")
    samples = np.asarray(image).astype(np.int64)
    if samples.min() < 0 or samples.max() > 65535:
        raise DecodeError("samples outside of 16 bits have no agreed range")
    notes.append("16-bit samples scaled to 8")
    grey = ((samples + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is not None:
        notes.append("transparency composited on white")
        grey[samples == transparent] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)
