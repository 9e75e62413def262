"""How large scored images are."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from selector.store.commits import read_rows
from selector.store.store import Store


def image_sizes(store: Store, sources: Collection[str]) -> dict[str, tuple[int, int]]:
    """source → (height, width) in pixels, after EXIF rotation, of these images as far as they were scored."""
    read = partial(read_rows, store.path / "images", columns=["source", "height", "width"])
    # One shard after another: threads wait for one another here, and took longer.
    tables = [read(f"{shard:05d}").replace_schema_metadata(None) for shard in sorted(store.image_shards())]
    if not tables:
        return {}
    rows = pa.concat_tables(tables)
    columns = rows.filter(pc.is_in(rows["source"], pa.array(sorted(set(sources)), pa.string()))).to_pydict()
    sizes = zip(columns["height"], columns["width"], strict=True)
    return dict(zip(columns["source"], sizes, strict=True))  # a later shard stands for an earlier one
