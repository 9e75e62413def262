"""What became of every file: duplicates within and across classes, and the table beside the store."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from selector.errors import FileError, UsageError
from selector.store.outcomes import Crossing, Outcome, Outcomes, conversions, named
from selector.store.outcomes import outcomes_of as store_outcomes_of
from selector.store.outcomes_table import has_outcomes, outcomes_path, refuse_foreign_table, write_outcomes


def row(source: str, image_id: str, status: str = "ok", reason: str = "") -> dict[str, Any]:
    return {
        "source": source,
        "image_id": image_id,
        "class_id": {"a": 0, "b": 1, "c": 2}[source[0]],
        "status": status,
        "reason": reason,
    }


ROW_SCHEMA = pa.schema([(name, pa.int32() if name == "class_id" else pa.string()) for name in row("a", "")])
ROWS = [
    row("a/1", "x"),
    row("a/2", "x"),
    row("a/3", "y", reason="rotated by EXIF"),
    row("b/1", "x"),
    row("b/2", "z"),
    row("b/3", "z"),
    row("b/4", "y", "failed", "damaged or cut short: x"),
    row("c/1", "w"),
]


FEATURES = {(one["source"], one["image_id"]): "" for one in ROWS}


def outcomes_of(
    rows: list[dict[str, Any]], described: dict[tuple[str, str], str], across: str = "first"
) -> tuple[list[Outcome], list[Crossing]]:
    """The same from values to values."""
    reasons = pa.array([described.get((one["source"], one["image_id"])) for one in rows], pa.string())
    found, crossings = store_outcomes_of(pa.Table.from_pylist(rows, ROW_SCHEMA), reasons, across)
    return list(found), crossings


def test_the_first_path_stands_for_the_same_bytes_and_crossings_are_told() -> None:
    outcomes, (crossing,) = outcomes_of(ROWS, FEATURES | {("c/1", "w"): "no feature"})
    by_source = {outcome.source: (outcome.status, outcome.reason) for outcome in outcomes}
    assert by_source == {
        "a/1": ("scored", ""),
        "a/2": ("filtered", "duplicate of a/1"),
        "a/3": ("scored", "rotated by EXIF"),
        "b/1": ("filtered", "duplicate of a/1, of another class"),
        "b/2": ("scored", ""),
        "b/3": ("filtered", "duplicate of b/2"),
        "b/4": ("failed", "damaged or cut short: x"),
        "c/1": ("failed", "no feature"),
    }
    assert (crossing.first, crossing.other) == ("a/1", "b/1")
    assert conversions(Outcomes.of(outcomes)) == {"rotated by EXIF": 1}


def test_dropped_bytes_are_taken_from_no_class_and_other_duplicates_are_as_before() -> None:
    outcomes, crossings = outcomes_of(ROWS, FEATURES, "drop")
    kept = outcomes_of(ROWS, FEATURES)[0]
    dropped = {"a/1", "a/2", "b/1"}
    assert {o.source for o in outcomes if o.reason.endswith("of another class: dropped")} == dropped
    assert [o for o in outcomes if o.source not in dropped] == [o for o in kept if o.source not in dropped]
    assert {o.status for o in outcomes if o.source in dropped} == {"filtered"}
    assert len(crossings) == 1


def test_bytes_under_two_classes_are_an_error_if_asked_for_and_a_failed_copy_is_none() -> None:
    with pytest.raises(UsageError, match=r"an image lies under several classes .* such as a/1 and b/1: remove them"):
        outcomes_of(ROWS, FEATURES, "error")
    apart = [one for one in ROWS if one["source"] != "b/1"]
    assert outcomes_of(apart, FEATURES, "error")[1] == []
    assert outcomes_of(ROWS, FEATURES | {("b/1", "x"): "no feature"}, "error")[1] == []


def test_of_many_skipped_files_of_one_reason_the_first_are_named() -> None:
    many = [Outcome(f"a/{number}.txt", "skipped", "text") for number in range(1000)]
    others = [Outcome("a/x", "skipped", "hidden"), Outcome("a/y", "failed", "text"), Outcome("a/z", "scored", "text")]
    assert named(Outcomes.of([*many, *others])) == (others[1], *many[:100], others[0])


HARD = [Outcome('a/comma, "quote".png', "failed", "line\nbreak"), Outcome("a/猫.png", "scored", "")]


def test_the_table_reads_back_sorted_whatever_the_names_hold(tmp_path: Path) -> None:
    store = tmp_path / "out" / "store"
    store.mkdir(parents=True)
    for _ in range(2):  # its own table is replaced
        path = write_outcomes(store, Outcomes.of(reversed(HARD)))
    assert path == outcomes_path(store) == tmp_path / "out" / "outcomes.csv"
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["source", "status", "reason"],
            *([o.source, o.status, o.reason] for o in HARD),
        ]
    assert [p.name for p in path.parent.iterdir() if p != store] == ["outcomes.csv"]
    assert has_outcomes(store)


@pytest.mark.parametrize("content", ["", "name,value\n", "source,stat"])
def test_a_foreign_table_is_refused_and_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / "outcomes.csv").write_text(content)
    for refused in (
        lambda: refuse_foreign_table(tmp_path / "store"),
        lambda: write_outcomes(tmp_path / "store", Outcomes.of(HARD)),
    ):
        with pytest.raises(UsageError, match=r"outcomes\.csv is there and is no table of outcomes"):
            refused()
    assert (tmp_path / "outcomes.csv").read_text() == content
    assert not has_outcomes(tmp_path / "store")


def test_a_table_that_can_not_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"outcomes\.csv can't be written: it is not there"):
        write_outcomes(tmp_path / "gone" / "store", Outcomes.of(HARD))
