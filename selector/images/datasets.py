"""Data sets on disk: a folder of class folders, or a tar of one, listed in a fixed order.

Owns the listing. Must not know pictures, servers or stores. Nothing is left out in silence: what is not
listed as an item stands in `Listing.skipped` with its reason.
"""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from selector.errors import UsageError
from selector.images.class_names import match_classes, read_class_names
from selector.images.readers import Reader, image_id, member_source, open_reader, opened_tar, readable_by_offset

__all__ = [
    "Item",
    "Listing",
    "Reader",
    "Skipped",
    "image_id",
    "list_items",
    "match_classes",
    "open_reader",
    "read_class_names",
]


_LOOP = "a link to a folder that is listed already, or holds the data (a loop)"


@dataclass(frozen=True)
class Item:
    """A file to be scored: `source` is its path relative to the data (posix), `folder` the class folder.

    broken: a link to nothing, for now.
    """

    source: str
    folder: str
    broken: bool = False


@dataclass(frozen=True)
class Skipped:
    """Something that is no item and why; bytes of `source` that are no text show as escapes."""

    source: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """All items sorted by source, all class folders sorted (empty ones too), and what was passed over."""

    items: tuple[Item, ...]
    folders: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()


def list_items(root: Path) -> Listing:
    """Lists a folder of class folders, or an uncompressed tar of them; raises UsageError if it is neither.

    Class folders may be nested; the topmost name is the class. Hidden names, files outside class folders,
    names that are not text, whatever is no regular file, and links to a folder that is already listed (loops)
    are skipped. Broken links are items: they fail when read.
    """
    if root.is_dir():
        walk = _Walk(root)
        walk.run()
    elif root.is_file():
        walk = _Walk(root)
        with opened_tar(root) as tar:
            for member in tar:
                walk.take_member(member)
    else:
        raise UsageError(f"{root} is neither a folder nor a tar file of class folders")
    if not walk.folders:
        raise UsageError(f"{root} holds no class folders: expected one folder of images for every class")
    return Listing(
        tuple(walk.items[source] for source in sorted(walk.items)),
        tuple(sorted(walk.folders)),
        tuple(sorted(walk.skipped, key=lambda s: (s.source, s.reason))),
    )


@dataclass
class _Walk:
    """One listing in the making."""

    root: Path
    items: dict[str, Item] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)

    def skip(self, source: str, reason: str) -> None:
        self.skipped.append(Skipped(source.encode(errors="backslashreplace").decode(), reason))

    def run(self) -> None:
        above = {_identity(folder) for folder in (self.root.resolve(), *self.root.resolve().parents)}
        for name, path in self._entries(self.root, ""):
            if path.is_dir() and _identity(path) not in above:
                self.folders.add(name)
                self._walk_folder(path, name, name, set(above))
            else:
                self.skip(name, _LOOP if path.is_dir() else "not inside a class folder")

    def _walk_folder(self, folder: Path, source: str, class_folder: str, seen: set[tuple[int, int]]) -> None:
        """`seen`: folders listed for this class, and those that hold the data: entering one is a loop."""
        if _identity(folder) in seen:
            self.skip(source, _LOOP)
            return
        seen.add(_identity(folder))
        for inner, path in self._entries(folder, f"{source}/"):
            broken = False
            try:
                mode = path.stat().st_mode
            except OSError:  # a link to nothing or to itself: reading it will say so
                mode, broken = stat.S_IFREG, True
            if stat.S_ISDIR(mode):
                self._walk_folder(path, inner, class_folder, seen)
            elif stat.S_ISREG(mode):
                self.items[inner] = Item(inner, class_folder, broken)
            else:
                self.skip(inner, "not a regular file")

    def _entries(self, folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
        """Names to look at, sorted, as (source, path)."""
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError as error:
            raise UsageError(f"the folder {folder} can't be listed: {error.strerror or error}") from error
        for name in names:
            if self._named_well(prefix + name, name):
                yield prefix + name, folder / name

    def _named_well(self, source: str, *names: str) -> bool:
        if any(name.startswith(".") for name in names):
            self.skip(source, "hidden")
        elif not _is_text(source):
            self.skip(source, "the name is not valid UTF-8: rename it")
        else:
            return True
        return False

    def take_member(self, member: tarfile.TarInfo) -> None:
        source = member_source(member)
        parts = PurePosixPath(source).parts
        if not parts or not self._named_well(source, *parts):
            return
        if member.isdir():
            self.folders.add(parts[0])
        elif not readable_by_offset(member):
            self.skip(source, "not a regular file of the tar (a link, a device or sparse)")
        elif len(parts) == 1:
            self.skip(source, "not inside a class folder")
        else:
            self.folders.add(parts[0])
            self.items[source] = Item(source, parts[0])


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
