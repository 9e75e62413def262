"""Rows of stage I and of stage II of a store, joined by column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.images.listing import joined, rows_in

OF_PATCHES = ("source", "image_id", "status", "reason", "by_source")
"""What is read of patches to say which images they are of."""


def by_class(rows: pa.Table) -> pa.Table:
    """Rows of PATCH_SUMMARY in the order in which a store keeps them."""

    def order(*names: str) -> pa.Array:
        return pc.sort_indices(rows, sort_keys=[(name, "ascending") for name in names])

    again = order("source", "image_id", "patch_rank", "shard")  # what two writers described at once stands once
    one = rows.select(["source", "image_id", "patch_rank"]).take(again).combine_chunks()
    if len(rows) > 1:
        same = [
            pc.equal(joined(one[name]).slice(0, len(rows) - 1), joined(one[name]).slice(1)) for name in one.column_names
        ]
        earlier = np.append(pc.and_(pc.and_(*same[:2]), same[2]).to_numpy(zero_copy_only=False), False)
        if earlier.any():
            rows = rows.take(pa.array(np.sort(again.to_numpy()[~earlier])))
    rows = rows.take(order("class_id", "image_id", "patch_rank", "shard")).combine_chunks()
    place = rows.schema.get_field_index("by_source")
    return rows.set_column(place, rows.schema.field(place), order("source", "shard", "row").cast(pa.int32()))


def why_undescribed(images: pa.Table, patches: pa.Table) -> tuple[pa.Array, NDArray[np.int64]]:
    """See `Store.described`; what was committed last counts. And int64, for every patch the row of `images` that it is of: the
    same source, and the same bytes; -1 if there is none, or the patch failed. patches: all of them, with OF_PATCHES."""
    by_source = patches["by_source"].to_numpy()
    owner = _owners(images, patches["source"], by_source)
    same = pc.equal(images["image_id"].take(pa.array(owner, mask=owner < 0)), patches["image_id"]).fill_null(False)
    owner[~np.asarray(same.to_numpy())] = -1
    written = by_source[owner[by_source] >= 0]
    last = np.full(len(images), -1, np.int64)
    last[owner[written]] = written
    usable = pc.equal(patches["status"], "ok")
    reasons = joined(pc.if_else(usable, "", patches["reason"])).take(pa.array(last, mask=last < 0))
    owner[~np.asarray(usable.to_numpy())] = -1
    return reasons, owner


def _owners(images: pa.Table, sources: pa.ChunkedArray, by_source: NDArray[np.int32]) -> NDArray[np.int64]:
    """int64, for every source its row of `images`, which are sorted by it; -1 for one that is not there.

    Where stage II accounts for just those images that are ok, no table of all sources has to be made in memory.
    """
    ordered = joined(sources.take(pa.array(by_source)))
    first = np.ones(len(ordered), np.bool_)
    first[1:] = pc.not_equal(ordered.slice(1), ordered.slice(0, max(0, len(ordered) - 1))).to_numpy(
        zero_copy_only=False
    )
    distinct = ordered if first.all() else ordered.filter(pa.array(first))
    usable = np.flatnonzero(pc.equal(images["status"], "ok").to_numpy())
    if not joined(images["source"]).take(pa.array(usable)).equals(distinct):
        return rows_in(images["source"], sources)
    owner = np.empty(len(ordered), np.int64)
    owner[by_source] = usable[np.cumsum(first) - 1]
    return owner
