"""All rows of a store's commits in one table, so that a command need not open thousands of files.

A summary lies beside the commits and is brought up to date with those that came or changed since. It holds nothing that
they do not: it may be deleted, and where it can't be written it is made anew by every command.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from selector.errors import StoreError
from selector.store.commits import committed_vectors, read_rows, write_whole
from selector.store.schema import conforming

SUMMARY_FILE = "summary.parquet"
_KEY = b"selector.summary"
_VERSION = 2
_MADE_HERE = ("shard", "row", "by_source")
_COMMIT = re.compile(r"(\d{5,})\.parquet")

_READERS = 4
"""Threads that read the Parquet files of many shards; half of that is spent outside of Python."""

Order = Callable[[pa.Table], pa.Table]
"""Rows of a summary, with their shard and row → those that are kept, in the order in which they are kept."""


@dataclass(frozen=True)
class Commit:
    """One commit of a folder: what tells that it was replaced, its rows, and the width and digest of its vectors."""

    stamp: tuple[int, ...]
    rows: int
    width: int
    digest: str


@dataclass(frozen=True)
class Summary:
    """The rows of all commits of a folder. commits: by shard, ascending. order: as in `summary`.

    at_hand: the rows; None if they lie in the folder, where whoever needs few columns reads few.
    """

    folder: Path
    schema: pa.Schema
    order: Order
    commits: Mapping[int, Commit]
    at_hand: pa.Table | None = None

    def rows(self, *columns: str) -> pa.Table:
        """These columns, all if none is named; raises StoreError for a commit that is damaged."""
        names = list(columns) or self.schema.names
        if self.at_hand is not None:
            return self.at_hand.select(names)
        try:
            with pq.ParquetFile(self.folder / SUMMARY_FILE, page_checksum_verification=True) as file:
                return file.read(names, use_threads=False).replace_schema_metadata(None)
        except (OSError, pa.ArrowException):  # damaged, or gone by now
            return _brought_up_to_date(_nothing(self.folder, self.schema, self.order)).rows(*columns)


def stem(shard: int) -> str:
    """The name of a shard's files, without their suffix."""
    return f"{shard:05d}"


def committed(folder: Path) -> dict[int, tuple[int, ...]]:
    """The shards that are committed in the folder, ascending, with what tells that one was replaced."""
    found = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            match = _COMMIT.fullmatch(entry.name)
            if match:
                seen = entry.stat()
                found[int(match[1])] = (seen.st_size, seen.st_mtime_ns, seen.st_ino)
    return dict(sorted(found.items()))


def summary(folder: Path, schema: pa.Schema, order: Order) -> Summary:
    """The summary of a folder of commits, brought up to date; raises StoreError for a commit that is damaged.

    schema: the columns that it holds. order: is applied to old and new rows together; a row that it drops is dropped for good,
    unless a commit was replaced or deleted.
    """
    return _brought_up_to_date(_read(folder, schema, order))


def _brought_up_to_date(kept: Summary) -> Summary:
    folder, schema, stamps = kept.folder, kept.schema, committed(kept.folder)
    if any(stamps.get(shard) != commit.stamp for shard, commit in kept.commits.items()):
        kept = _nothing(folder, schema, kept.order)
    new = [shard for shard in stamps if shard not in kept.commits]
    if not new:
        return kept
    with ThreadPoolExecutor(_READERS) as pool:
        read = list(pool.map(lambda shard: _commit(folder, shard, stamps[shard], schema), new))
    rows = kept.order(pa.concat_tables([kept.rows(), *(rows for rows, _ in read)])).combine_chunks()
    commits = dict(sorted({**kept.commits, **{shard: one for shard, (_, one) in zip(new, read, strict=True)}}.items()))
    widths = {commit.width for commit in commits.values()}
    if len(widths) > 1:
        raise StoreError(f"{folder} has commits with vectors of {' and of '.join(map(str, sorted(widths)))} numbers")
    _write(folder, rows, commits)
    return Summary(folder, schema, kept.order, commits, rows)


def _nothing(folder: Path, schema: pa.Schema, order: Order) -> Summary:
    return Summary(folder, schema, order, {}, schema.empty_table())


def _commit(folder: Path, shard: int, stamp: tuple[int, ...], schema: pa.Schema) -> tuple[pa.Table, Commit]:
    committed_columns = pa.schema([field for field in schema if field.name not in _MADE_HERE])
    rows = read_rows(folder, stem(shard), committed_columns.names)
    width, digest = committed_vectors(folder, stem(shard), rows)
    rows, numbers = conforming(rows, committed_columns), np.arange(len(rows), dtype=np.int32)
    made = {"shard": np.full(len(rows), shard, np.int32), "row": numbers, "by_source": numbers}
    for name in (name for name in _MADE_HERE if name in schema.names):
        rows = rows.append_column(name, pa.array(made[name]))
    return rows.select(schema.names).cast(schema), Commit(stamp, len(rows), width, digest)


def latest(rows: pa.Table) -> pa.Table:
    """Of several rows of one source the one of the last shard, sorted by source."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("source", "ascending"), ("shard", "ascending")]))
    source = rows["source"].combine_chunks()
    if len(rows) < 2:
        return rows
    last = pc.not_equal(source.slice(0, len(rows) - 1), source.slice(1))
    return rows.filter(pa.concat_arrays([last, pa.array([True])]))


def _read(folder: Path, schema: pa.Schema, order: Order) -> Summary:
    """The summary that lies in the folder; an empty one if none can be used."""
    with suppress(OSError, pa.ArrowException, ValueError, KeyError, TypeError):
        with pq.ParquetFile(folder / SUMMARY_FILE) as file:
            metadata, found = file.schema_arrow.metadata, file.schema_arrow.remove_metadata()
        stated: dict[str, Any] = json.loads(metadata[_KEY])
        if stated["version"] == _VERSION and found.equals(schema):
            commits = {int(shard): Commit(tuple(stamp), *rest) for shard, (stamp, *rest) in stated["commits"].items()}
            return Summary(folder, schema, order, commits)
    return _nothing(folder, schema, order)


def _write(folder: Path, rows: pa.Table, made: Mapping[int, Commit]) -> None:
    commits = {shard: [one.stamp, one.rows, one.width, one.digest] for shard, one in made.items()}
    table = rows.replace_schema_metadata({_KEY: json.dumps({"version": _VERSION, "commits": commits}).encode()})
    whole = max(1, len(table))  # in one group of rows, so that a column is read in one piece
    with suppress(OSError):  # read-only, or full: the next command reads the commits again
        write_whole(
            folder / SUMMARY_FILE,
            lambda file: pq.write_table(
                table,
                file,
                compression="zstd",
                write_page_checksum=True,
                row_group_size=whole,
                use_dictionary=[name for name in ("status", "reason") if name in table.column_names],
            ),
        )
