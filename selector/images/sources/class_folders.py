"""Class folders on disk, each a part of its own, and an uncompressed tar of them, which is one part."""

from __future__ import annotations

import time
from pathlib import Path

from selector.images.exclusion import Exclusion
from selector.images.sources.source import Found, stamp_of
from selector.images.sources.trees import FolderTree, TarTree
from selector.images.sources.walk import Walk

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


class TarSource:
    """An uncompressed tar of class folders."""

    def __init__(self, path: Path, exclusion: Exclusion, unlabelled: bool = False) -> None:
        self._path, self._exclusion, self._unlabelled = path, exclusion, unlabelled

    def parts(self) -> list[str]:
        """See Source."""
        return [""]

    def find(self, part: str) -> Found:  # noqa: ARG002  # it has one part
        """See Source."""
        place = str(self._path.absolute())
        stamp = stamp_of(place)  # before it is read
        tree = TarTree(self._path)
        walk = Walk(tree, self._exclusion, Found("tar", place), self._unlabelled)
        found = walk.run(walk.look())
        found.stamps = {place: stamp}
        for source in found.sources:
            offset, size = tree.files[source]
            found.offsets.append(offset)
            found.sizes.append(size)
        if tree.ending:
            found.lose(self._path.name, tree.ending)
        return found
