"""What became of every file: scored, filtered, failed; and which file stands for several with the same bytes.

Of exact duplicates the first path stands for all. Outcomes are columns: there may be millions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from selector.errors import UsageError
from selector.images.listing import Listing, joined

SCORED, FILTERED, FAILED, UNREAD = "scored", "filtered", "failed", "unread"
SKIPPED, PASSED_OVER = "skipped", "passed over"
STATUSES = (SCORED, FILTERED, FAILED, UNREAD, SKIPPED, PASSED_OVER)
DUPLICATE = "duplicate of "

OUTCOME_SCHEMA: pa.Schema = pa.schema(
    [("source", pa.string()), ("status", pa.string()), ("reason", pa.string()), ("class_id", pa.int32())]
)
"""status: one of STATUSES. reason: why a file gave no patch; of a scored file, what decoding did beyond a plain reading.
class_id: -1 where the file has none."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file and what became of it, as a value; see OUTCOME_SCHEMA."""

    source: str
    status: str
    reason: str


@dataclass(frozen=True)
class Crossing:
    """The same bytes under two classes: the first path of all, and the first that lies in another class."""

    first: str
    other: str


@dataclass(frozen=True)
class Outcomes:
    """rows: OUTCOME_SCHEMA."""

    rows: pa.Table

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Outcome]:
        columns = (self.rows[name].to_pylist() for name in ("source", "status", "reason"))
        return map(Outcome, *columns)

    @classmethod
    def of(cls, values: Iterable[Outcome]) -> Outcomes:
        """These outcomes, as of files without a class."""
        rows = [{"source": one.source, "status": one.status, "reason": one.reason, "class_id": -1} for one in values]
        return cls(pa.Table.from_pylist(rows, OUTCOME_SCHEMA))

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(pa.concat_tables([self.rows, other.rows]))

    def lost(self) -> Outcomes:
        """Those that gave no patch."""
        return Outcomes(self.rows.filter(pc.not_equal(self.rows["status"], SCORED)))

    def scored(self) -> NDArray[np.bool_]:
        """bool [n], which ones gave patches."""
        return np.asarray(pc.equal(self.rows["status"], SCORED).to_numpy())


def outcomes_of(rows: pa.Table, described: pa.Array, across: str = "first") -> tuple[Outcomes, list[Crossing]]:
    """One outcome per row, in their order, and the contents that lie under several classes.

    rows: source, image_id, class_id, status, reason, sorted by source. described: why a row has no features, "" if it has. Raises
    UsageError if across is "error" and there is such a content.
    """
    source, reason = joined(rows["source"]), joined(rows["reason"])
    class_id = np.asarray(rows["class_id"].to_numpy())
    good = np.asarray(pc.equal(rows["status"], "ok").to_numpy())
    without = np.asarray(pc.not_equal(described, "").fill_null(True).to_numpy(zero_copy_only=False))
    usable = np.flatnonzero(good & ~without)
    content = np.asarray(joined(rows["image_id"]).dictionary_encode().indices)
    first = np.full(len(rows), -1, np.int64)  # by content: the row that stands for it
    first[content[usable[::-1]]] = usable[::-1]
    stands = np.where(good & ~without, first[content], -1)
    crossed = usable[class_id[usable] != class_id[stands[usable]]]
    _, earliest = np.unique(content[crossed], return_index=True)
    others = crossed[np.sort(earliest)]
    twin = np.full(len(rows), -1, np.int64)  # by content: the first row that lies in another class
    twin[content[others]] = others
    texts = zip(
        source.take(pa.array(stands[others])).to_pylist(), source.take(pa.array(others)).to_pylist(), strict=True
    )
    crossings = [Crossing(*pair) for pair in texts]
    if across == "error" and crossings:
        raise UsageError(f"{across_text(crossings)}: remove them from one, or pass --across-classes first")
    own, dropped = np.arange(len(rows)), np.zeros(len(rows), np.bool_)
    if across == "drop":
        dropped[usable] = twin[content[usable]] >= 0
    copies = (stands >= 0) & (stands != own) & ~dropped
    elsewhere = np.where(stands >= 0, class_id[stands] != class_id, False)
    twins = np.where(own == stands, twin[content], stands)
    given, reasons = pc.if_else(pa.array(good), SCORED, joined(rows["status"])), reason
    if without.any():
        lost = pa.array(good & without)
        given, reasons = pc.if_else(lost, FAILED, given), pc.if_else(lost, described, reasons)
    for mask, named_by, before, after in (
        (copies & ~elsewhere, stands, DUPLICATE, ""),
        (copies & elsewhere, stands, DUPLICATE, ", of another class"),
        (dropped, twins, "the same bytes as ", " of another class: dropped"),
    ):
        if mask.any():
            told = _named(source, named_by, before, after)
            given, reasons = pc.if_else(pa.array(mask), FILTERED, given), pc.if_else(pa.array(mask), told, reasons)
    table = pa.table([source, given, reasons, class_id], schema=OUTCOME_SCHEMA)
    return Outcomes(table), crossings


def _named(source: pa.Array, rows: NDArray[np.int64], before: str, after: str) -> pa.Array:
    """Sentences about other rows' sources; null where the row is -1."""
    return pc.binary_join_element_wise(before, source.take(pa.array(rows, mask=rows < 0)), after, "")


def unread_outcomes(unread: Mapping[str, str], away: Collection[str]) -> Outcomes:
    """Files that could not be read just now; away: those of them that were scored before."""
    told = [Outcome(source, UNREAD, "a link to nothing, for now: what was scored of it is kept") for source in away]
    return Outcomes.of([*(Outcome(source, UNREAD, reason) for source, reason in unread.items()), *told])


def listing_outcomes(listing: Listing) -> Outcomes:
    """What the listing did not take, as outcomes."""
    left = listing.left
    status = pc.if_else(left["lost"], PASSED_OVER, SKIPPED)
    columns = [left["source"], status, left["reason"], np.full(len(left), -1, np.int32)]
    return Outcomes(pa.table(columns, schema=OUTCOME_SCHEMA))


def across_text(crossings: Collection[Crossing]) -> str:
    """How many contents lie under several classes, with the first of them."""
    example = next(iter(crossings))
    lie = f"{len(crossings)} images lie" if len(crossings) > 1 else "an image lies"
    return f"{lie} under several classes with the same bytes, such as {example.first} and {example.other}"


def conversions(outcomes: Outcomes) -> dict[str, int]:
    """How often decoding did what, such as "rotated by EXIF", by the notes of scored files."""
    reasons = outcomes.rows.filter(pa.array(outcomes.scored()))["reason"]
    found: dict[str, int] = {}
    for one in reasons.value_counts().to_pylist():
        for note in filter(None, one["values"].split("; ")):
            found[note] = found.get(note, 0) + one["counts"]
    return found


def named(outcomes: Outcomes, most_skipped: int = 100) -> tuple[Outcome, ...]:
    """Those that gave no patch, losses first; of what was skipped for one and the same reason, the first ones.

    There may be as many sidecar files as images.
    """
    kept, skipped = [], dict[str, int]()
    for outcome in outcomes.lost():
        if outcome.status == SKIPPED:
            skipped[outcome.reason] = skipped.get(outcome.reason, 0) + 1
            if skipped[outcome.reason] > most_skipped:
                continue
        kept.append(outcome)
    return tuple(sorted(kept, key=lambda outcome: (outcome.status == SKIPPED, outcome.status == FILTERED)))
