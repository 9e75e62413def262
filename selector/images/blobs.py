"""The bytes of one file, on disk or behind a URL, by offset."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO, Protocol

from selector.images.locations import is_url
from selector.images.places import Stamp
from selector.images.remote import RemoteBlob, RemoteFile

_REMOTE_BUFFER = 1 << 22


class Blob(Protocol):
    """One file, opened. Safe to use from several threads."""

    def read(self, offset: int, size: int) -> bytes:
        """The bytes from the offset on, fewer only at the file's end; raises OSError."""

    def stamp(self) -> Stamp:
        """The whole file's stamp; raises OSError."""

    def close(self) -> None:
        """Gives back what is held open."""


class FileBlob:
    """A file on disk."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDONLY)

    def read(self, offset: int, size: int) -> bytes:
        """See Blob."""
        return os.pread(self._file, size, offset)

    def stamp(self) -> Stamp:
        """See Blob."""
        found = os.fstat(self._file)
        return Stamp(found.st_size, found.st_mtime_ns)

    def close(self) -> None:
        """See Blob."""
        os.close(self._file)


def opened(container: str) -> Blob:
    """The file at a path or a URL; raises OSError."""
    return RemoteBlob(container) if is_url(container) else FileBlob(container)


def as_file(container: str) -> BinaryIO:
    """The file at a path or a URL, to be read from one place after another; raises OSError."""
    return io.BufferedReader(RemoteFile(container), _REMOTE_BUFFER) if is_url(container) else Path(container).open("rb")
