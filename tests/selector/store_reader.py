"""Everything that stage I of a store holds, read commit by commit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from selector.store.commits import read_commit
from selector.store.schema import IMAGE_SCHEMA, conforming
from selector.store.store import Store
from selector.store.summary import stem


def read_images(store: Store) -> tuple[pa.Table, list[np.ndarray]]:
    """All rows (IMAGE_SCHEMA and int32 shard) sorted by shard, and their maps."""
    tables, maps = [IMAGE_SCHEMA.empty_table().append_column("shard", pa.array([], pa.int32()))], []
    for shard in sorted(store.image_shards()):
        rows, vectors = read_commit(store.path / "images", stem(shard))
        rows = conforming(rows, IMAGE_SCHEMA)
        tables.append(rows.append_column("shard", pa.array(np.full(len(rows), shard, np.int32))))
        maps += list(vectors)
    return pa.concat_tables(tables), maps
