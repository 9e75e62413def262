"""Reading the files of a data set by their source, from a folder or from an uncompressed tar by offset."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self

from selector.errors import SelectorError
from selector.images.tars import read_index

MAX_FILE_BYTES = 1 << 28
"""Larger files are refused unread: no image of the decoder's pixel limit needs 256 MiB."""


def image_id(content: bytes) -> str:
    """First 16 hex digits of the BLAKE2b hash of a file's bytes."""
    return hashlib.blake2b(content).hexdigest()[:16]


class ContentError(SelectorError):
    """A file whose bytes can't be had because of what it is; the text is a plain reason, without the file's name."""


class Stamp(NamedTuple):
    """What tells that a file was replaced: its size in bytes, and when it, or the tar that holds it, was written."""

    size: int
    mtime_ns: int


class Reader(Protocol):
    """Reads items by source; a context manager. Safe to use from several threads."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def read(self, source: str) -> bytes:
        """The file's bytes; raises OSError if they can't be had now, ContentError if they never can."""

    def stamp(self, source: str) -> Stamp:
        """The file's stamp; raises OSError."""


def open_reader(root: Path) -> Reader:
    """A reader for what `list_items` lists of the same root; raises UsageError."""
    return FolderReader(root) if root.is_dir() else TarReader(root)


class FolderReader:
    """Reads the files of a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def read(self, source: str) -> bytes:
        """See Reader."""
        path = self._root / source
        with path.open("rb") as file:
            _check_size(os.fstat(file.fileno()).st_size)
            return file.read(MAX_FILE_BYTES)

    def stamp(self, source: str) -> Stamp:
        """See Reader."""
        found = (self._root / source).stat()
        return Stamp(found.st_size, found.st_mtime_ns)


class TarReader:
    """Reads the members of an uncompressed tar by their offset; the index is made on construction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._index = read_index(path).files

    def __enter__(self) -> Self:
        self._file = self._path.open("rb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def read(self, source: str) -> bytes:
        """See Reader."""
        if self._file is None:
            raise ValueError("the reader is not open: use it in a with statement")
        offset, size = self._member(source)
        _check_size(size)
        with self._lock:
            self._file.seek(offset)
            content = self._file.read(size)
        if len(content) < size:
            raise ContentError(f"the tar ends {size - len(content)} bytes too early")
        return content

    def stamp(self, source: str) -> Stamp:
        """See Reader."""
        return Stamp(self._member(source)[1], self._path.stat().st_mtime_ns)

    def _member(self, source: str) -> tuple[int, int]:
        if source not in self._index:
            raise FileNotFoundError(errno.ENOENT, "No such member of the tar", source)
        return self._index[source]


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ContentError(f"{size} bytes, more than the limit of {MAX_FILE_BYTES}")
