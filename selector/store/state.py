"""How far the scoring of a store is: counts, who works on what, speed and time left. JSON values."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from selector.store.claims import claims, writers
from selector.store.kept_listing import read_listing
from selector.store.store import Store

_RECENT_S = 300.0


def state(path: Path) -> dict[str, Any]:
    """Of a store, by what is committed now; raises StoreError.

    left: files of the kept listing without a lasting result, or scored without features; None without a listing.
    unet_rows_per_second: of the commits of the last five minutes; None where there are not two. eta_s: seconds to the end of
    typicality at that speed.
    """
    store, listing = Store.open(path), read_listing(path)
    images = store.images("source", "image_id", "status", "draws")
    described = store.described(images)
    ok = np.asarray(pc.equal(images["status"], "ok").to_numpy())
    accounted = np.asarray(described.is_valid().to_numpy(zero_copy_only=False))
    listed = None if listing is None else len(listing)
    left = None if listed is None else max(0, listed - len(images)) + int((ok & ~accounted).sum())
    rate, per_image = _images_a_second(store), 2 * float(np.mean(np.asarray(images["draws"])[ok])) if ok.any() else 0.0
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
        "writers": _at_work(path),
        "unet_rows_per_second": None if rate is None else round(rate * per_image, 1),
        "eta_s": round((listed - len(images)) / rate, 1) if rate and listed is not None else None,
    }


def _at_work(path: Path) -> list[dict[str, Any]]:
    held = claims(path)
    return [
        {
            "who": str(writer),
            "part": writer.part,
            "for_s": round(max(0.0, time.time() - writer.since), 1),
            "shards": [f"{one.stage} {one.shard}" for one in held if one.writer.id == writer.id],
        }
        for writer in writers(path)
    ]


def _images_a_second(store: Store) -> float | None:
    """By when shards were committed, on the file system's clock; None if fewer than two were in the last five minutes."""
    made = sorted((stamp[1] / 1e9, rows) for stamp, rows in store.image_commits())
    recent = [(when, rows) for when, rows in made if made[-1][0] - when < _RECENT_S]
    if len(recent) < 2 or recent[-1][0] <= recent[0][0] or time.time() - made[-1][0] > _RECENT_S:
        return None
    return sum(rows for _, rows in recent[1:]) / (recent[-1][0] - recent[0][0])
