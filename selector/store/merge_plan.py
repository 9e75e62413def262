"""Which rows of which commits a merged store takes, and that stores agree on what several of them have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.errors import StoreError
from selector.images.listing import joined
from selector.store.commits import read_commit
from selector.store.comparing import compare, repeated
from selector.store.schema import IMAGE_SCHEMA, PATCH_SCHEMA, conforming
from selector.store.store import Store
from selector.store.summary import stem

STAGES = ("images", "patches")
_SCHEMAS = {"images": IMAGE_SCHEMA, "patches": PATCH_SCHEMA}
_KEYS = {"images": ("source",), "patches": ("source", "image_id", "patch_rank")}
"""What no two rows of a merged store share, by stage."""

Commit = tuple[pa.Table, NDArray[np.float16]]


@dataclass(frozen=True)
class Taken:
    """Rows of a commit that the merged store takes. store: its place among the stores. of: how many rows the commit has."""

    store: int
    stage: str
    shard: int
    rows: NDArray[np.int64]
    of: int


@dataclass
class Plan:
    """Stores that are to be joined; of rows that several have, the first store's are taken.

    tolerance: how far such rows may be apart; None: not at all. there: how many of the stores, the first ones, need not be taken
    from: the merged store itself, if it is there already. equal, near: how many were the same bit for bit, or within the
    tolerance. moved: by store, the sources of which the first store has another window, as good as this one's.
    """

    stores: Sequence[Store]
    tolerance: float | None
    there: int = 0
    equal: int = 0
    near: int = 0

    def __post_init__(self) -> None:
        self.moved: list[set[str]] = [set() for _ in self.stores]
        self.commit = lru_cache(maxsize=8)(self._read)

    def taken(self) -> list[Taken]:
        """By stage, store and shard; raises StoreError for rows that contradict each other, and for damage."""
        found = []
        for stage in STAGES:
            rows, first = repeated(self._standing(stage), *_KEYS[stage])
            if stage == "images":
                self._refuse_other_bytes(rows, first)
            own = np.arange(len(rows))
            for again in _groups(rows, np.flatnonzero(first != own), first):
                self._compare(stage, rows, first[again], again)
            wanted = (first == own) & (np.asarray(rows["store"].to_numpy()) >= self.there)
            for group in _groups(rows, np.flatnonzero(wanted)):
                store, shard = _commit_of(rows, group)
                number = np.asarray(rows["row"].to_numpy()[group], np.int64)
                found.append(Taken(store, stage, shard, number, len(self.commit(store, stage, shard)[0])))
        return found

    def _read(self, store: int, stage: str, shard: int) -> Commit:
        rows, vectors = read_commit(self.stores[store].path / stage, stem(shard), verify=True)
        return conforming(rows, _SCHEMAS[stage]), vectors

    def _standing(self, stage: str) -> pa.Table:
        """The key of every row that stands in its store, with where it is."""
        tables, names = [], [*_KEYS[stage], "image_id", "shard", "row"]
        for number, store in enumerate(self.stores):
            if stage == "images":
                rows = store.images(*dict.fromkeys(names))
            else:
                rows = store.patches().rows(*dict.fromkeys(names))
                moved = pa.array(sorted(self.moved[number]), pa.string())
                rows = rows.filter(pc.invert(pc.is_in(rows["source"], value_set=moved)))
            tables.append(rows.append_column("store", pa.array(np.full(len(rows), number, np.int32))))
        return pa.concat_tables(tables)

    def _refuse_other_bytes(self, rows: pa.Table, first: NDArray[np.int64]) -> None:
        ids = joined(rows["image_id"])
        other = np.asarray(pc.not_equal(ids, ids.take(pa.array(first))).to_numpy(zero_copy_only=False))
        if other.any():
            row = int(np.argmax(other))
            pair = [int(first[row]), row]
            here, there = (self._place("images", *_commit_of(rows, [one])) for one in pair)
            one, two = (ids[number].as_py() for number in pair)
            raise StoreError(
                f"{here} and {there} have other bytes under the name {rows['source'][row].as_py()} (image_id {one} and {two}): "
                "nothing was written. If the file changed, score it again where it is old (selector score --retry-failed); "
                "stores of different data can't be joined"
            )

    def _compare(self, stage: str, rows: pa.Table, first: NDArray[np.int64], again: NDArray[np.int64]) -> None:
        """Rows of one commit with those of another that stand for them."""
        at = [_commit_of(rows, group) for group in (first, again)]
        commits = [self.commit(store, stage, shard) for store, shard in at]
        inside = [rows["row"].to_numpy()[group] for group in (first, again)]
        table, other = (commit[0].take(pa.array(row)) for commit, row in zip(commits, inside, strict=True))
        vectors, others = (commit[1][row] for commit, row in zip(commits, inside, strict=True))
        found = compare(stage, (table, other), (vectors, others), self.tolerance)
        if found.column:
            row = table.slice(found.row, 1).to_pylist()[0]
            here, there = (self._place(stage, *one) for one in at)
            more, otherwise = "", "Otherwise delete"
            if self.tolerance is None:
                first_kept = "If they were scored on different GPUs, --keep-first takes the first within a tolerance. "
            else:
                more, first_kept, otherwise = f" by more than {self.tolerance:g}", "", "Delete"
            raise StoreError(
                f"{here} and {there} differ in {found.column}{more} for {row['source']} (image_id {row['image_id']}): nothing "
                f"was written. {first_kept}{otherwise} the .parquet file of the one that is wrong, and score again there"
            )
        self.equal += int(found.exact.sum())
        self.near += int((~found.exact).sum())
        self.moved[at[1][0]].update(other["source"].filter(pa.array(found.moved)).to_pylist())

    def _place(self, stage: str, store: int, shard: int) -> str:
        return f"{self.stores[store].path}/{stage}/{stem(shard)}"


def _commit_of(rows: pa.Table, group: Sequence[int] | NDArray[np.int64]) -> tuple[int, int]:
    """Store and shard of rows that lie in one commit."""
    at = int(group[0])
    return rows["store"][at].as_py(), rows["shard"][at].as_py()


def _groups(
    rows: pa.Table, chosen: NDArray[np.int64], first: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.int64]]:
    """The chosen rows by the commit that they lie in, and by that of their first rows."""
    store, shard, row = (np.asarray(rows[name].to_numpy()) for name in ("store", "shard", "row"))
    keys = [row[chosen], shard[chosen], store[chosen]]
    if first is not None:
        keys[1:1] = [shard[first[chosen]], store[first[chosen]]]
    order = np.lexsort(keys)
    changes = np.zeros(max(0, len(chosen) - 1), np.bool_)
    for key in keys[1:]:
        changes |= np.diff(key[order]) != 0
    if len(chosen):
        yield from np.split(chosen[order], np.flatnonzero(changes) + 1)
