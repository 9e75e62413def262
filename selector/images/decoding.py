"""Bytes of a picture file → RGB pixels, or a plain reason why not.

Every change that is not a plain reading of the file's samples is in `Decoded.notes`. The rules:
- EXIF orientation is applied, and the rotation that an AVIF or HEIC has in its boxes.
- Animations and multi-page files give their first frame, a HEIC of several pictures its primary one.
- Transparency is composited on white.
- 16-bit samples of grey are scaled to 8 (65535 → 255), never clipped; of colour Pillow keeps the high byte.
- Deeper samples of AVIF and HEIC are reduced to 8 bits by their decoders.
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
from selector.images.boxes import Container, read_container
from selector.images.codecs import HEIC, heif_reader, offered, readable, remedy
from selector.images.recognition import HEAD_BYTES, content_named, picture_kind

MAX_PIXELS = 89_478_485
"""Pictures above this are refused by their header: Pillow's own limit for RGB in 256 MiB."""

DECODER = f"pillow {_pillow}, rules 1"
"""What decoded pixels depend on; part of a store's fingerprint.

A further format is no new rule: what was decoded before keeps its pixels, and a file that failed is no row to be compared.
The version of pillow-heif is not in it either: each HEIC has it in its notes.
"""

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
    kind = picture_kind(head)
    if kind in readable():
        return f"damaged or cut short: the header of this {kind} can't be read"
    named = content_named(head)
    said = [
        f"not a picture of a known format ({', '.join(readable())})",
        named and f"its content is {named}",
        remedy(kind),
    ]
    return ": ".join(filter(None, said))


def _decoded(content: bytes) -> Decoded:
    notes: list[str] = []
    kind = picture_kind(content[:HEAD_BYTES])
    container = _checked_container(content) if kind in ("AVIF", HEIC) and kind in readable() else Container()
    with Image.open(io.BytesIO(content), formats=offered(kind)) as image:
        _check_size(*image.size)
        frames = getattr(image, "n_frames", 1)
        if image.format == "HEIF":
            notes += _of_heic(image, frames)
        elif frames > 1:
            notes.append(f"first of {frames} frames")
            image.seek(0)
        notes += _reductions(image, container)  # first: the EXIF of a PNG is found by loading it
        orientation = image.getexif().get(_ORIENTATION, _TRANSPOSED)
        image.load()
        upright = ImageOps.exif_transpose(image)
        if orientation != _TRANSPOSED and orientation in range(2, 9):
            notes.append("rotated by EXIF")
        pixels = _rgb(upright, image.format or "", notes)
    return Decoded(np.ascontiguousarray(pixels, np.uint8), tuple(notes))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise DecodeError(f"{width} × {height} pixels, more than the limit of {MAX_PIXELS}")


def _checked_container(content: bytes) -> Container:
    container = read_container(content)
    for width, height in container.sizes:
        _check_size(width, height)
    if container.end > len(content):
        raise ValueError(f"its data end {container.end - len(content)} bytes behind the end of the file")
    return container


def _of_heic(image: Image.Image, pictures: int) -> list[str]:
    """Which picture of a HEIC was opened, and by what: its version is no part of DECODER."""
    if not image.info.get("primary"):
        raise ValueError("its primary picture can't be read")
    return [*([f"primary of {pictures} pictures"] if pictures > 1 else []), f"decoded by {heif_reader()}"]


def _reductions(image: Image.Image, container: Container) -> list[str]:
    """What Pillow will do or leave out without a word, by the header of a picture that is not loaded yet."""
    found = []
    tiles = getattr(image, "tile", ())
    args = tiles[0].args if tiles else None
    raw, *more = args if isinstance(args, tuple) and args else (args,)
    if isinstance(raw, str) and ";16" in raw and raw[:3] not in ("BGR", "I;1"):  # BGR;16 is 5, 6 and 5 bits of a BMP
        found.append("16-bit samples cut to 8")
    elif image.format == "PPM" and image.mode in ("L", "RGB") and more and more[0] != 255:
        found.append("16-bit samples scaled to 8" if more[0] == 65535 else "samples scaled from another range")
    elif container.bits > 8:
        found.append(f"{container.bits}-bit samples reduced to 8")
    subfile = getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE)
    if isinstance(subfile, int) and subfile & 1:
        found.append("a reduced preview of the picture")
    profile = image.info.get("icc_profile")
    named = isinstance(profile, bytes) and any("sRGB".encode(kind) in profile for kind in ("ascii", "utf-16-be"))
    if not named if isinstance(profile, bytes) else not container.srgb:
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
    if file_format != "HEIF":  # whose depth is in the notes already
        notes.append("16-bit samples scaled to 8")
    grey = ((samples + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if transparent is not None:
        notes.append("transparency composited on white")
        grey[samples == transparent] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)
