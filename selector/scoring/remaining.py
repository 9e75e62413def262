"""What is left to score: files without a lasting result, and scored images without features."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.images.listing import Listing, rows_in
from selector.images.readers import Containers, ContentError, Place, image_id
from selector.store.store import Store

_BATCH = 4096  # files that are looked at before the next are named


def settled(store: Store, listing: Listing, *, retry_failed: bool) -> NDArray[np.bool_]:
    """bool, by row of the listing: what needs no scoring, which is everything that the store has a row of, but for failed and
    filtered files that changed since.

    retry_failed: leave out all failed and filtered files, and those scored ones whose content is another now.
    """
    images = store.images("source", "image_id", "status", "size", "mtime_ns")
    row_of = rows_in(images["source"], listing.sources)
    done = row_of >= 0
    described = store.described(images)
    bad = pc.or_(pc.not_equal(images["status"], "ok"), _failed(described))
    in_doubt = np.ones(len(images), np.bool_) if retry_failed else np.asarray(bad.to_numpy())
    doubtful = np.flatnonzero(done)[in_doubt[row_of[done]]]
    with Containers() as containers:
        for start in range(0, len(doubtful), _BATCH):
            rows = doubtful[start : start + _BATCH]
            records = images.take(pa.array(row_of[rows])).to_pylist()
            for row, record, place in zip(rows.tolist(), records, listing.places(rows), strict=True):
                done[row] = not _stale(containers, place, record, retry_failed)
    return done


def failed_features(store: Store) -> pa.Array:
    """The source of every image whose features failed."""
    images = store.images("source", "image_id", "status")
    return images["source"].filter(_failed(store.described(images))).combine_chunks()


def _failed(described: pa.Array) -> pa.Array:
    return pc.not_equal(described, "").fill_null(False)


def _stale(containers: Containers, place: Place, row: dict[str, Any], retry_failed: bool) -> bool:
    with suppress(OSError):  # away now: what the store says of it holds until it is there again
        if row["status"] != "ok" and retry_failed:
            return True
        if containers.stamp(place) == (row["size"], row["mtime_ns"]):
            return False
        if row["status"] != "ok":
            return True
        try:
            return bool(image_id(containers.read(place)) != row["image_id"])
        except ContentError:  # the file that was scored is another now
            return True
    return False
