"""Data sets as people have them, listed in a fixed order, whatever form they lie in.

Nothing is left out in silence: what is not listed as an item stands with its reason in `Listing.skipped`, or in
`Listing.passed_over` if it looks like an image or a class. A listing that is kept is taken again where nothing changed.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from selector.errors import UsageError
from selector.images.blobs import opened
from selector.images.exclusion import Exclusion
from selector.images.labels import Labels
from selector.images.listing import ITEM_SCHEMA, LEFT_SCHEMA, Listing, Part, item_rows, left_rows, sorted_by_source
from selector.images.locations import Data, Location, reached
from selector.images.readers import Containers
from selector.images.recognition import ARCHIVE_SUFFIXES, suffix_of
from selector.images.sources.class_folders import archive_tree
from selector.images.sources.dispatch import source_of
from selector.images.sources.kinds import kind_of
from selector.images.sources.source import Found, Source, is_as_it_was
from selector.images.sources.trees import FolderTree
from selector.images.sources.walk import OUTSIDE, OWN

_NO_LABELS = Labels()
_LOST_SHOWN = 3


def list_items(
    root: Data,
    *,
    exclude: Sequence[str] = (),
    own: Collection[Path] = (),
    before: Listing | None = None,
    labels: Labels = _NO_LABELS,
    unlabelled: bool = False,
) -> Listing:
    """Lists data in any of the forms of `sources`; raises UsageError if they are in none.

    Class folders may be nested; the topmost name is the class. Whatever has the name or the first bytes of a picture is an
    image; broken links with such a name are items that fail when read. exclude: patterns of what is left out. own: where
    the command itself writes; a top folder that holds no image but such a place is no class. before: an earlier listing of the
    same data, whose parts are taken where nothing changed since. labels: how labels are found where no folder says them.
    unlabelled: folders are no classes; images may lie anywhere, and the class folder of all is "".
    """
    exclusion, labels = Exclusion(exclude), replace(labels, unlabelled=unlabelled)
    try:
        source = source_of(root, exclusion, labels)
        stated = {
            "data": str(root.resolve()),
            "exclude": list(exclude),
            "form": type(source).__name__,
            "unlabelled": unlabelled,
        } | labels.stated()
        asked = json.dumps(stated, sort_keys=True)
        known = before if before is not None and before.asked == asked else None
        listing = _listed(root, source, known, asked)
    except OSError as error:
        what = "the folder " if root.is_dir() else ""
        raise UsageError(f"{what}{root} can't be listed: {error.strerror or error}") from error
    listing = _without_own(listing, _top_folders(root, own), unlabelled)
    if not listing.folders and not unlabelled:
        raise UsageError(_without_classes(listing))
    return listing


class Reader:
    """Reads the items of a listing by their source; a context manager. Safe to use from several threads."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._containers = Containers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._containers.close()

    def read(self, source: str) -> bytes:
        """The file's bytes; raises OSError if they can't be had now, ContentError if they never can."""
        return self._containers.read(self._listing.place(source))


def read_beside(root: Data, name: str) -> bytes:
    """A file that lies beside the class folders, such as boxes.csv; raises OSError."""
    if isinstance(root, Path) and root.is_dir():
        return FolderTree(root, {}).read(name)
    container = reached(root, str(root))
    with closing(opened(container)) as blob:
        return archive_tree(container, kind_of(container), blob).read(name)


