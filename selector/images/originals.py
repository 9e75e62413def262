"""Pixels of original images, checked against the ids they were scored under.

A file that moved or changed since is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector.errors import SelectorError
from selector.images.canvas import cut
from selector.images.decoding import DecodeError, decode
from selector.images.listing import Listing, rows_in
from selector.images.locations import Data
from selector.images.readers import Containers, ContentError, Place, image_id
from selector.records import Box


class Originals:
    """Decoded originals by source; `expected` maps a source to the image_id it was scored under."""

    def __init__(self, containers: Containers, listing: Listing, expected: Mapping[str, str]) -> None:
        self._containers, self._listing, self._expected = containers, listing, expected
        self.root = listing.root
        self.image = lru_cache(maxsize=4)(self._image)

    def places(self, sources: pa.ChunkedArray) -> list[Place]:
        """Where images lie; raises SelectorError if one is not there any more."""
        rows = rows_in(self._listing.sources, sources)
        if (rows < 0).any():
            self.place(sources[int(np.argmin(rows))].as_py())
        return self._listing.places(rows)

    def place(self, source: str) -> Place:
        """Where an image lies; raises SelectorError if it is not there any more."""
        try:
            return self._listing.place(source)
        except OSError as error:
            raise _gone(self.root, source, error) from None

    def _image(self, source: str) -> NDArray[np.uint8]:
        return read_original(self._containers, self.place(source), self._expected[source], self.root)

    def cut(self, source: str, box: Box) -> NDArray[np.uint8]:
        """The box (pixels of the original) at native resolution, uint8 [height, width, 3]."""
        return cut(self.image(source), box)


def read_original(containers: Containers, place: Place, expected: str, root: Data) -> NDArray[np.uint8]:
    """An original's pixels. expected: the image_id that it was scored under. root: the data, for messages."""
    try:
        content = containers.read(place)
    except OSError as error:
        raise _gone(root, place.source, error) from None
    except ContentError as error:
        raise SelectorError(f"{root / place.source} can't be read any more: {error}") from None
    if image_id(content) != expected:
        raise SelectorError(
            f"{root / place.source} changed since it was scored: put the old file back, or score it again (selector run "
            "--retry-failed)"
        )
    try:
        return decode(content)
    except DecodeError as error:  # as where a package is missing that read it when it was scored
        raise SelectorError(f"{root / place.source} can't be decoded any more: {error}") from None


def _gone(root: Data, source: str, error: OSError) -> SelectorError:
    return SelectorError(
        f"{root / source} can't be read any more ({error.strerror or error}): if the data moved, name its "
        "new place (--data), otherwise run `selector run` again"
    )


@contextmanager
def originals(listing: Listing, expected: Mapping[str, str]) -> Iterator[Originals]:
    """Opens the data for as long as crops are made; raises SelectorError if they are not there."""
    root = listing.root
    if not root.exists():
        raise SelectorError(f"the images were scored at {root}, which is gone: name their new place (--data)")
    with Containers() as containers:
        yield Originals(containers, listing, expected)
