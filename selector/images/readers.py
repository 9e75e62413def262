"""Reading the bytes of an item by its place: a file of a folder, or a piece of a container."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from selector.images.blobs import opened
from selector.images.places import MAX_FILE_BYTES, ContentError, Form, Place, Stamp, check_size, image_id
from selector.images.zip_members import ZipForm

__all__ = ["FORMS", "MAX_FILE_BYTES", "Containers", "ContentError", "Place", "Stamp", "check_size", "image_id"]

_OPEN = 32
"""Containers that are held open at a time."""


class FolderForm:
    """Files of a folder."""

    def __init__(self, container: str) -> None:
        self._root = Path(container)

    def read(self, place: Place) -> bytes:
        """See Form."""
        with (self._root / place.source).open("rb") as file:
            check_size(os.fstat(file.fileno()).st_size)
            return file.read(MAX_FILE_BYTES)

    def stamp(self, place: Place) -> Stamp:
        """See Form."""
        found = (self._root / place.source).stat()
        return Stamp(found.st_size, found.st_mtime_ns)

    def close(self) -> None:
        """Nothing is held open."""


class RangeForm:
    """Ranges of a file, such as the members of an uncompressed tar."""

    def __init__(self, container: str) -> None:
        self._blob = opened(container)

    def read(self, place: Place) -> bytes:
        """See Form."""
        check_size(place.size)
        content = self._blob.read(place.offset, place.size)
        if len(content) < place.size:
            raise ContentError(f"the archive ends {place.size - len(content)} bytes too early")
        return content

    def stamp(self, place: Place) -> Stamp:
        """See Form."""
        return Stamp(place.size, self._blob.stamp().mtime_ns)

    def close(self) -> None:
        """See Form."""
        self._blob.close()


def _parquet(container: str, column: str) -> Form:
    from selector.images.parquet_rows import ParquetForm  # a decoding process needs pyarrow for nothing else

    return ParquetForm(container, column)


FORMS: Mapping[str, Callable[..., Form]] = {
    "folder": FolderForm,
    "tar": RangeForm,
    "zip": ZipForm,
    "parquet": _parquet,
}
"""How bytes are read from a container, by the form that a listing's parts have; what follows a colon there is an argument."""


class Containers:
    """Reads items of any number of containers, of which the last used are held open; a context manager."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: OrderedDict[tuple[str, str], Form] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives back what is held open."""
        while self._open:
            self._open.popitem()[1].close()

    def read(self, place: Place) -> bytes:
        """The item's bytes; raises OSError if they can't be had now, ContentError if they never can."""
        with self._lock:
            return self._form(place).read(place)

    def stamp(self, place: Place) -> Stamp:
        """The item's stamp; raises OSError."""
        with self._lock:
            return self._form(place).stamp(place)

    def _form(self, place: Place) -> Form:
        key = (place.form, place.container)
        if key not in self._open:
            form, *argument = place.form.split(":", 1)
            self._open[key] = FORMS[form](place.container, *argument)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]
