"""What a store says about a listing: outcomes that add up, the patches to choose from, and what is no longer there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from selector.errors import StoreError
from selector.images.class_names import class_label
from selector.images.datasets import Listing
from selector.records import PatchTable
from selector.store.outcomes import (
    DUPLICATE,
    SCORED,
    Crossing,
    Outcome,
    conversions,
    listing_outcomes,
    named,
    outcomes_of,
    unread_outcomes,
)
from selector.store.store import Store


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
    unread: source → why it could not be read. image_ids: source → image_id of every scored file.
    """

    store: Path
    fingerprint: dict[str, Any]
    class_names: dict[int, str]
    counts: dict[str, int]
    unet_rows: int
    conversions: dict[str, int]
    outcomes: tuple[Outcome, ...]
    crossings: tuple[Crossing, ...]
    folders: dict[str, str]
    patches: PatchTable
    image_ids: dict[str, str]
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
    listed = {item.source for item in listing.items}
    away = {item.source for item in listing.items if item.broken}
    columns = ["source", "image_id", "class_id", "status", "reason", "draws"]
    rows = {row["source"]: row for row in store.image_records(columns)}
    described = store.described()
    complete = {s for s, row in rows.items() if row["status"] != "ok" or (s, row["image_id"]) in described}
    known = sorted((listed & complete) - away)
    if not known and not away & complete:
        raise StoreError(f"{path} holds no scores of these {len(listed)} files: run `selector score` first")
    outcomes, crossings = outcomes_of([rows[source] for source in known], described, across)
    stands = {one.source: rows[one.source]["image_id"] for one in outcomes if one.status == SCORED}
    table = store.read_patches()
    pairs = zip(table.source, table.image_id, strict=True)
    patches = table.take(np.fromiter((stands.get(source) == id_ for source, id_ in pairs), bool, len(table)))
    unread = {source: reason for source, reason in (unread or {}).items() if source not in complete}
    known_folders = store.read_data_root().folders
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    mark = store.read_fingerprint()
    return StoreView(
        store=path,
        fingerprint=mark,
        class_names={
            c: mark["classes"][c] for c in sorted({known_folders[f] for f in listing.folders if f in known_folders})
        },
        counts={
            "seen": len(known),
            "scored": len(stands),
            "filtered": len(outcomes) - failed - len(stands),
            "failed": failed,
            "duplicates": sum(outcome.reason.startswith(DUPLICATE) for outcome in outcomes),
            "across_classes": len(crossings),
            "skipped": len(listing.skipped),
            "passed_over": len(listing.passed_over),
            "gone": len(set(rows) - listed) + len(away & complete),
            "unscored": len(listed - complete),
            "unread": len(unread),
            "patches": len(patches),
        },
        unet_rows=2 * sum(row["draws"] for row in rows.values()),
        conversions=conversions(outcomes),
        outcomes=(*outcomes, *unread_outcomes(unread, away & complete), *listing_outcomes(listing)),
        crossings=tuple(crossings),
        folders={folder: mark["classes"][class_id] for folder, class_id in known_folders.items()},
        patches=patches,
        image_ids=stands,
        unread=unread,
    )
