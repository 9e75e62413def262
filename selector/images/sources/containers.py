"""Tar shards or Parquet files, each a part of its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from selector.errors import UsageError
from selector.images.blobs import opened
from selector.images.exclusion import Exclusion
from selector.images.labels import Labels
from selector.images.locations import Data, reached
from selector.images.recognition import IMAGE_SUFFIXES, suffix_of
from selector.images.sources.class_folders import archive_tree
from selector.images.sources.files import KINDS, SHARDS, Files, kind_of_all, refuse_splits
from selector.images.sources.kinds import compressed
from selector.images.sources.parquet_files import find_rows
from selector.images.sources.samples import find_samples
from selector.images.sources.source import Found, stamp_of
from selector.images.sources.walk import NO_IMAGE, OUTSIDE


class ContainerSource:
    """The containers that a folder, a pattern or a URL stands for. One more part is what lies beside them or is missing."""

    def __init__(
        self, root: Data, files: Files, exclusion: Exclusion, labels: Labels, beside: Found | None = None
    ) -> None:
        """beside: what a folder holds besides."""
        self._root, self._exclusion, self._labels = root, exclusion, labels
        self._kind, self._files, self._beside = files.kind, dict(files.files), beside or Found("tar", str(root))
        for name in files.missing:
            self._beside.lose(name, "no such file, though the pattern names it")
        for name in list(self._files):
            pattern = exclusion.matching(name, name.rpartition("/")[2])
            if pattern:
                self._beside.skip(name, f"excluded by --exclude {pattern}")
                del self._files[name]
        told = [source for source, _ in (*self._beside.skipped, *self._beside.lost)]
        self._beside_name = f"beside: {', '.join(told)}"  # all names, so that another content is another part

    def parts(self) -> list[str]:
        """See Source."""
        return [*([self._beside_name] if self._beside.skipped or self._beside.lost else []), *self._files]

    def find(self, part: str) -> Found:
        """See Source. One of several containers that can't be read is a loss."""
        if part == self._beside_name:
            return self._beside
        container = self._files[part]
        found = Found("tar" if self._kind == SHARDS else "parquet", container)
        try:
            found.stamps[container] = stamp_of(reached(self._root, container))
            self._look_into(part, found)
        except (OSError, UsageError) as error:
            if len(self._files) == 1:
                raise
            if isinstance(error, OSError):
                found.stamps[container] = None
            told = (error.strerror or error) if isinstance(error, OSError) else error
            found.lose(part, f"the file can't be read: {told}")
        return found

    def _look_into(self, part: str, found: Found) -> None:
        place = reached(self._root, found.container)
        if self._kind != SHARDS:
            find_rows(part, place, found, self._exclusion, self._labels)
            return
        with closing(opened(place)) as blob:
            tree = archive_tree(place, "tar", blob, whole=len(self._files) == 1, keep=True)
            find_samples(part, tree, found, self._exclusion, self._labels)


def of_folder(root: Path, names: list[str], exclusion: Exclusion) -> tuple[Files, Found]:
    """The containers among the sorted names in a folder, and what lies beside them.

    Raises UsageError for those of several splits.
    """
    kinds = {name: KINDS[suffix_of(name)] for name in names if suffix_of(name) in KINDS and not name.startswith(".")}
    kind = SHARDS if SHARDS in kinds.values() else kind_of_all(root, kinds)
    files = {name: str(root.absolute() / name) for name, of in kinds.items() if of == kind}
    refuse_splits(root, [name for name in files if not exclusion.matching(name, name)])
    beside = Found("tar", str(root.absolute()))
    for name in names:
        if name in files:
            continue
        pattern = exclusion.matching(name, name)
        if pattern:
            beside.skip(name, f"excluded by --exclude {pattern}")
        elif name.startswith("."):
            beside.skip(name, "hidden")
        elif compressed(name):
            beside.lose(name, f"it {compressed(name)}")
        elif suffix_of(name) in IMAGE_SUFFIXES:
            beside.lose(name, OUTSIDE)
        else:
            beside.skip(name, "a folder beside the files of the data" if (root / name).is_dir() else NO_IMAGE)
    return Files(kind, files), beside
