"""What became of every file: scored, filtered, failed; and which file stands for several with the same bytes.

Of exact duplicates the first path stands for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selector.errors import UsageError
from selector.images.datasets import Listing

SCORED, FILTERED, FAILED, UNREAD = "scored", "filtered", "failed", "unread"
SKIPPED, PASSED_OVER = "skipped", "passed over"
DUPLICATE = "duplicate of "


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file and what became of it: "scored", "filtered", "failed", "unread", "skipped" or "passed over".

    reason: why it gave no patch; of a scored file, what decoding did beyond a plain reading.
    """

    source: str
    status: str
    reason: str


@dataclass(frozen=True)
class Crossing:
    """The same bytes under two classes: the first path of all, and the first that lies in another class."""

    first: str
    other: str


def outcomes_of(
    rows: Sequence[Mapping[str, Any]], described: Mapping[tuple[str, str], str], across: str = "first"
) -> tuple[list[Outcome], list[Crossing]]:
    """One outcome per row, in their order, and the contents that lie under several classes; rows are sorted by source.

    rows: source, image_id, class_id, status, reason. described: (source, image_id) → why there are no features, "" if there
    are. Raises UsageError if across is "error" and there is such a content.
    """
    usable = [row for row in rows if row["status"] == "ok" and not described[row["source"], row["image_id"]]]
    first = {row["image_id"]: row for row in reversed(usable)}
    crossings: dict[str, Crossing] = {}
    for row in usable:
        stands = first[row["image_id"]]
        if row["class_id"] != stands["class_id"]:
            crossings.setdefault(row["image_id"], Crossing(stands["source"], row["source"]))
    if across == "error" and crossings:
        raise UsageError(
            f"{across_text(list(crossings.values()))}: remove them from one, or pass --across-classes first"
        )
    outcomes = []
    for row in rows:
        source, crossing = row["source"], crossings.get(row["image_id"])
        if row["status"] != "ok":
            outcomes.append(Outcome(source, row["status"], row["reason"]))
        elif lost := described[source, row["image_id"]]:
            outcomes.append(Outcome(source, FAILED, lost))
        elif crossing and across == "drop":
            twin = crossing.first if source != crossing.first else crossing.other
            outcomes.append(Outcome(source, FILTERED, f"the same bytes as {twin} of another class: dropped"))
        elif source != first[row["image_id"]]["source"]:
            stands = first[row["image_id"]]
            where = "" if row["class_id"] == stands["class_id"] else ", of another class"
            outcomes.append(Outcome(source, FILTERED, f"{DUPLICATE}{stands['source']}{where}"))
        else:
            outcomes.append(Outcome(source, SCORED, row["reason"]))
    return outcomes, list(crossings.values())


def unread_outcomes(unread: Mapping[str, str], away: Collection[str]) -> list[Outcome]:
    """Files that could not be read just now; away: those of them that were scored before."""
    return [Outcome(source, UNREAD, reason) for source, reason in unread.items()] + [
        Outcome(source, UNREAD, "a link to nothing, for now: what was scored of it is kept") for source in away
    ]


def listing_outcomes(listing: Listing) -> list[Outcome]:
    """What the listing did not take, as outcomes."""
    skipped = [Outcome(one.source, SKIPPED, one.reason) for one in listing.skipped]
    return skipped + [Outcome(one.source, PASSED_OVER, one.reason) for one in listing.passed_over]


def across_text(crossings: Collection[Crossing]) -> str:
    """How many contents lie under several classes, with the first of them."""
    example = next(iter(crossings))
    lie = f"{len(crossings)} images lie" if len(crossings) > 1 else "an image lies"
    return f"{lie} under several classes with the same bytes, such as {example.first} and {example.other}"


def conversions(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How often decoding did what, such as "rotated by EXIF", by the notes of scored files."""
    found: dict[str, int] = {}
    for outcome in outcomes:
        if outcome.status == SCORED and outcome.reason:
            for note in outcome.reason.split("; "):
                found[note] = found.get(note, 0) + 1
    return found


def named(outcomes: Iterable[Outcome], most_skipped: int = 100) -> tuple[Outcome, ...]:
    """Those that gave no patch, losses first; of what was skipped for one and the same reason, the first ones.

    There may be as many sidecar files as images.
    """
    kept, skipped = [], dict[str, int]()
    for outcome in outcomes:
        if outcome.status == SKIPPED:
            skipped[outcome.reason] = skipped.get(outcome.reason, 0) + 1
            if skipped[outcome.reason] > most_skipped:
                continue
        if outcome.status != SCORED:
            kept.append(outcome)
    return tuple(sorted(kept, key=lambda outcome: (outcome.status == SKIPPED, outcome.status == FILTERED)))
