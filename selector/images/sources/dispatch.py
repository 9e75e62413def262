"""In which form data lie, by what is there."""

from __future__ import annotations

import os
from pathlib import Path

from selector.errors import UsageError
from selector.images.exclusion import Exclusion
from selector.images.labels import Labels
from selector.images.locations import Data, Location, reached
from selector.images.recognition import IMAGE_SUFFIXES, suffix_of
from selector.images.sources.class_folders import ArchiveSource, FolderSource
from selector.images.sources.containers import ContainerSource, of_folder
from selector.images.sources.files import KINDS, PARQUET, Files, of_pattern, of_url
from selector.images.sources.kinds import compressed, kind_of
from selector.images.sources.lists import LISTS, ListSource, found_list
from selector.images.sources.source import Found, Source
from selector.images.sources.trees import FolderTree
from selector.images.sources.walk import Walk


def source_of(root: Data, exclusion: Exclusion, labels: Labels) -> Source:
    """The form in which the data lie; raises OSError, and UsageError if it is none that is known."""
    if labels.list_file is not None:
        if not isinstance(root, Path) or not root.is_dir():
            raise UsageError(f"--list names files of a folder, and {root} is none")
        return ListSource(root, labels.list_file, labels, exclusion)
    if isinstance(root, Location):
        return _of_location(root, exclusion, labels)
    if not root.exists():
        raise UsageError(f"{root} is neither a folder nor a file of images: a tar, a zip archive or a Parquet file")
    if root.is_dir():
        return _of_folder(root, exclusion, labels)
    kind = kind_of(str(root))
    if kind == PARQUET:
        return ContainerSource(root, Files(PARQUET, {root.name: str(root.absolute())}), exclusion, labels)
    return ArchiveSource(root, kind, exclusion, labels)


def _of_location(root: Location, exclusion: Exclusion, labels: Labels) -> Source:
    if not root.is_remote:
        return ContainerSource(root, of_pattern(root), exclusion, labels)
    container = str(root)
    if root.is_pattern or not (suffix_of(container) in (*KINDS, "zip") or compressed(container)):
        return ContainerSource(root, of_url(root), exclusion, labels)
    kind = kind_of(reached(root, container))
    if kind == PARQUET:
        name = container.rpartition("/")[2]
        return ContainerSource(root, Files(PARQUET, {name: container}), exclusion, labels)
    return ArchiveSource(root, kind, exclusion, labels)


def _of_folder(root: Path, exclusion: Exclusion, labels: Labels) -> Source:
    """Class folders come first; only a folder without any may be one of shards, of Parquet files, or of a list."""
    names = sorted(entry.name for entry in os.scandir(root))
    files = {name for name in names if suffix_of(name) in KINDS or name in LISTS}
    if not files or _has_class_folders(root, exclusion):
        if labels.stated():
            raise UsageError(
                f"{root} is a folder of class folders, which are its labels: leave away --label-key and --image-key"
            )
        return FolderSource(root, exclusion, labels.unlabelled)
    listed = found_list(files, root)
    if labels.unlabelled and (not files - set(LISTS) or any(suffix_of(name) in IMAGE_SUFFIXES for name in names)):
        return FolderSource(root, exclusion, unlabelled=True)
    if listed is not None and any(suffix_of(name) in IMAGE_SUFFIXES for name in names):
        return ListSource(root, listed, labels, exclusion)
    if files - set(LISTS):
        containers, beside = of_folder(root, names, exclusion)
        return ContainerSource(root, containers, exclusion, labels, beside)
    assert listed is not None, "what is no container here is a list"
    return ListSource(root, listed, labels, exclusion)


def _has_class_folders(root: Path, exclusion: Exclusion) -> bool:
    """Whether a folder in the data holds an image; our own output is none."""

    def walk() -> Walk:
        return Walk(FolderTree(root, {}), exclusion, Found("folder", str(root)))

    return any(walk().run([folder]).sources for folder in walk().look())