def _listed(root: Data, source: Source, before: Listing | None, asked: str) -> Listing:
    """The parts of the source: from the listing before where nothing changed, else found now."""
    known = {part.name: number for number, part in enumerate(before.parts)} if before else {}
    parts, kept, found = list[Part](), dict[int, int](), dict[int, Found]()
    for name in source.parts():
        if before is not None and name in known and is_as_it_was(before.parts[known[name]].stamps, root):
            kept[known[name]] = len(parts)
            parts.append(before.parts[known[name]])
            continue
        one = found[len(parts)] = source.find(name)
        parts.append(
            Part(name, one.form, one.container, one.stamps, tuple(sorted(one.output)), tuple(sorted(one.classes)))
        )
    folders = tuple(sorted({folder for part in parts for folder in part.classes}))
    places = {folder: number for number, folder in enumerate(folders)}
    items, left = [ITEM_SCHEMA.empty_table()], [LEFT_SCHEMA.empty_table()]
    if before is not None and kept:
        old_items, old_left = before.of_parts(kept, [places.get(folder, -1) for folder in before.folders])
        if not found:
            return Listing(root, _looked_again(old_items, parts), folders, tuple(parts), old_left, (), asked)
        items.append(_looked_again(old_items, parts))
        left.append(old_left)
    for number, one in found.items():
        items.append(item_rows(one, number, [places[folder] for folder in one.folders]))
        left.append(left_rows(one, number))
    return Listing(
        root,
        sorted_by_source(pa.concat_tables(items)),
        folders,
        tuple(parts),
        sorted_by_source(pa.concat_tables(left), "reason"),
        tuple(parts[number].name for number in found),
        asked,
    )


def _looked_again(items: pa.Table, parts: Sequence[Part]) -> pa.Table:
    """The items, of which those that were links to nothing may lead to something by now, and the other way round."""
    away = np.flatnonzero(items["broken"].to_numpy())
    if not len(away):
        return items
    flags = items["broken"].to_numpy().copy()
    for row in away.tolist():
        folder = parts[items["part"][row].as_py()].container
        flags[row] = not (Path(folder) / items["source"][row].as_py()).exists()
    return items.set_column(items.schema.get_field_index("broken"), "broken", pa.array(flags))


def _without_own(listing: Listing, own: set[str], unlabelled: bool) -> Listing:
    """Top folders that hold our output and no image are no classes."""
    with_output = {top for part in listing.parts for top in part.output}
    if unlabelled:  # what a part holds, since no folder is a class
        counts = dict(zip((part.name for part in listing.parts), listing.counts_of_parts(), strict=True))
        bare = {top for top in own & set(counts) if not counts[top]}
    else:
        counts = listing.counts()
        bare = {top for top in (with_output | own) & set(listing.folders) if not counts[top]}
    if not bare:
        return listing
    kept = tuple(folder for folder in listing.folders if folder not in bare)
    numbers = np.cumsum([0, *(folder not in bare for folder in listing.folders)])[:-1].astype(np.int32)
    place = listing.items.schema.get_field_index("folder")
    items = listing.items.set_column(place, "folder", pa.array(numbers[listing.folder]))
    told = Found("", "")
    for top in sorted(bare - with_output):
        told.skip(top, f"{OWN} (where this command writes)")
    left = sorted_by_source(pa.concat_tables([listing.left, left_rows(told, -1)]), "reason")
    return replace(listing, items=items, folders=kept, left=left)


def _top_folders(root: Data, own: Collection[Path]) -> set[str]:
    """The top folders of the data that own paths lie in."""
    if isinstance(root, Location):
        return set()
    above = root.resolve()
    inside = (path.resolve() for path in own)
    return {path.relative_to(above).parts[0] for path in inside if above in path.parents}


def _without_classes(listing: Listing) -> str:
    root = listing.root
    of_samples = any("#" in one.source for one in listing.passed_over)
    if isinstance(root, Location) or of_samples or any(part.form.startswith("parquet") for part in listing.parts):
        lost = "".join(f"; {one.source}: {one.reason}" for one in listing.passed_over[:_LOST_SHOWN])
        hint = "; if every tar is a class, unpack each into a folder of its name" if of_samples else ""
        return f"{root} holds no image with a label{lost}{hint}"
    images = sum(lost.reason == OUTSIDE for lost in listing.passed_over)
    archives = [skipped.source for skipped in listing.skipped if suffix_of(skipped.source) in ARCHIVE_SUFFIXES]
    hint = ""
    if images:
        hint = (
            f", but {images} images: if this folder is one class, name the folder above it ({root.resolve().parent}); if they "
            "have no labels, selector run --unlabelled chooses classes for them"
        )
    elif archives:
        hint = f", but archives ({archives[0]}): unpack them, one folder for every class"
    return f"{root} holds no class folders{hint}: expected one folder of images for every class"
