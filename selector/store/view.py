"""What a store says about a listing: outcomes that add up, the patches to choose from, and what is no longer there.

Owns the joining of the two and the rule for exact duplicates (the first path stands for them). Must not know servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from selector.errors import StoreError
from selector.images.datasets import Listing
from selector.records import PatchTable
from selector.store.store import Store


@dataclass(frozen=True)
class Outcome:
    """A file that gave no patch: status "filtered" or "failed", and why."""

    source: str
    status: str
    reason: str


@dataclass(frozen=True)
class StoreView:
    """A store seen through a listing.

    counts: seen = scored + filtered + failed over the listing's files that have a result; duplicates are among the filtered.
    Unscored files have none yet, and unread ones among them could not be read just now. skipped is what the listing passed over,
    gone is what the store has beyond the listing, or behind links that lead nowhere now. unet_rows: UNet evaluations behind all
    scores of the store. conversions: what decoding did to usable files, such as "rotated by EXIF", and to how many.
    class_names: class_id → name of every class folder that the data have now. unread: source → why it could not be read.
    image_ids: source → image_id of every scored file.
    """

    store: Path
    fingerprint: dict[str, Any]
    class_names: dict[int, str]
    counts: dict[str, int]
    unet_rows: int
    conversions: dict[str, int]
    failures: tuple[Outcome, ...]
    patches: PatchTable
    image_ids: dict[str, str]
    unread: Mapping[str, str]

    @cached_property
    def images(self) -> int:
        """Distinct images that can be chosen from."""
        return len(np.unique(self.patches.image_id))


def view_store(path: Path, listing: Listing, unread: Mapping[str, str] | None = None) -> StoreView:
    """Joins a store with a listing; raises StoreError if no file of the listing was ever scored.

    unread: source → why, for files of the listing that could not be read just now.
    """
    store = Store.open(path)
    listed = {item.source for item in listing.items}
    away = {item.source for item in listing.items if item.broken}
    rows = {row["source"]: row for row in store.image_records(["source", "image_id", "status", "reason", "draws"])}
    described = store.described()
    complete = {s for s, row in rows.items() if row["status"] != "ok" or (s, row["image_id"]) in described}
    known = sorted((listed & complete) - away)
    if not known and not away & complete:
        raise StoreError(f"{path} holds no scores of these {len(listed)} files: run `selector score` first")
    outcomes, stands = _outcomes([rows[source] for source in known], described)
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
            "filtered": len(outcomes) - failed,
            "failed": failed,
            "duplicates": sum(outcome.reason.startswith("duplicate of ") for outcome in outcomes),
            "skipped": len(listing.skipped),
            "gone": len(set(rows) - listed) + len(away & complete),
            "unscored": len(listed - complete),
            "unread": len(unread),
            "patches": len(patches),
        },
        unet_rows=2 * sum(row["draws"] for row in rows.values()),
        conversions=_conversions(rows[source]["reason"] for source in sorted(stands)),
        failures=(*outcomes, *(Outcome(s.source, "skipped", s.reason) for s in listing.skipped)),
        patches=patches,
        image_ids=stands,
        unread=unread,
    )


def _conversions(notes: Iterable[str]) -> dict[str, int]:
    """How often decoding did what, of the notes of usable files."""
    found: dict[str, int] = {}
    for note in (part for text in notes for part in text.split("; ") if part):
        found[note] = found.get(note, 0) + 1
    return found


def _outcomes(
    rows: list[dict[str, Any]], described: Mapping[tuple[str, str], str]
) -> tuple[list[Outcome], dict[str, str]]:
    """Files that gave no patch, and source → image_id of those that stand for an image; rows are sorted by source."""
    outcomes, first = [], dict[str, str]()
    for row in rows:
        source = row["source"]
        if row["status"] != "ok":
            outcomes.append(Outcome(source, row["status"], row["reason"]))
        elif reason := described[source, row["image_id"]]:
            outcomes.append(Outcome(source, "failed", reason))
        elif row["image_id"] in first:
            outcomes.append(Outcome(source, "filtered", f"duplicate of {first[row['image_id']]}"))
        else:
            first[row["image_id"]] = source
    return outcomes, {source: identifier for identifier, source in first.items()}
