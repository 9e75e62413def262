"""Folders on disk and folders of an archive, looked at in one way: what lies in them, and the first bytes of a file.

A place is a folder's path within its tree, "" for the root.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Entry(NamedTuple):
    """problem: why it can't be read, "" for a folder and for a file that may be tried. broken: a link to nothing, for now."""

    name: str
    is_folder: bool
    problem: str = ""
    broken: bool = False


class Tree(Protocol):
    """A root folder with folders in it. All methods raise OSError."""

    def entries(self, place: str) -> list[Entry]:
        """What lies in the folder, sorted by name."""

    def identity(self, place: str) -> Hashable:
        """Equal for two places that are the same folder."""

    def above(self) -> set[Hashable]:
        """The identities of the root and of the folders that it lies in."""

    def read(self, source: str, count: int = -1) -> bytes:
        """The first bytes of a file, or all of them."""

    def path(self, place: str) -> str:
        """Where the folder lies, for `Part.stamps`."""


class FolderTree:
    """A folder on disk; links are followed. Nothing but the folder itself is read to list it, and links.

    stamps: is given the mtime_ns of every folder that is looked into, as it was before.
    """

    def __init__(self, root: Path, stamps: dict[str, Any]) -> None:
        self._root, self._stamps = root, stamps

    def entries(self, place: str) -> list[Entry]:
        """See Tree."""
        folder = self.path(place)
        self._stamps[folder] = Path(folder).stat().st_mtime_ns
        with os.scandir(folder) as found:
            return [_entry(entry) for entry in sorted(found, key=lambda entry: entry.name)]

    def path(self, place: str) -> str:
        """See Tree."""
        return str((self._root / place).absolute())

    def identity(self, place: str) -> Hashable:
        """See Tree."""
        return _identity(self._root / place)

    def above(self) -> set[Hashable]:
        """The root and all folders that it lies in."""
        root = self._root.resolve()
        return {_identity(folder) for folder in (root, *root.parents)}

    def read(self, source: str, count: int = -1) -> bytes:
        """See Tree."""
        with (self._root / source).open("rb", buffering=0 if count >= 0 else -1) as file:
            return file.read(count)


def _entry(entry: os.DirEntry[str]) -> Entry:
    try:
        if entry.is_dir():
            return Entry(entry.name, True)
        if entry.is_file():
            return Entry(entry.name, False)
        broken = entry.is_symlink() and not Path(entry.path).exists()
    except OSError:  # a link to itself or to what may not be looked at: reading it will say so
        broken = True
    return Entry(entry.name, False, "" if broken else "not a regular file", broken)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
