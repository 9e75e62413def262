"""What a store says about a listing: outcomes that add up, the patches to choose from, and what is no longer there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from selector.errors import StoreError
from selector.images.class_names import class_label
from selector.images.listing import Listing, joined, row_in, rows_in
from selector.records import PatchTable
from selector.store.fingerprint import is_unlabelled
from selector.store.joining import OF_PATCHES, why_undescribed
from selector.store.outcomes import (
    DUPLICATE,
    FAILED,
    Crossing,
    Outcome,
    Outcomes,
    conversions,
    listing_outcomes,
    named,
    outcomes_of,
    unread_outcomes,
)
from selector.store.schema import ArrowTexts
from selector.store.store import Store

_COLUMNS = (
    *("source", "image_id", "class_id", "status", "reason", "draws", "assigned_unet_rows"),
    *("height", "width", "shard", "row"),
)


class ScoredImages(Mapping[str, str]):
    """source → image_id, and further facts of images, looked up in columns."""

    def __init__(self, rows: pa.Table) -> None:
        """rows: source, image_id, height, width, shard and row, sorted by source."""
        self._source, self._id = joined(rows["source"]), joined(rows["image_id"])
        self._rows = rows.select(["source", "height", "width", "shard", "row"])

    def rows(self, sources: Iterable[str]) -> pa.Table:
        """Of each source its height and width, in pixels after EXIF rotation, and the shard and the row in it where it was
        committed; raises KeyError for one that gave no patch."""
        wanted = pa.array(list(sources), pa.string())
        rows = rows_in(self._source, wanted)
        if (rows < 0).any():
            raise KeyError(wanted[int(np.argmin(rows))].as_py())
        return self._rows.take(pa.array(rows))

    def __getitem__(self, source: str) -> str:
        row = row_in(self._source, source)
        if row < 0:
            raise KeyError(source)
        return str(self._id[row].as_py())

    def __iter__(self) -> Iterator[str]:
        return iter(self._source.to_pylist())

    def __len__(self) -> int:
        return len(self._source)


@dataclass(frozen=True)
class StoreView:
    """A store seen through a listing.

    counts: seen = scored + filtered + failed over the listing's files that have a result; duplicates are among the filtered.
    Unscored files have none yet, and unread ones among them could not be read just now. skipped is what the listing passed over,
    gone is what the store has beyond the listing, or behind links that lead nowhere now. unet_rows: UNet evaluations behind all
    scores of the store. conversions: what decoding did to usable files, such as "rotated by EXIF", and to how many.
    passed_over are the losses of the listing, across_classes the contents that lie under several classes. outcomes: of every file
    of the listing but unscored ones that nobody tried to read, and of all that the listing did not take. folders: class folder
    → class name, of all that the store knows of.
    class_names: class_id → id (its name, where it has none) of every class folder that the data have now: no two are equal.
    Without labels: of every class that an image can be chosen of.
    unread: source → why it could not be read. scored: every file that gave patches.
    """

    store: Path
    fingerprint: dict[str, Any]
    class_names: dict[int, str]
    counts: dict[str, int]
    unet_rows: int
    conversions: dict[str, int]
    outcomes: Outcomes
    crossings: tuple[Crossing, ...]
    folders: dict[str, str]
    patches: PatchTable
    scored: ScoredImages
    unread: Mapping[str, str]

    @cached_property
    def images(self) -> int:
        """Distinct images that can be chosen from."""
        return len(np.unique(self.patches.image_id))

    @cached_property
    def failures(self) -> tuple[Outcome, ...]:
        """What gave no patch, for people to read."""
        return named(self.outcomes)

    @property
    def names(self) -> dict[int, str]:
        """class_id → name, which two classes with ids of their own may share."""
        return {
            number: (self.fingerprint.get("class_names") or self.fingerprint["classes"])[number]
            for number in self.class_names
        }

    @property
    def titles(self) -> dict[int, str]:
        """class_id → the class as a reader sees it: its id, and its name where it has another."""
        names = self.names
        return {number: class_label(id_, names[number]) for number, id_ in self.class_names.items()}


def view_store(
    path: Path, listing: Listing, unread: Mapping[str, str] | None = None, across: str = "first"
) -> StoreView:
    """Joins a store with a listing; raises StoreError if no file of the listing was ever scored.

    unread: source → why, for files of the listing that could not be read just now. across: one of ACROSS_CLASSES, for the same
    bytes under several classes; "error" raises UsageError.
    """
    store = Store.open(path)
    data, mark = store.read_data_root(), store.read_fingerprint()
    patches = store.patches()
    images = store.images(*_COLUMNS)
    described, owner = why_undescribed(images, patches.rows(*OF_PATCHES))
    complete = np.asarray(pc.or_(pc.not_equal(images["status"], "ok"), pc.is_valid(described)).to_numpy())
    place = rows_in(listing.sources, images["source"])
    listed = place >= 0
    broken = listing.column("broken")
    away = np.zeros(len(images), np.bool_)
    away[listed] = broken[place[listed]]
    known = complete & listed & ~away
    if not known.any() and not (complete & away).any():
        raise StoreError(f"{path} holds no scores of these {len(listing)} files: run `selector score` first")
    seen = images if known.all() else images.filter(pa.array(known))
    outcomes, crossings = outcomes_of(seen, described.filter(pa.array(known)), across)
    stands = outcomes.scored()
    chosen = np.zeros(len(images), np.bool_)
    chosen[known] = stands
    kept = np.flatnonzero((owner >= 0) & chosen[owner])
    source, image_id = joined(images["source"]), images["image_id"].take(pa.array(owner, mask=owner < 0))
    table = store.patch_table(patches, kept, ArrowTexts(source, owner[kept]), image_id)
    done = np.zeros(len(listing), np.bool_)
    done[place[complete & listed]] = True
    unread = {source: why for source, why in (unread or {}).items() if not done[row_in(listing.sources, source)]}
    classes = {data.folders[folder] for folder in listing.folders if folder in data.folders}
    if is_unlabelled(mark):
        classes = set(np.unique(np.asarray(seen["class_id"].to_numpy())[stands]).tolist())
    gone = images["source"].filter(pa.array(complete & away)).to_pylist()
    return StoreView(
        store=path,
        fingerprint=mark,
        class_names={class_id: mark["classes"][class_id] for class_id in sorted(classes)},
        counts={
            **_counts_of(outcomes),
            **_counts_left(listing),
            "across_classes": len(crossings),
            "gone": int((~listed).sum()) + len(gone),
            "unscored": len(listing) - int(done.sum()),
            "unread": len(unread),
            "patches": len(table),
        },
        unet_rows=2 * _total(images["draws"]) + _total(images["assigned_unet_rows"]),
        conversions=conversions(outcomes),
        outcomes=outcomes + unread_outcomes(unread, gone) + listing_outcomes(listing),
        crossings=tuple(crossings),
        folders={folder: mark["classes"][class_id] for folder, class_id in data.folders.items()},
        patches=table,
        scored=ScoredImages(seen if stands.all() else seen.filter(pa.array(stands))),
        unread=unread,
    )


def committed_outcomes(store: Store, listings: Sequence[Listing]) -> Outcomes:
    """Of every file that the store accounts for, and of what these listings did not take, without looking at the data."""
    images = store.images("source", "image_id", "class_id", "status", "reason")
    described = store.described(images)
    known = pc.or_(pc.not_equal(images["status"], "ok"), pc.is_valid(described))
    found, _ = outcomes_of(images.filter(known), described.filter(known))
    left = pa.concat_tables([Outcomes.of(()).rows, *(listing_outcomes(listing).rows for listing in listings)])
    left = left.filter(pc.invert(pc.is_in(left["source"], value_set=joined(images["source"]))))
    first = left.append_column("at", pa.array(np.arange(len(left)))).group_by("source").aggregate([("at", "min")])
    return found + Outcomes(left.take(first["at_min"]))


def _counts_of(outcomes: Outcomes) -> dict[str, int]:
    scored, failed = int(outcomes.scored().sum()), _total(pc.equal(outcomes.rows["status"], FAILED))
    return {
        "seen": len(outcomes),
        "scored": scored,
        "filtered": len(outcomes) - failed - scored,
        "failed": failed,
        "duplicates": _total(pc.starts_with(outcomes.rows["reason"], DUPLICATE)),
    }


def _counts_left(listing: Listing) -> dict[str, int]:
    lost = _total(listing.left["lost"])
    return {"skipped": len(listing.left) - lost, "passed_over": lost}


def _total(column: pa.ChunkedArray) -> int:
    """The sum of numbers, or how many are true; 0 of none."""
    return int(pc.sum(column).as_py() or 0)
