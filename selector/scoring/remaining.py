"""What is left to score: files without a lasting result, and scored images without features."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from selector.images.readers import ContentError, Reader, image_id, open_reader
from selector.store.store import Store

_COLUMNS = ["source", "image_id", "status", "size", "mtime_ns"]


def settled(store: Store, root: Path, listed: Collection[str], *, retry_failed: bool) -> set[str]:
    """Sources that need no scoring: everything the store has a row of, but for failed and filtered files that changed since.

    retry_failed: leave out all failed and filtered files, and those scored ones whose content is another now.
    """
    rows = {row["source"]: row for row in store.image_records(_COLUMNS)}
    in_doubt = list(_in_doubt(store, rows, set(listed), retry_failed))
    if not in_doubt:
        return set(rows)
    with open_reader(root) as reader:
        return set(rows) - {row["source"] for row in in_doubt if _stale(reader, row, retry_failed)}


def failed_features(store: Store) -> set[tuple[str, str]]:
    """(source, image_id) of every image whose features failed."""
    return {key for key, reason in store.described().items() if reason}


def _in_doubt(
    store: Store, rows: dict[str, dict[str, Any]], listed: set[str], retry_failed: bool
) -> Iterator[dict[str, Any]]:
    failed = failed_features(store)
    for source, row in rows.items():
        bad = row["status"] != "ok" or (source, row["image_id"]) in failed
        if source in listed and (bad or retry_failed):
            yield row


def _stale(reader: Reader, row: dict[str, Any], retry_failed: bool) -> bool:
    with suppress(OSError):  # away now: what the store says of it holds until it is there again
        if row["status"] != "ok" and retry_failed:
            return True
        if reader.stamp(row["source"]) == (row["size"], row["mtime_ns"]):
            return False
        if row["status"] != "ok":
            return True
        try:
            return bool(image_id(reader.read(row["source"])) != row["image_id"])
        except ContentError:  # the file that was scored is another now
            return True
    return False
