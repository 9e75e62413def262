"""What a data set holds, as columns: where every item lies, and what was left out and why.

A listing has no Python object for an item: an ImageNet of them would be a gigabyte. Rows are sorted by source.
"""

from __future__ import annotations

import errno
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.images.locations import Data, reached
from selector.images.readers import Place
from selector.images.sources.source import Found

ITEM_SCHEMA: pa.Schema = pa.schema(
    [
        ("source", pa.string()),
        ("folder", pa.int32()),
        ("part", pa.int32()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("broken", pa.bool_()),
    ]
)
"""One row per file to be scored. source: its text, stable, says where to look. folder, part: numbers in the listing's
`folders` and `parts`. offset, size: where its bytes lie in the part's container, as the container's form counts; -1 where the
source alone says it. broken: a link to nothing, for now."""

LEFT_SCHEMA: pa.Schema = pa.schema(
    [("source", pa.string()), ("part", pa.int32()), ("lost", pa.bool_()), ("reason", pa.string())]
)
"""What is no item and why. lost: it looks like an image or a class and can't be taken. part: -1 for what depends on the command
that lists. Bytes of `source` that are no text show as escapes."""


_FEW = 8
"""Texts that are looked for are few if there are this many times more to look among."""


class Skipped(NamedTuple):
    """Something that is no item and why."""

    source: str
    reason: str


@dataclass(frozen=True)
class Part:
    """What is listed, and listed again, by itself: a class folder, or an archive.

    form: how bytes are read from the container, which is a path or a URL (`readers.FORMS`). stamps: what tells that something
    changed since, by path or URL: of a folder the time of its last change, of a file its size as well; None is for what changed
    so lately that its stamp says nothing. output: folders directly below the data in which our own output lies. classes: class
    folders, those of `output` and empty ones too.
    """

    name: str
    form: str
    container: str
    stamps: Mapping[str, Any] = field(default_factory=dict)
    output: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """root: the data. items: ITEM_SCHEMA. folders: all class folders, empty ones too. parts: where items lie. left: LEFT_SCHEMA.

    fresh: names of the parts that were listed now, not taken from a kept listing. asked: what the listing depends on besides
    the data, as JSON.
    """

    root: Data
    items: pa.Table
    folders: tuple[str, ...]
    parts: tuple[Part, ...] = ()
    left: pa.Table = field(default_factory=LEFT_SCHEMA.empty_table)
    fresh: tuple[str, ...] = ()
    asked: str = ""

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def sources(self) -> pa.StringArray:
        """The source of every item, sorted."""
        return joined(self.items["source"])

    @cached_property
    def folder(self) -> NDArray[np.int32]:
        """int32 [n], the number of every item's class folder."""
        return self.column("folder")

    def column(self, name: str) -> NDArray[Any]:
        """A column of numbers as an array."""
        values: NDArray[Any] = joined(self.items[name]).to_numpy(zero_copy_only=False)
        return values

    def pairs(self) -> Iterator[tuple[str, str]]:
        """(source, class folder) of every item, for data that are few."""
        folders = [self.folders[number] for number in self.folder.tolist()]
        return zip(self.sources.to_pylist(), folders, strict=True)

    def counts(self) -> dict[str, int]:
        """Files by class folder, empty folders too."""
        found = np.bincount(self.folder, minlength=len(self.folders))
        return dict(zip(self.folders, found.tolist(), strict=True))

    def folders_of(self, sources: Iterable[str]) -> dict[str, str]:
        """source → class folder of these sources, as far as they are listed."""
        wanted = pa.array(list(sources), pa.string())
        rows = rows_in(self.sources, wanted)
        numbers = self.folder[rows]
        named = zip(wanted.to_pylist(), numbers.tolist(), rows.tolist(), strict=True)
        return {source: self.folders[number] for source, number, row in named if row >= 0}

    def counts_of_parts(self) -> list[int]:
        """Files by part."""
        found: list[int] = np.bincount(self.column("part"), minlength=len(self.parts)).tolist()
        return found

    def place(self, source: str) -> Place:
        """Where an item lies; raises FileNotFoundError if there is none of this source."""
        row = row_in(self.sources, source)
        if row < 0:
            raise FileNotFoundError(errno.ENOENT, "no such file in the data", source)
        part = self.parts[self.items["part"][row].as_py()]
        return Place(
            source,
            part.form,
            reached(self.root, part.container),
            self.items["offset"][row].as_py(),
            self.items["size"][row].as_py(),
        )

    def places(self, rows: NDArray[np.int64]) -> list[Place]:
        """Where the items of these rows lie."""
        taken = self.items.select(["source", "part", "offset", "size"]).take(pa.array(rows))
        columns = (taken[name].to_pylist() for name in taken.column_names)
        return [
            Place(source, self.parts[part].form, self._containers[part], offset, size)
            for source, part, offset, size in zip(*columns, strict=True)
        ]

    @cached_property
    def _containers(self) -> list[str]:
        return [reached(self.root, part.container) for part in self.parts]

    def reading_order(self) -> NDArray[np.int64]:
        """Row numbers in the order in which bytes lie: part by part, by offset, where there is none by source."""
        order: NDArray[np.int64] = np.lexsort((np.arange(len(self)), self.column("offset"), self.column("part")))
        return order

    def taken(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Listing:
        """The listing of these items alone; rows: a mask, or ascending numbers."""
        kept = self.items.filter(pa.array(rows)) if rows.dtype == np.bool_ else self.items.take(pa.array(rows))
        return replace(self, items=kept)

    def limited(self, most: int) -> Listing:
        """The listing of the first so many files of every class folder; 0: all."""
        if not most:
            return self
        by_folder = np.argsort(self.folder, kind="stable")
        ends = np.cumsum([0, *self.counts().values()])
        place = np.arange(len(self)) - np.repeat(ends[:-1], np.diff(ends))
        return self.taken(np.sort(by_folder[place < most]))

    def of_parts(self, numbers: Mapping[int, int], folders: Sequence[int]) -> tuple[pa.Table, pa.Table]:
        """`items` and `left` of some parts (number → new number). folders: the new numbers of all class folders."""
        part = np.full(len(self.parts) + 1, -1, np.int32)  # one more: the part -1
        part[list(numbers)] = list(numbers.values())
        tables = []
        for table in (self.items, self.left):
            moved = part[np.asarray(table["part"].to_numpy())]
            table = table.set_column(table.schema.get_field_index("part"), "part", pa.array(moved))
            tables.append(table.filter(pa.array(moved >= 0)) if (moved < 0).any() else table)
        items, left = tables
        moved = np.asarray([*folders, -1], np.int32)[np.asarray(items["folder"].to_numpy())]
        return items.set_column(items.schema.get_field_index("folder"), "folder", pa.array(moved)), left

    @cached_property
    def skipped(self) -> tuple[Skipped, ...]:
        """No images, such as hidden names, sidecar files, system folders, excluded files and our own output."""
        return self._left(False)

    @cached_property
    def passed_over(self) -> tuple[Skipped, ...]:
        """What looks like an image or a class and can't be taken: a loss."""
        return self._left(True)

    def _left(self, lost: bool) -> tuple[Skipped, ...]:
        rows = self.left.filter(pc.equal(self.left["lost"], lost))
        return tuple(map(Skipped, rows["source"].to_pylist(), rows["reason"].to_pylist()))


def row_in(texts: pa.StringArray, text: str) -> int:
    """Where a text stands among sorted ones; -1 if it is not there."""
    row = bisect_left(range(len(texts)), text.encode(), key=lambda at: texts[at].as_py().encode())
    return row if row < len(texts) and texts[row].as_py() == text else -1


def rows_in(texts: pa.Array | pa.ChunkedArray, wanted: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
    """int64, where each wanted text stands among texts, of which no two are equal; -1 for one that is not there."""
    texts, wanted = (joined(one) if isinstance(one, pa.ChunkedArray) else one for one in (texts, wanted))
    if texts.equals(wanted):
        return np.arange(len(texts))
    if len(wanted) > len(texts) // _FEW:
        return np.asarray(pc.fill_null(pc.index_in(wanted, value_set=texts), -1), np.int64)
    encoded = wanted.dictionary_encode()  # few: the table in memory is of these
    found = pc.fill_null(pc.index_in(texts, value_set=encoded.dictionary), -1).to_numpy()
    rows = np.full(len(encoded.dictionary) + 1, -1, np.int64)
    there = np.flatnonzero(found >= 0)
    rows[found[there]] = there
    return rows[np.asarray(encoded.indices.fill_null(-1), np.int64)]


def joined(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def sorted_by_source(table: pa.Table, *further: str) -> pa.Table:
    """The rows sorted by the bytes of `source`, then by further columns."""
    keys = [(name, "ascending") for name in ("source", *further)]
    return table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()


def item_rows(found: Found, part: int, folders: Sequence[int]) -> pa.Table:
    """What was found in a part as rows of ITEM_SCHEMA. folders: the number of every item's class folder."""
    count = len(found.sources)
    unknown = np.full(count, -1, np.int64)
    sources = pa.array(found.sources, pa.string())
    away = (
        pc.is_in(sources, value_set=pa.array(found.broken, pa.string())) if found.broken else np.zeros(count, np.bool_)
    )
    columns = {
        "source": sources,
        "folder": pa.array(folders, pa.int32()),
        "part": np.full(count, part, np.int32),
        "offset": pa.array(found.offsets, pa.int64()) if found.offsets else unknown,
        "size": pa.array(found.sizes, pa.int64()) if found.sizes else unknown,
        "broken": away,
    }
    return pa.table(columns, schema=ITEM_SCHEMA)


def left_rows(found: Found, part: int) -> pa.Table:
    """What was left out of a part as rows of LEFT_SCHEMA."""
    both = [*found.skipped, *found.lost]
    columns = {
        "source": [source for source, _ in both],
        "part": np.full(len(both), part, np.int32),
        "lost": np.arange(len(both)) >= len(found.skipped),
        "reason": [reason for _, reason in both],
    }
    return pa.table(columns, schema=LEFT_SCHEMA)
