"""Stores that were scored apart become one: their commits are linked or copied.

Everything is read and compared before anything is written (merge_plan.py). Superseded rows of a store are left behind, so that
the row of a file that stands does not depend on the numbers that commits get. A merge that was killed goes on when it is run
again.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO

from selector.errors import SelectorError, StoreError, UsageError
from selector.folders.files import file_errors
from selector.store.claims import Claims, writers
from selector.store.commits import adopt_commit, write_first
from selector.store.comparing import TOLERANCES
from selector.store.fingerprint import check_fingerprint, is_unlabelled
from selector.store.kept_listing import LISTING_FILE, keep_listing, read_listing
from selector.store.merge_plan import Plan, Taken
from selector.store.outcomes_table import refuse_foreign_table, write_outcomes
from selector.store.store import DATA_FILE, Store
from selector.store.summary import stem
from selector.store.view import committed_outcomes


@dataclass
class Merged:
    """What a merge did, as counts.

    images, patches: rows that INTO did not have. equal: rows that several stores have, bit for bit. kept_first: those that differ
    within the tolerance. other_windows: images of these for which one store has another window. linked, copied, rewritten:
    commits; rewritten are those whose number was taken, or of which only some rows were wanted.
    """

    images: int = 0
    patches: int = 0
    equal: int = 0
    kept_first: int = 0
    other_windows: int = 0
    linked: int = 0
    copied: int = 0
    rewritten: int = 0

    def as_dict(self) -> dict[str, int]:
        """JSON-ready."""
        return asdict(self)


def merge(paths: Sequence[Path], into: Path, *, keep_first: bool, note: Callable[[str], None]) -> Merged:
    """Joins stores of one fingerprint into one, which may be there already. Writes outcomes.csv beside it.

    keep_first: whether rows of one image may differ by the precision's tolerance; those of the first store stand then, INTO's
    before all. Raises StoreError for another fingerprint and for rows that contradict each other, UsageError for a store that is
    named twice or a place that is taken, SelectorError if somebody works on INTO.
    """
    stores = _opened(paths, into, note)
    mark = stores[0].read_fingerprint()
    tolerance = TOLERANCES.get(str(mark.get("precision")), max(TOLERANCES.values()))
    old = len(stores) - len(paths)  # 1 if INTO is there
    plan = Plan(stores, tolerance if keep_first else None, old)
    taken = plan.taken()
    folders: dict[str, int] = {}
    for store in stores:
        folders = store.check_folders(folders)
    done = Merged(equal=plan.equal, kept_first=plan.near, other_windows=len(set().union(*plan.moved)))
    claims = Claims(into, "merge")
    with claims.registered():
        merged = Store.create_or_open(into, mark)
        _write_data(merged, stores, folders, note)
        numbers = _Numbers(itertools.count(_last(stores) + 1))
        for one in taken:
            _put(merged, one, plan, numbers, done)
            claims.beat()
        for store in stores[old:]:
            _add_history(merged, store)
        left = [listing for listing in map(read_listing, [store.path for store in stores]) if listing is not None]
        write_outcomes(into, committed_outcomes(merged, left))
    return done


def _opened(paths: Sequence[Path], into: Path, note: Callable[[str], None]) -> list[Store]:
    """The stores, INTO first if it is there; refuses what can't be joined."""
    places = [path.resolve() for path in (*paths, into)]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise UsageError(f"{place} is named twice: name every store once, and --into beside them")
    Store.refuse_foreign(into)
    refuse_foreign_table(into)
    if busy := writers(into):
        raise SelectorError(f"{into} is written by {busy[0]}: wait for it to end")
    first, *others = [Store.open(path) for path in (*([into] if Store.exists(into) else []), *paths)]
    mark = first.read_fingerprint()
    for other in others:
        found = other.read_fingerprint()
        if is_unlabelled(found) != is_unlabelled(mark):
            raise StoreError(f"one of {first.path} and {other.path} was scored without labels: they can't be joined")
        check_fingerprint(other.path, found, mark)
    for path in paths:
        with suppress(OSError):  # nobody works on a store that can't be written
            if busy := writers(path):
                note(f"{path} is written by {busy[0]}: what it has by now is taken")
    return [first, *others]


@dataclass
class _Numbers:
    """Spare numbers, and which commits got one: both stages of a shard take the same."""

    spare: Iterator[int]
    given: dict[tuple[int, int], int] = field(default_factory=dict)


def _put(merged: Store, one: Taken, plan: Plan, numbers: _Numbers, done: Merged) -> None:
    """Brings the rows of a commit into the merged store, under its number if that is free."""
    number, how = numbers.given.get((one.store, one.shard), one.shard), ""
    if len(one.rows) == one.of and number == one.shard:
        how = adopt_commit(merged.path / one.stage, stem(number), plan.stores[one.store].path / one.stage)
        done.linked += how == "linked"
        done.copied += how == "copied"
    if not how:
        rows, vectors = plan.commit(one.store, one.stage, one.shard)
        rows, vectors = rows.take(one.rows), vectors[one.rows]
        commit = merged.commit_images if one.stage == "images" else merged.commit_patches
        while not commit(number, rows, vectors):
            number = next(numbers.spare)
        numbers.given[one.store, one.shard] = number
        done.rewritten += 1
    if one.stage == "images":
        done.images += len(one.rows)
    else:
        done.patches += len(one.rows)


def _last(stores: Sequence[Store]) -> int:
    return max((number for one in stores for number in one.image_shards() | one.patch_shards()), default=-1)


def _write_data(
    merged: Store, stores: Sequence[Store], folders: Mapping[str, int], note: Callable[[str], None]
) -> None:
    """Where the images lie is what the first store says; the folders are those of all."""
    told = [store for store in stores if (store.path / DATA_FILE).exists()]
    if not told:
        return
    root = told[0].read_data_root()
    merged.write_data_root(root.root, folders, root.labels, root.limit_per_class)
    others = sorted({str(store.read_data_root().root) for store in told} - {str(root.root)})
    if others:
        note(
            f"the stores were scored from several places ({root.root}, {', '.join(others)}): name one that has all (--data)"
        )
    listing = read_listing(told[0].path)
    if listing is not None and not (merged.path / LISTING_FILE).exists():
        keep_listing(merged.path, listing)


def _add_history(merged: Store, store: Store) -> None:
    """The records of a store's runs; one that is there, of an earlier merge or a common beginning, is not added again."""
    for path in sorted(store.path.glob("history.*json")):
        with file_errors(path):
            content, name = path.read_bytes(), path.name
            if name == "history.json":  # of an early version, which has it once for all runs
                name = f"history.{0:020d}.{hashlib.blake2b(content, digest_size=16).hexdigest()}.json"
            write_first(merged.path / name, partial(_written, content))


def _written(content: bytes, file: BinaryIO) -> None:
    file.write(content)
