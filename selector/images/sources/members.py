"""The members of an archive, as a tree of folders that are read in place."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from selector.images.places import ContentError
from selector.images.sources.trees import Entry


class Link(NamedTuple):
    """A link among members. target: as the archive has it. hard: from the root of the archive, else from the link's folder."""

    target: str
    hard: bool = False


@dataclass
class MemberIndex:
    """Members by source. files: (offset, size) as `Place` has them; folders: as members name them.

    unreadable: why a member has no bytes that can be read. repeated: sources of several members, of which the last counts.
    contents: of small members, where they were kept. ending: what is wrong with the end of the archive, "" if nothing.
    """

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    ending: str = ""


class MemberTree:
    """A tree of members; folders that no member stands for are there as well.

    container: the archive's path or URL. read: the first bytes of a member by (offset, size, count), all of them for -1.
    """

    def __init__(self, container: str, index: MemberIndex, read: Callable[[int, int, int], bytes]) -> None:
        self._container, self.index, self._read = container, index, read
        self._folders: dict[str, dict[str, Entry]] = {"": {}}
        for source in index.folders:
            self._folder(source)
        for source in (*index.files, *index.unreadable):
            above, _, name = source.rpartition("/")
            self._folder(above).setdefault(name, Entry(name, False, index.unreadable.get(source, "")))

    def _folder(self, place: str) -> dict[str, Entry]:
        """The entries of a folder, which is made with all above it."""
        missing = []
        while place not in self._folders:
            missing.append(place)
            place = place.rpartition("/")[0]
        for made in reversed(missing):
            above, _, name = made.rpartition("/")
            self._folders[above][name] = Entry(name, True)
            place, self._folders[made] = made, {}
        return self._folders[place]

    def entries(self, place: str) -> list[Entry]:
        """See Tree."""
        return [entry for _, entry in sorted(self._folders[place].items())]

    def identity(self, place: str) -> Hashable:
        """See Tree."""
        return place

    def above(self) -> set[Hashable]:
        """Nothing: an archive lies in no folder of its own."""
        return set()

    def path(self, place: str) -> str:  # noqa: ARG002  # all lie in one file
        """See Tree."""
        return self._container

    def read(self, source: str, count: int = -1) -> bytes:
        """See Tree."""
        if source in self.index.contents and count < 0:
            return self.index.contents[source]
        if source not in self.index.files:
            raise FileNotFoundError(errno.ENOENT, "No such member of the archive", source)
        try:
            return self._read(*self.index.files[source], count)
        except ContentError as error:
            raise OSError(errno.EIO, str(error), source) from None


def source_text(name: str) -> str:
    """A member's path as a source, "" for the root; a leading ./ or / is dropped."""
    source = PurePosixPath(name.lstrip("/")).as_posix()
    return "" if source == "." else source


def resolve_links(index: MemberIndex, links: Mapping[str, Link]) -> None:
    """Puts every link among the files, at the place of the member that it leads to, or among what is unreadable."""
    for source, link in links.items():
        target = _followed(links, source)
        if target in index.files:
            index.files[source] = index.files[target]
        else:
            what = "a link to a folder" if target in index.folders else "a link to what is no file of the archive"
            index.unreadable[source] = (
                f"{what} ({link.target}): pack the files themselves (tar --dereference --hard-dereference, zip without -y)"
            )


def _followed(links: Mapping[str, Link], source: str) -> str:
    """The source at the end of a chain of links; "" if it goes round or leaves the archive."""
    seen = set[str]()
    while source in links:
        if source in seen:
            return ""
        seen.add(source)
        link = links[source]
        if link.hard:
            source = source_text(link.target)
        elif link.target.startswith("/"):
            return ""
        else:
            source = posixpath.normpath(posixpath.join(posixpath.dirname(source), link.target))
    return source
