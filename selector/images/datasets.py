"""Data sets on disk: a folder of class folders, or a tar of one, listed in a fixed order.

Nothing is left out in silence: what is not listed as an item stands with its reason in `Listing.skipped`, or in
`Listing.passed_over` if it looks like an image or a class.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from selector.errors import UsageError
from selector.images.exclusion import Exclusion
from selector.images.own_output import OUTCOMES_HEADER, own_output
from selector.images.recognition import (
    ARCHIVE_SUFFIXES,
    HEAD_BYTES,
    IMAGE_SUFFIXES,
    SIDECAR_SUFFIXES,
    is_system_folder,
    picture_kind,
    suffix_of,
)
from selector.images.trees import Entry, FolderTree, TarTree, Tree

NO_IMAGE = "not an image by its name and content"
ARCHIVE = "an archive, which is not looked into: unpack it if it holds images"
OWN = "our own output"
OUTSIDE = "an image outside of the class folders"
_LOOP = "a link to a folder that is listed already, or holds the data (a loop)"
_NAME = "the name is not valid UTF-8: rename it"


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
    """All items sorted by source, all class folders sorted (empty ones too), and what is neither.

    skipped: no images, such as hidden names, sidecar files, system folders, excluded files and our own output.
    passed_over: what looks like an image or a class and can't be taken: a loss.
    """

    items: tuple[Item, ...]
    folders: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    passed_over: tuple[Skipped, ...] = ()


def list_items(root: Path, *, exclude: Sequence[str] = (), own: Collection[Path] = ()) -> Listing:
    """Lists a folder of class folders, or an uncompressed tar of them; raises UsageError if it is neither.

    Class folders may be nested; the topmost name is the class. Whatever has the name or the first bytes of a picture is an
    image; broken links with such a name are items that fail when read. exclude: patterns of what is left out. own: where
    the command itself writes; a top folder that holds no image but such a place is no class.
    """
    if not root.exists():
        raise UsageError(f"{root} is neither a folder nor a tar file of class folders")
    tree = FolderTree(root) if root.is_dir() else TarTree(root)
    walk = _Walk(tree, Exclusion(exclude))
    try:
        walk.run()
    except OSError as error:
        raise UsageError(f"the folder {root} can't be listed: {error.strerror or error}") from error
    if isinstance(tree, TarTree) and tree.ending:
        walk.lose(root.name, tree.ending)
    walk.drop_own(_top_folders(root, own))
    if not walk.folders:
        raise UsageError(_without_classes(root, walk))
    items = sorted(walk.items, key=lambda item: item.source)
    return Listing(tuple(items), tuple(sorted(walk.folders)), _sorted(walk.skipped), _sorted(walk.passed_over))


def _without_classes(root: Path, walk: _Walk) -> str:
    images = sum(lost.reason == OUTSIDE for lost in walk.passed_over)
    archives = [skipped.source for skipped in walk.skipped if suffix_of(skipped.source) in ARCHIVE_SUFFIXES]
    hint = ""
    if images:
        hint = f", but {images} images: if this folder is one class, name the folder above it ({root.resolve().parent})"
    elif archives:
        hint = f", but archives ({archives[0]}): unpack them, one folder for every class"
    return f"{root} holds no class folders{hint}: expected one folder of images for every class"


def _sorted(found: list[Skipped]) -> tuple[Skipped, ...]:
    return tuple(sorted(found, key=lambda s: (s.source, s.reason)))


def _top_folders(root: Path, own: Collection[Path]) -> set[str]:
    """The top folders of the data that own paths lie in."""
    above = root.resolve()
    inside = (path.resolve() for path in own)
    return {path.relative_to(above).parts[0] for path in inside if above in path.parents}


class _Walk:
    """One listing in the making."""

    def __init__(self, tree: Tree, exclusion: Exclusion) -> None:
        self._tree, self._exclusion = tree, exclusion
        self.items: list[Item] = []
        self.folders: set[str] = set()
        self.skipped: list[Skipped] = []
        self.passed_over: list[Skipped] = []
        self.with_output: set[str] = set()  # top folders in which own output lies
        self._waiting: list[str] = []

    def skip(self, source: str, reason: str) -> None:
        self.skipped.append(Skipped(_shown(source), reason))

    def lose(self, source: str, reason: str) -> None:
        self.passed_over.append(Skipped(_shown(source), reason))

    def run(self) -> None:
        """Folder by folder in sorted order, without recursion: they may be nested deeper than Python's stack."""
        above, seen = self._tree.above(), set[tuple[str, Hashable]]()
        self._scan("", self._tree.entries(""))
        while self._waiting:
            place = self._waiting.pop()
            top = place.partition("/")[0]
            try:
                identity = self._tree.identity(place)
                if identity in above or (top, identity) in seen:  # seen in this class: others may link to it as well
                    self.skip(place, _LOOP)
                    continue
                seen.add((top, identity))
                self.folders.add(top)
                entries = self._tree.entries(place)
            except OSError as error:
                self.folders.add(top)
                self.lose(place, f"the folder can't be listed: {error.strerror or error}")
            else:
                self._scan(place, entries)

    def _scan(self, place: str, entries: Sequence[Entry]) -> None:
        prefix = f"{place}/" if place else ""
        ours = own_output(
            [entry.name for entry in entries], lambda name: self._tree.read(prefix + name), root=not place
        )
        if ours:
            self.skip(place or ".", f"{OWN} ({ours.what})")
            self.with_output.add(place.partition("/")[0])
        folders = []
        for entry in entries:
            source = prefix + entry.name
            if (ours and ours.holds(entry.name)) or self._left_out(source, entry.name):
                continue
            if not entry.is_folder:
                self._file(source, entry, place.partition("/")[0])
            elif is_system_folder(entry.name):
                self.skip(source, "a folder of the system")
            elif not _is_text(entry.name):
                self.lose(source, _NAME)
            else:
                folders.append(source)
        self._waiting += reversed(folders)

    def _left_out(self, source: str, name: str) -> bool:
        pattern = self._exclusion.matching(source, name)
        if pattern:
            self.skip(source, f"excluded by --exclude {pattern}")
        elif name == "..":
            self.lose(source, "its path has .. in it: pack the data with plain paths")
        elif name.startswith("."):
            self.skip(source, "hidden")
        else:
            return False
        return True

    def _file(self, source: str, entry: Entry, top: str) -> None:
        reason = "" if suffix_of(entry.name) in IMAGE_SUFFIXES else self._no_image(source, entry)
        if reason:
            self.skip(source, reason if top or reason.startswith(OWN) else "not inside a class folder")
        elif entry.problem:
            self.lose(source, entry.problem)
        elif not _is_text(source):
            self.lose(source, _NAME)
        elif not top:
            self.lose(source, OUTSIDE)
        else:
            self.items.append(Item(source, top, entry.broken))

    def _no_image(self, source: str, entry: Entry) -> str:
        """Why a file without the name of an image is none; "" if its first bytes are an image's, or can't be read."""
        suffix, head = suffix_of(entry.name), b""
        if not entry.problem:
            try:
                head = self._tree.read(source, HEAD_BYTES)
            except OSError:
                return NO_IMAGE if suffix in SIDECAR_SUFFIXES else ""
        if picture_kind(head):
            return ""
        if head.startswith(OUTCOMES_HEADER.encode()):
            return f"{OWN} (the table of outcomes)"
        return ARCHIVE if suffix in ARCHIVE_SUFFIXES else entry.problem or NO_IMAGE

    def drop_own(self, own: set[str]) -> None:
        """Top folders that hold our output and no image are no classes."""
        with_items = {item.folder for item in self.items}
        for top in (self.folders & (self.with_output | own)) - with_items:
            self.folders.remove(top)
            if top not in self.with_output:
                self.skip(top, f"{OWN} (where this command writes)")


def _shown(source: str) -> str:
    return source.encode(errors="backslashreplace").decode()


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
