"""What a form of a data set has to say, and what it found in a part of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from selector.images.locations import Data, is_url, reached
from selector.images.remote import remote_stamp


@dataclass
class Found:
    """What one part of a data set holds.

    sources, folders: of every item its source and its class folder. offsets, sizes: as `Place` has them; empty where the source
    alone says where an item lies. broken: sources of links to nothing. classes: class folders, empty ones too. skipped, lost:
    (source, reason) of what is no item, and of what looks like one and can't be taken. stamps, output: as in `Part`.
    """

    form: str
    container: str
    sources: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    lost: list[tuple[str, str]] = field(default_factory=list)
    stamps: dict[str, Any] = field(default_factory=dict)
    output: set[str] = field(default_factory=set)

    def skip(self, source: str, reason: str) -> None:
        """Notes something that is no image by its nature."""
        self.skipped.append((shown(source), reason))

    def lose(self, source: str, reason: str) -> None:
        """Notes something that looks like an image or a class and can't be taken."""
        self.lost.append((shown(source), reason))


class Source(Protocol):
    """A data set in one form, which is listed part by part. All methods raise OSError or UsageError."""

    def parts(self) -> list[str]:
        """The names of all parts, in their order."""

    def find(self, part: str) -> Found:
        """Lists a part."""


def stamp_of(path: str) -> int | list[int]:
    """Of a folder its mtime_ns, of a file or URL its size and mtime_ns: what tells that it changed. Raises OSError."""
    if is_url(path):
        return [*remote_stamp(path)]
    found = Path(path).stat()
    return found.st_mtime_ns if Path(path).is_dir() else [found.st_size, found.st_mtime_ns]


def is_as_it_was(stamps: Mapping[str, Any], root: Data) -> bool:
    """Whether nothing of the data with these stamps changed. None stands for a stamp that says nothing."""
    try:
        return all(stamp is not None and stamp_of(reached(root, path)) == stamp for path, stamp in stamps.items())
    except OSError:
        return False


def shown(source: str) -> str:
    """A source with escapes for bytes that are no text."""
    return source.encode(errors="backslashreplace").decode()


def is_text(name: str) -> bool:
    """Whether a name is valid UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
