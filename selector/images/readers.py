"""Reading the bytes of an item by its place: a file of a folder, or a range of a container.

A place says all that is needed, so that a process that decodes needs no listing.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from selector.errors import SelectorError

MAX_FILE_BYTES = 1 << 28
"""Larger files are refused unread: no image of the decoder's pixel limit needs 256 MiB."""

_OPEN = 32
"""Containers that are held open at a time."""


def image_id(content: bytes) -> str:
    """First 16 hex digits of the BLAKE2b hash of a file's bytes."""
    return hashlib.blake2b(content).hexdigest()[:16]


class ContentError(SelectorError):
    """A file whose bytes can't be had because of what it is; the text is a plain reason, without the file's name."""


class Place(NamedTuple):
    """Where an item's bytes lie. form: a key of FORMS. container: a path or a URL. offset, size: as the form counts them."""

    source: str
    form: str
    container: str
    offset: int = -1
    size: int = -1


class Stamp(NamedTuple):
    """What tells that a file was replaced: its size in bytes, and when it, or the container that holds it, was written."""

    size: int
    mtime_ns: int


class Form(Protocol):
    """One opened container. Safe to use from several threads."""

    def read(self, place: Place) -> bytes:
        """The item's bytes; raises OSError if they can't be had now, ContentError if they never can."""

    def stamp(self, place: Place) -> Stamp:
        """The item's stamp; raises OSError."""

    def close(self) -> None:
        """Gives back what is held open."""


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
        self._file = os.open(container, os.O_RDONLY)

    def read(self, place: Place) -> bytes:
        """See Form."""
        check_size(place.size)
        content = os.pread(self._file, place.size, place.offset)
        if len(content) < place.size:
            raise ContentError(f"the archive ends {place.size - len(content)} bytes too early")
        return content

    def stamp(self, place: Place) -> Stamp:
        """See Form."""
        return Stamp(place.size, os.fstat(self._file).st_mtime_ns)

    def close(self) -> None:
        """See Form."""
        os.close(self._file)


FORMS: Mapping[str, Callable[[str], Form]] = {"folder": FolderForm, "tar": RangeForm}
"""How bytes are read from a container, by the form that a listing's parts have."""


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
            self._open[key] = FORMS[place.form](place.container)
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]


def check_size(size: int) -> None:
    """Raises ContentError for more bytes than an image may have."""
    if size > MAX_FILE_BYTES:
        raise ContentError(f"{size} bytes, more than the limit of {MAX_FILE_BYTES}")
