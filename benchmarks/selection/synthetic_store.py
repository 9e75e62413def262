"""Classes at ImageNet's size without images or networks: features around some directions, in arrays or in a store.

Owns how they are drawn. Must not know what is measured on them. A class is many patches of one image each around
12 directions, so that hdbscan finds clusters as it does on real classes; without directions k-means takes over.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from selector.records import PatchTable
from selector.store.schema import PATCH_SCHEMA
from selector.store.store import Store

_DIRECTIONS = 12


def synthetic_class(patches: int, width: int, seed: int, *, clustered: bool = True) -> PatchTable:
    """One class's patches, class_id `seed`, in no order; features float16 [n, width] at unit length."""
    draw = np.random.default_rng(seed)
    centres = draw.normal(size=(_DIRECTIONS, width)) if clustered else np.zeros((_DIRECTIONS, width))
    spread = draw.uniform(0.3, 1.2, size=patches)[:, None]
    points = centres[draw.integers(_DIRECTIONS, size=patches)] + spread * draw.normal(size=(patches, width))
    features = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)
    ids = np.array([f"{seed:08x}{number:08x}" for number in draw.permutation(patches)], dtype="<U16")
    zeros, full = np.zeros(patches, np.int32), np.full(patches, width, np.int32)
    return PatchTable(
        class_id=np.full(patches, seed, np.int32),
        image_id=ids,
        source=np.array([f"{seed:04d}/{name}.jpeg" for name in ids], object),
        patch_rank=zeros,
        top=zeros,
        left=zeros,
        height=full,
        width=full,
        typicality=draw.normal(0.02, 0.01, patches).astype(np.float32),
        standard_error=np.full(patches, 0.004, np.float32),
        draws=np.full(patches, 12, np.int32),
        features=features,
    )


def write_synthetic_store(folder: Path, classes: int, patches: int, width: int, shard_size: int = 256) -> Store:
    """A store of patches, class after class in shards as `selector score` cuts them; stage I is left out."""
    store = Store.create_or_open(folder, {"synthetic": [classes, patches, width]})
    waiting: list[tuple[pa.Table, NDArray[np.float16]]] = []
    shard = 0
    for number in range(classes):
        table = synthetic_class(patches, width, number)
        waiting.append((_rows(table), np.asarray(table.features)))
        rows, vectors = pa.concat_tables([r for r, _ in waiting]), np.concatenate([v for _, v in waiting])
        last = number == classes - 1
        while len(rows) >= shard_size or (last and len(rows)):
            store.commit_patches(shard, rows.slice(0, shard_size), vectors[:shard_size])
            rows, vectors, shard = rows.slice(shard_size), vectors[shard_size:], shard + 1
        waiting = [(rows, vectors)]
    return store


def _rows(table: PatchTable) -> pa.Table:
    named = {name: getattr(table, name) for name in PATCH_SCHEMA.names if name not in ("status", "reason")}
    texts = {name: named[name].tolist() for name in ("image_id", "source")}
    return pa.table({**named, **texts, "status": ["ok"] * len(table), "reason": [""] * len(table)}).select(
        PATCH_SCHEMA.names
    )
