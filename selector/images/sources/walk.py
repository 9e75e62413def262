"""A tree of class folders: what is an image in it, what is none and why, and what looks like one and can't be taken."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

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
from selector.images.sources.source import Found, is_text
from selector.images.sources.trees import Entry, Tree

NO_IMAGE = "not an image by its name and content"
ARCHIVE = "an archive, which is not looked into: unpack it if it holds images"
OWN = "our own output"
OUTSIDE = "an image outside of the class folders"
_LOOP = "a link to a folder that is listed already, or holds the data (a loop)"
_NAME = "the name is not valid UTF-8: rename it"


class Walk:
    """One part of a listing in the making; `found` is what it has so far."""

    def __init__(self, tree: Tree, exclusion: Exclusion, found: Found, unlabelled: bool = False) -> None:
        """unlabelled: folders are no classes, the class folder of all is ""."""
        self._tree, self._exclusion, self._unlabelled = tree, exclusion, unlabelled
        self.found = found
        self._waiting: list[str] = []

    def look(self) -> list[str]:
        """Lists what lies directly in the data; returns the folders there that are to be walked, sorted."""
        self._scan("", self._tree.entries(""))
        folders, self._waiting = self._waiting[::-1], []
        return folders

    def run(self, folders: Sequence[str]) -> Found:
        """Folder by folder in sorted order, without recursion: they may be nested deeper than Python's stack."""
        above, seen = self._tree.above(), set[tuple[str, Hashable]]()
        self._waiting = list(folders[::-1])
        while self._waiting:
            place = self._waiting.pop()
            top = place.partition("/")[0]
            try:
                identity = self._tree.identity(place)
                if identity in above or (top, identity) in seen:  # seen in this class: others may link to it as well
                    self.found.skip(place, _LOOP)
                    continue
                seen.add((top, identity))
                self.found.classes.add(self._class(top))
                entries = self._tree.entries(place)
            except OSError as error:
                self.found.classes.add(self._class(top))
                self.found.lose(place, f"the folder can't be listed: {error.strerror or error}")
                self.found.stamps[self._tree.path(place)] = None
            else:
                self._scan(place, entries)
        return self.found

    def _scan(self, place: str, entries: Sequence[Entry]) -> None:
        prefix = f"{place}/" if place else ""
        ours = own_output(
            [entry.name for entry in entries], lambda name: self._tree.read(prefix + name), root=not place
        )
        if ours:
            self.found.skip(place or ".", f"{OWN} ({ours.what})")
            self.found.output.add(place.partition("/")[0])
        folders = []
        for entry in entries:
            source = prefix + entry.name
            if (ours and ours.holds(entry.name)) or self._left_out(source, entry.name):
                continue
            if not entry.is_folder:
                self._file(source, entry, place.partition("/")[0])
            elif is_system_folder(entry.name):
                self.found.skip(source, "a folder of the system")
            elif not is_text(entry.name):
                self.found.lose(source, _NAME)
            else:
                folders.append(source)
        self._waiting += reversed(folders)

    def _left_out(self, source: str, name: str) -> bool:
        pattern = self._exclusion.matching(source, name)
        if pattern:
            self.found.skip(source, f"excluded by --exclude {pattern}")
        elif name == "..":
            self.found.lose(source, "its path has .. in it: pack the data with plain paths")
        elif name.startswith("."):
            self.found.skip(source, "hidden")
        else:
            return False
        return True

    def _file(self, source: str, entry: Entry, top: str) -> None:
        reason = "" if suffix_of(entry.name) in IMAGE_SUFFIXES else self._no_image(source, entry)
        if reason:
            inside = top or self._unlabelled or reason.startswith(OWN)
            self.found.skip(source, reason if inside else "not inside a class folder")
        elif entry.problem:
            self.found.lose(source, entry.problem)
        elif not is_text(source):
            self.found.lose(source, _NAME)
        elif not top and not self._unlabelled:
            self.found.lose(source, OUTSIDE)
        else:
            self.found.sources.append(source)
            self.found.classes.add(self._class(top))
            self.found.folders.append(self._class(top))
            if entry.broken:
                self.found.broken.append(source)

    def _class(self, top: str) -> str:
        return "" if self._unlabelled else top

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
