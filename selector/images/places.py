"""Where the bytes of an item lie, and what a container that gives them has to do.

A place says all that is needed, so that a process that decodes needs no listing.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

from selector.errors import SelectorError

MAX_FILE_BYTES = 1 << 28
"""Larger files are refused unread: no image of the decoder's pixel limit needs 256 MiB."""


def image_id(content: bytes) -> str:
    """First 16 hex digits of the BLAKE2b hash of a file's bytes."""
    return hashlib.blake2b(content).hexdigest()[:16]


class ContentError(SelectorError):
    """A file whose bytes can't be had because of what it is; the text is a plain reason, without the file's name."""


class Place(NamedTuple):
    """Where an item's bytes lie.

    form: a key of `readers.FORMS`, and after a colon what the form needs besides. container: a path or a URL. offset, size: as
    the form counts them.
    """

    source: str
    form: str
    container: str
    offset: int = -1
    size: int = -1


class Stamp(NamedTuple):
    """What tells that a file was replaced: its size in bytes, and when it, or the container that holds it, was written.

    mtime_ns: of a remote container a number made of its ETag or date.
    """

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


def check_size(size: int) -> None:
    """Raises ContentError for more bytes than an image may have."""
    if size > MAX_FILE_BYTES:
        raise ContentError(f"{size} bytes, more than the limit of {MAX_FILE_BYTES}")
