"""The words about what was not taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from selector.errors import UsageError
from selector.images.datasets import list_items
from selector.images.listing import Listing, item_rows, left_rows
from selector.images.sources.source import Found
from selector.images.sources.walk import ARCHIVE, NO_IMAGE, OWN
from selector.selection.selection import refuse_short
from selector.store.losses import across_lines, bare_class_lines, explainer, listing_lines, loss_lines
from selector.store.outcomes import FAILED, OUTCOME_SCHEMA, Crossing, Outcome, Outcomes


def failed(folder: str, reasons: Sequence[str], status: str = "failed") -> list[Outcome]:
    return [Outcome(f"{folder}/{number}", status, reason) for number, reason in enumerate(reasons)]


OUTCOMES = Outcomes.of(
    one
    for kind in (
        failed("coat", ["damaged or cut short: a", "damaged or cut short: b"]),
        failed(
            "coat", ["duplicate of bag/1", "duplicate of bag/2, of another class", "duplicate of hat/1"], "filtered"
        ),
        failed("n1", ["6×9 pixels: the shorter side is below 8"], "filtered"),
        failed("n1", ["the folder can't be listed: Permission denied"], "passed over"),
        failed("n1", [NO_IMAGE], "skipped"),
        failed("hat", [NO_IMAGE, NO_IMAGE], "skipped"),
        failed("bag", ["rotated by EXIF"], "scored"),
    )
    for one in kind
)
CLASS_OF = {"coat": "coat", "n1": "dress", "hat": "hat", "bag": "bag"}


def test_the_reasons_of_a_class_are_counted_by_kind_and_noise_explains_only_what_nothing_else_does() -> None:
    assert explainer(OUTCOMES, CLASS_OF)(["coat", "dress", "hat", "bag"]) == {
        "coat": "2 damaged, 2 duplicates of bag/…, 1 duplicate of hat/…",
        "dress": "1 too small (shorter side below 8), 1 the folder can't be listed",
        "hat": "2 not an image by its name and content",
        "bag": "",
    }


def test_a_refusal_names_the_reasons_and_the_table_that_has_all() -> None:
    counts = {"coat": 0, "bag": 2, "full": 9}
    with pytest.raises(UsageError) as refused:
        refuse_short(counts, 3, "error", explainer(OUTCOMES, CLASS_OF), "out/outcomes.csv")
    assert "coat (0): 2 damaged, 2 duplicates of bag/…, 1 duplicate of hat/…; bag (2). Add images" in str(refused.value)
    assert str(refused.value).endswith("out/outcomes.csv has every file and its reason.")
    with pytest.raises(UsageError) as bare:
        refuse_short(counts, 3, "error")
    assert "coat (0), bag (2). Add images" in str(bare.value)
    assert "outcomes.csv" not in str(bare.value)


def test_a_refusal_of_a_thousand_classes_is_bounded() -> None:
    with pytest.raises(UsageError) as refused:
        refuse_short({f"n{number:08d}": 0 for number in range(1000)}, 3, "error", explainer(OUTCOMES, CLASS_OF))
    assert "1000 of 1000 classes" in str(refused.value)
    assert "n00000019 (0) … and 980 more" in str(refused.value)
    assert len(str(refused.value)) < 1000


def listing(skipped: Sequence[tuple[str, str]] = (), passed_over: Sequence[tuple[str, str]] = ()) -> Listing:
    found = Found("folder", "", sources=["bag/1.png"], skipped=list(skipped), lost=list(passed_over))
    return Listing(Path(), item_rows(found, 0, [0]), ("bag", "coat"), left=left_rows(found, 0))


def test_every_kind_of_loss_is_one_line_with_its_count_and_first_example() -> None:
    folder = "the folder can't be listed: "
    lost = [("a", folder + "Permission denied"), ("b", folder + "File name too long"), ("c.png", "not a regular file")]
    assert loss_lines(listing(passed_over=lost)) == [
        f"2 passed over, counted like failed files, such as a: {folder}Permission denied",
        "1 passed over, counted like failed files, such as c.png: not a regular file",
    ]
    assert loss_lines(listing(skipped=lost)) == []


def test_own_output_archives_empty_classes_and_idle_patterns_are_said_and_other_noise_is_not() -> None:
    skipped = [("runs/a/store", f"{OWN} (a store)"), ("x.zip", ARCHIVE), ("bag/1.txt", NO_IMAGE)]
    skipped.append(("bag/old", "excluded by --exclude old"))
    lines = listing_lines(listing(skipped), ("old", "idle"))
    assert lines == [
        "our own output in the data is no image: runs/a/store (a store)",
        "archives are not looked into: x.zip",
        "class folders without an image: coat",
        "--exclude idle left nothing out",
    ]


def test_the_same_bytes_under_two_classes_are_said_with_what_was_done() -> None:
    crossing = Crossing("bag/1", "coat/1")
    assert across_lines([]) == []
    (line,) = across_lines([crossing, crossing], "drop")
    assert line == (
        "2 images lie under several classes with the same bytes, such as bag/1 and coat/1: no class has them "
        "(--across-classes drop)"
    )


def test_classes_without_a_usable_image_are_said_with_the_reasons() -> None:
    assert bare_class_lines([], explainer(OUTCOMES, CLASS_OF)) == []
    (line,) = bare_class_lines(["dress", "bag"], explainer(OUTCOMES, CLASS_OF))
    assert line.startswith("no usable image in dress (1 too small (shorter side below 8), 1 the folder")
    assert line.endswith(", bag")


def test_why_a_class_of_shards_is_short_is_known_by_its_number() -> None:
    rows = [{"source": f"0.tar#{n}.jpg", "status": FAILED, "reason": "damaged", "class_id": n % 2} for n in range(3)]
    explain = explainer(Outcomes(pa.Table.from_pylist(rows, OUTCOME_SCHEMA)), {}, {0: "cat", 1: "dog"})
    assert explain(["cat", "dog"]) == {"cat": "2 damaged", "dog": "1 damaged"}


def test_shards_below_the_data_are_told_with_their_folder(tmp_path: Path) -> None:
    for name in ("data/train-0.parquet", "data/README.md", "more/0.tar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert "shards or Parquet files lie in data, more: if they are the data, name that folder" in listing_lines(
        list_items(tmp_path)
    )
