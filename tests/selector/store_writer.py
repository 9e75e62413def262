"""Commits shards without end until it is killed; every row and vector says which shard and version it belongs to.

Run as a program: python store_writer.py STORE. Shards 0 to 5 are deleted and committed again and again, each time with another
version, and others once. Every shard is offered twice, of which the first stands.
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa

from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA
from selector.store.store import Store

ROWS = 40
WIDTH = 300


def image_rows(shard: int, version: int, rows: int = ROWS) -> pa.Table:
    """Rows of IMAGE_SCHEMA that carry their shard (class_id) and version (draws)."""
    windows = {name: [shard] for name in IMAGE_SCHEMA.names if name.startswith("window_")}
    return pa.Table.from_pylist(
        [
            {
                "image_id": f"{shard:08x}{row:08x}",
                "source": f"{shard}/{row}.png",
                "class_id": shard,
                "status": "ok",
                "reason": "",
                "size": 1000,
                "mtime_ns": 1,
                "draws": version,
                "losses_prompt": [float(version)] * 4,
                "losses_reference": [float(row)] * 4,
                "height": 64,
                "width": 64,
                **windows,
                "typicality": [float(row)],
                "standard_error": [0.5],
            }
            for row in range(rows)
        ],
        IMAGE_SCHEMA,
    )


def patch_rows(shard: int, version: int, rows: int = ROWS) -> pa.Table:
    """Rows of PATCH_SCHEMA that carry their shard (class_id) and version (draws)."""
    box = {"top": 1, "left": 2, "height": 28, "width": 28}
    return pa.Table.from_pylist(
        [
            {
                "image_id": f"{shard:08x}{row:08x}",
                "source": f"{shard}/{row}.png",
                "class_id": shard,
                "patch_rank": 0,
                **box,
                "typicality": float(row),
                "standard_error": 0.5,
                "draws": version,
                "status": "ok",
                "reason": "",
            }
            for row in range(rows)
        ],
        PATCH_SCHEMA,
    )


def vectors(
    shard: int, version: int, *shape: int, rows: int = ROWS
) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    """float16 [rows, *shape]; every value is the same function of shard, version and row."""
    values = (shard % 7) * 100 + version % 90 + np.arange(rows) / 64
    return np.broadcast_to(values.reshape(-1, *(1 for _ in shape)), (rows, *shape)).astype(np.float16)


def vectors_file(store: Store, shard: int, folder: str = "patches") -> Path:
    """The file of a commit's vectors."""
    (found,) = (store.path / folder).glob(f"{shard:05d}.*.npy")
    return found


def deleted(store: Store, shard: int) -> None:
    """As a user deletes a damaged shard."""
    for folder in ("images", "patches"):
        (store.path / folder / f"{shard:05d}.parquet").unlink(missing_ok=True)


def write_for_ever(path: Path) -> None:
    """Commits until killed."""
    store = Store.create_or_open(path, {"of": "the writer"})
    fresh = max([5, *store.image_shards()]) + 1
    for version in count(1):
        deleted(store, version % 6)
        for shard in (version % 6, fresh + version):
            store.commit_images(shard, image_rows(shard, version), vectors(shard, version, 16, 16))
            store.commit_patches(shard, patch_rows(shard, version), vectors(shard, version, WIDTH))
            if store.commit_patches(shard, patch_rows(shard, version + 1), vectors(shard, version + 1, WIDTH)):
                raise SystemExit(f"shard {shard} was committed twice")


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))
