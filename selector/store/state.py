"""How far the scoring of a store is: counts, who works on what, speed and time left. JSON values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.folders.files import file_time
from selector.images.listing import Listing, rows_in
from selector.store.claims import claims, writers
from selector.store.kept_listing import read_listing
from selector.store.store import DATA_FILE, Store

_RECENT_S = 300.0


def state(path: Path) -> dict[str, Any]:
    """Of a store, by what is committed now; raises StoreError.

    images: those that are listed and were asked for (--limit-per-class); without a listing, all that have a row.
    left: how many of them have no lasting result, or are scored without features; None without a listing.
    unet_rows_per_second: of the commits of the last five minutes; None where there are not two. eta_s: seconds to the end of
    typicality at that speed.
    """
    store, now = Store.open(path), file_time(path)
    images, listing = store.images("source", "image_id", "status", "draws"), _asked_for(store)
    if listing is not None:
        images = images.take(pa.array(_there(images["source"], listing.sources)))
    described = store.described(images)
    ok = np.asarray(pc.equal(images["status"], "ok").to_numpy())
    accounted = np.asarray(described.is_valid().to_numpy(zero_copy_only=False))
    listed = None if listing is None else len(listing)
    left = None if listed is None else listed - len(images) + int((ok & ~accounted).sum())
    rate = _images_a_second(store, now)
    per_image = 2 * float(np.mean(np.asarray(images["draws"])[ok])) if ok.any() else 0.0
    return {
        "store": str(path),
        "images": {
            "listed": listed,
            "done": len(images),
            "scored": int(ok.sum()),
            "filtered": int(pc.sum(pc.equal(images["status"], "filtered")).as_py() or 0),
            "failed": int(pc.sum(pc.equal(images["status"], "failed")).as_py() or 0),
            "described": int((ok & accounted).sum()),
        },
        "shards": {"images": len(store.image_shards()), "patches": len(store.patch_shards())},
        "left": left,
        "writers": _at_work(path, now),
        "unet_rows_per_second": None if rate is None else round(rate * per_image, 1),
        "eta_s": round((listed - len(images)) / rate, 1) if rate and listed is not None else None,
    }


def _asked_for(store: Store) -> Listing | None:
    listing = read_listing(store.path)
    if listing is None or not (store.path / DATA_FILE).exists():
        return listing
    return listing.limited(store.read_data_root().limit_per_class)


def _there(sources: pa.ChunkedArray, wanted: pa.Array) -> NDArray[np.int64]:
    rows = rows_in(sources, wanted)
    return rows[rows >= 0]


def _at_work(path: Path, now: float) -> list[dict[str, Any]]:
    held = claims(path)
    return [
        {
            "who": str(writer),
            "part": writer.part,
            "for_s": round(max(0.0, now - writer.since), 1),
            "shards": [f"{one.stage} {one.shard}" for one in held if one.writer.id == writer.id],
        }
        for writer in writers(path)
    ]


def _images_a_second(store: Store, now: float) -> float | None:
    """By when shards were committed; None if fewer than two were in the last five minutes. now: by the file system's clock."""
    made = sorted((stamp[1] / 1e9, rows) for stamp, rows in store.image_commits())
    recent = [(when, rows) for when, rows in made if made[-1][0] - when < _RECENT_S]
    if len(recent) < 2 or recent[-1][0] <= recent[0][0] or abs(now - made[-1][0]) > _RECENT_S:
        return None
    return sum(rows for _, rows in recent[1:]) / (recent[-1][0] - recent[0][0])
