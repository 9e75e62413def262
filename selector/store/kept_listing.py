"""The listing that a store keeps, so that later commands need not list the data again: listing.parquet.

It may be absent, damaged or of another version: then the data are listed again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from selector.errors import FileError
from selector.folders.files import file_errors
from selector.images.datasets import list_items
from selector.images.listing import ITEM_SCHEMA, LEFT_SCHEMA, Listing, Part
from selector.images.locations import Data, data_at
from selector.store.commits import write_whole
from selector.store.losses import fresh_lines

LISTING_FILE = "listing.parquet"
_KEY = b"selector.listing"
_VERSION = 1


def listed(store: Path, root: Data, relist: bool, note: Callable[[str], None], **asked: Any) -> Listing:
    """The data as `list_items` lists them, without listing again what a listing kept in the store has; UsageError as there.

    relist: list all. note: takes a line about what changed. asked: further arguments of `list_items`.
    """
    before = None if relist else read_listing(store)
    listing = list_items(root, before=before, **asked)
    for line in fresh_lines(listing, before):
        note(line)
    return listing


def keep_if_fresh(store: Path, listing: Listing) -> None:
    """Keeps a whole listing of which something was listed now. A store that can't be written costs the next command a listing."""
    if listing.fresh:
        with suppress(FileError):
            keep_listing(store, listing)


def read_listing(store: Path) -> Listing | None:
    """The listing kept in the store; None if there is none that can be used."""
    with suppress(OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        with pq.ParquetFile(store / LISTING_FILE) as file:
            table = file.read(use_threads=False)
        stated = json.loads(table.schema.metadata[_KEY])
        if stated["version"] != _VERSION:
            return None
        table, count = table.replace_schema_metadata(None), int(stated["items"])
        parts = tuple(
            Part(**{**part, "output": tuple(part["output"]), "classes": tuple(part["classes"])})
            for part in stated["parts"]
        )
        items = table.slice(0, count).select(ITEM_SCHEMA.names).cast(ITEM_SCHEMA)
        left = table.slice(count).select(LEFT_SCHEMA.names).cast(LEFT_SCHEMA)
        return Listing(data_at(stated["root"]), items, tuple(stated["folders"]), parts, left, (), stated["asked"])
    return None


def keep_listing(store: Path, listing: Listing) -> None:
    """Keeps a whole listing in the store; raises FileError if it can't be written."""
    stated = {
        "version": _VERSION,
        "root": str(listing.root),  # without secrets
        "asked": listing.asked,
        "items": len(listing),
        "folders": listing.folders,
        "parts": [asdict(part) for part in listing.parts],
    }
    both = pa.concat_tables([listing.items, listing.left], promote_options="default")
    table = both.replace_schema_metadata({_KEY: json.dumps(stated).encode()})
    path = store / LISTING_FILE
    with file_errors(path):
        whole = max(1, len(table))  # in one group of rows, so that a column is read in one piece
        write_whole(path, lambda file: pq.write_table(table, file, compression="zstd", row_group_size=whole))
