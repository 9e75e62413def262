"""From a file's bytes to what the server is sent, in worker processes: canvases for stage I, crops for stage II.

A file that can't be used is an outcome with its reason, never an exception. FAILED is for what the file holds, and
lasts as long as the file does; UNREAD is for what lies around it (away, not permitted, an I/O error), and says nothing
about the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from selector.images.canvas import CanvasMap, crop, fit
from selector.images.decoding import DecodeError, decode, decode_with_notes
from selector.images.readers import Containers, ContentError, Place, Stamp, image_id
from selector.records import Box

OK, FILTERED, FAILED, UNREAD = "ok", "filtered", "failed", "unread"


CHANGED = "the file changed while it was being scored"


@dataclass(frozen=True)
class Prepared:
    """One file after decoding: `canvas` is uint8 [S, S, 3] if status is ok, else None.

    reason: why the status is not ok; of a file that is ok, what decoding converted ("rotated by EXIF"), "" if nothing.
    height, width: pixels of the original after EXIF rotation, 0 if unknown. image_id: "" if the file can't be read.
    size, mtime_ns: the file's stamp.
    """

    source: str
    image_id: str
    status: str
    reason: str
    height: int = 0
    width: int = 0
    canvas: NDArray[np.uint8] | None = None
    to_original: CanvasMap | None = None
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True)
class Crops:
    """The crops of one file, uint8 [n, S, S, 3], in the order of the boxes asked for; None with a reason unless status is ok."""

    source: str
    images: NDArray[np.uint8] | None
    status: str = OK
    reason: str = ""


def prepare_images(places: Sequence[Place], resolution: int, mode: str, min_side: int) -> list[Prepared]:
    """Reads, decodes and fits files to resolution × resolution."""
    return [_prepare(place, resolution, mode, min_side) for place in places]


def _prepare(place: Place, resolution: int, mode: str, min_side: int) -> Prepared:
    identifier, stamp, source = "", Stamp(0, 0), place.source
    try:
        stamp = _containers().stamp(place)
        content = _containers().read(place)
        identifier = image_id(content)
        decoded = decode_with_notes(content)
    except (OSError, MemoryError) as error:
        return Prepared(source, "", UNREAD, _unread(error))
    except (ContentError, DecodeError) as error:
        return Prepared(source, identifier, FAILED, str(error), **stamp._asdict())
    height, width = decoded.image.shape[:2]
    if min(height, width) < min_side:
        reason = f"{width}×{height} pixels: the shorter side is below {min_side}"
        return Prepared(source, identifier, FILTERED, reason, height, width, **stamp._asdict())
    canvas, mapping = fit(decoded.image, resolution, mode)
    notes = "; ".join(decoded.notes)
    return Prepared(source, identifier, OK, notes, height, width, canvas, mapping, **stamp._asdict())


def prepare_crops(wanted: Sequence[tuple[Place, str, tuple[Box, ...]]], resolution: int) -> list[Crops]:
    """Cuts boxes (pixels of the original) out of files given as (place, image_id, boxes), fitted to the resolution."""
    return [_crops(place, identifier, boxes, resolution) for place, identifier, boxes in wanted]


def _crops(place: Place, identifier: str, boxes: tuple[Box, ...], resolution: int) -> Crops:
    source = place.source
    try:
        content = _containers().read(place)
        if image_id(content) != identifier:
            return Crops(source, None, UNREAD, CHANGED)
        image = decode(content)
    except (OSError, MemoryError) as error:
        return Crops(source, None, UNREAD, _unread(error))
    except (ContentError, DecodeError) as error:
        return Crops(source, None, FAILED, str(error))
    return Crops(source, np.stack([crop(image, box, resolution) for box in boxes]))


def _unread(error: OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    return f"can't be read: {error.strerror or error}"


@lru_cache(maxsize=1)
def _containers() -> Containers:
    """What this process holds open; it closes with the process."""
    return Containers()
