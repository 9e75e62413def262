"""Class folders on disk, each a part of its own, and an archive of them, which is one part."""

from __future__ import annotations

import time
from pathlib import Path

from selector.errors import UsageError
from selector.images.blobs import Blob, opened
from selector.images.exclusion import Exclusion
from selector.images.labels import Labels
from selector.images.locations import Data, Location, reached
from selector.images.sources import tars, zips
from selector.images.sources.members import MemberTree
from selector.images.sources.samples import find_samples, is_shard
from selector.images.sources.source import Found, stamp_of
from selector.images.sources.trees import FolderTree
from selector.images.sources.walk import Walk
from selector.images.zip_members import read_member

_SETTLED_NS = 2_000_000_000
"""A folder that changed less than this before it was listed may change again without another mtime."""


class FolderSource:
    """A folder of class folders. The part "" is what lies beside them."""

    def __init__(self, root: Path, exclusion: Exclusion, unlabelled: bool = False) -> None:
        self._root, self._exclusion, self._unlabelled = root, exclusion, unlabelled
        self._beside: Found | None = None

    def parts(self) -> list[str]:
        """See Source."""
        walk = self._walk()
        folders = walk.look()
        self._beside = walk.found
        return ["", *folders]

    def find(self, part: str) -> Found:
        """See Source."""
        if not part:
            assert self._beside is not None, "parts() comes first"
            return self._beside
        started, walk = time.time_ns(), self._walk()
        found = walk.run([part])
        for path, stamp in found.stamps.items():
            if stamp is not None and stamp > started - _SETTLED_NS:
                found.stamps[path] = None
        return found

    def _walk(self) -> Walk:
        found = Found("folder", str(self._root.absolute()))
        return Walk(FolderTree(self._root, found.stamps), self._exclusion, found, self._unlabelled)


class ArchiveSource:
    """An uncompressed tar, or a zip archive, of class folders; or a tar that is a WebDataset shard. form: "tar" or "zip"."""

    def __init__(self, root: Data, form: str, exclusion: Exclusion, labels: Labels) -> None:
        self._root, self._form, self._exclusion, self._labels = root, form, exclusion, labels

    def parts(self) -> list[str]:
        """See Source."""
        return [""]

    def find(self, part: str) -> Found:  # noqa: ARG002  # it has one part
        """See Source."""
        container = str(self._root.resolve() if isinstance(self._root, Location) else self._root.absolute())
        name, place = container.rpartition("/")[2], reached(self._root, container)
        stamp, blob = stamp_of(place), opened(place)  # before it is read
        try:
            tree = archive_tree(place, self._form, blob, keep=isinstance(self._root, Location))
            if self._form == "tar" and is_shard(tree, self._labels):
                found = Found("tar", container, stamps={container: stamp})
                find_samples(name, tree, found, self._exclusion, self._labels)
                return found
            if self._labels.stated():
                raise UsageError(
                    f"{self._root} holds class folders, which are its labels: leave away --label-key and --image-key"
                )
            walk = Walk(tree, self._exclusion, Found(self._form, container), self._labels.unlabelled)
            found = walk.run(walk.look())
        finally:
            blob.close()
        found.stamps = {container: stamp}
        for source in found.sources:
            offset, size = tree.index.files[source]
            found.offsets.append(offset)
            found.sizes.append(size)
        if self._form == "zip":
            for source in sorted(tree.index.repeated.keys() & set(found.sources)):
                found.lose(source, "an earlier member of the same name: the last one in the archive counts")
        if tree.index.ending:
            found.lose(name, tree.index.ending)
        return found


def archive_tree(container: str, form: str, blob: Blob, *, whole: bool = True, keep: bool = False) -> MemberTree:
    """What lies in an archive, opened as `blob`; raises OSError or UsageError. whole, keep: as in `tars.read_index`."""
    if form == "zip":
        return MemberTree(container, zips.read_index(container, blob), lambda *place: read_member(blob, *place))

    def read(offset: int, size: int, count: int) -> bytes:
        return blob.read(offset, size if count < 0 else min(size, count))

    return MemberTree(container, tars.read_index(container, whole=whole, keep=keep), read)
