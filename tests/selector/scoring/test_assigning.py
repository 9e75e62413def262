"""The driver of assignments with a scorer of known losses: what is asked, what is kept, what is asked again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from client.rows import Answer, Failure, Result, Row
from selector.images.prepare import FILTERED, OK, UNREAD, Prepared
from selector.processes import run_in_loop
from selector.scoring.assigning import COLUMNS, Memory, Remembered, assign_classes
from selector.scoring.assignment import Assigned, AssignmentBudget
from selector.scoring.stage_one import Encoded
from selector.store.schema import IMAGE_SCHEMA

BUDGET = AssignmentBudget(2, (7, 5, 3, 1))


class Known:
    """The loss of class c by draw d of a latent of value v is |v − c| × d + d: the nearest class is v."""

    def __init__(self, failing: float | None = None, *, lasting: bool = True) -> None:
        self.asked: list[tuple[float, int, int, int]] = []
        self._failing, self._lasting = failing, lasting

    async def score(self, rows: Iterator[Row]) -> AsyncGenerator[Result, None]:
        for row in reversed(list(rows)):
            value = float(row.inputs["LATENT"].mean())
            prompt, reference, draw = (int(row.inputs[name][0]) for name in ("PROMPT_ID", "REFERENCE_ID", "DRAW"))
            self.asked.append((value, prompt - 1, reference - 1, draw))
            if value == self._failing:
                yield Failure(row.key, "no", self._lasting)
                continue
            losses = {
                name: np.array([abs(value - (number - 1)) * draw + draw], np.float32)
                for name, number in (("LOSS_PROMPT", prompt), ("LOSS_REFERENCE", reference))
            }
            yield Answer(row.key, losses)


def encoded(*values: float) -> Encoded:
    images = tuple(Prepared(f"{number}.png", f"id{number}", OK, "") for number in range(len(values)))
    return Encoded(images, {i: np.full((1, 2, 2), value, np.float32) for i, value in enumerate(values)})


def assign(
    scorer: Known, given: Encoded, known: dict[str, Remembered] | None = None, min_margin: float = 0.0, classes: int = 5
) -> tuple[Encoded, dict[int, Assigned], int, int]:
    advanced: list[int] = []
    left, found, spent = run_in_loop(
        lambda: assign_classes(scorer, BUDGET, classes, given, known or {}, min_margin, advanced.append)
    )
    return left, found, spent, sum(advanced)


def test_each_image_gets_its_class_and_a_row_serves_two_classes() -> None:
    scorer = Known()
    left, found, spent, advanced = assign(scorer, encoded(3, 0, 4))
    assert [found[i].class_id for i in range(3)] == [3, 0, 4]
    assert left.latents.keys() == {0, 1, 2}
    first = [(p, r) for value, p, r, draw in scorer.asked if (value, draw) == (3, 7)]
    assert sorted(first) == [(0, 1), (2, 3), (4, 4)], "five classes: the odd one is beside itself"
    assert spent == 2 * len(scorer.asked) == sum(one.unet_rows for one in found.values())
    assert advanced == 3 * BUDGET.most_unet_rows(5)


def test_the_margin_is_of_the_second_class_by_the_draws_that_both_have() -> None:
    """Classes 1 and 2 of a latent of 1.25 differ by d/2; the first draws are 7 and 5."""
    _, found, _, _ = assign(Known(), encoded(1.25))
    assert found[0] == Assigned(1, 3.0, 0.5, 12)


def test_a_small_margin_is_filtered_and_keeps_its_class() -> None:
    left, found, _, _ = assign(Known(), encoded(1.25, 2), min_margin=3.5)
    assert (left.images[0].status, left.images[1].status) == (FILTERED, OK)
    assert left.images[0].reason == "no class is clearly nearest: margin 3 ± 0.5 below --min-margin 3.5"
    assert (set(left.latents), found[0].class_id) == ({1}, 1)


def test_what_the_store_knows_is_not_asked_again_unless_the_content_is_another() -> None:
    scorer = Known()
    known = {f"{i}.png": Remembered(f"id{i}", "ok", Assigned(4, 0.25, 0.0, 99)) for i in range(2)}
    given = encoded(1, 2)
    given = replace(given, images=(given.images[0], replace(given.images[1], image_id="other")))
    _, found, spent, advanced = assign(scorer, given, known)
    assert {value for value, *_ in scorer.asked} == {2}
    assert (found[0], found[1].class_id) == (Assigned(4, 0.25, 0.0, 99), 2)
    assert (spent, advanced) == (found[1].unet_rows, 2 * BUDGET.most_unet_rows(5))


@pytest.mark.parametrize(("lasting", "status"), [(True, "failed"), (False, UNREAD)])
def test_an_image_whose_row_fails_is_lost_alone(lasting: bool, status: str) -> None:
    left, found, _, advanced = assign(Known(2, lasting=lasting), encoded(1, 2, 3))
    assert [image.status for image in left.images] == [OK, status, OK]
    assert left.images[1].reason == f"class, draw {left.images[1].reason.split()[2][:-1]}: no"
    assert (set(found), set(left.latents)) == ({0, 2}, {0, 2})
    assert advanced == 3 * BUDGET.most_unet_rows(5)


def test_one_class_needs_no_row() -> None:
    scorer = Known()
    _, found, spent, _ = assign(scorer, encoded(3), classes=1, min_margin=1000)
    assert (found[0], spent, scorer.asked) == (Assigned(0, float("inf"), 0.0, 0), 0, [])


def memory(known: dict[str, Remembered]) -> Memory:
    """What a store would remember."""
    rows = [
        {
            "source": source,
            "image_id": one.image_id,
            "status": one.status,
            "class_id": one.assigned.class_id,
            "assigned_margin": one.assigned.margin,
            "assigned_standard_error": one.assigned.standard_error,
            "assigned_unet_rows": one.assigned.unet_rows,
        }
        for source, one in sorted(known.items())
    ]
    return Memory(pa.Table.from_pylist(rows, pa.schema([IMAGE_SCHEMA.field(name) for name in COLUMNS])))


def test_what_is_remembered_is_found_by_source() -> None:
    known = {f"{i}.png": Remembered(f"id{i}", "ok", Assigned(i, 0.25, 0.5, 2 * i)) for i in range(5)}
    assert [memory(known).get(source) for source in known] == list(known.values())
    assert memory(known).get("5.png") is None
    assert memory({}).get("5.png") is None


def test_another_least_margin_judges_those_again_that_it_judges_otherwise() -> None:
    known = {
        f"{status}-{margin}": Remembered("x", status, Assigned(0, margin, 0.0, 2))
        for status in ("ok", "filtered", "failed")
        for margin in (0.1, 0.3)
    }
    assert set(memory(known).judged_otherwise(0.2).to_pylist()) == {"ok-0.1", "filtered-0.3"}
    assert set(memory(known).judged_otherwise(0.29).to_pylist()) == {"ok-0.1", "filtered-0.3"}
    assert len(memory({}).judged_otherwise(0.2)) == 0


def test_the_line_about_margins_names_classes_that_are_nearest_to_nothing() -> None:
    known = {str(i): Remembered("x", "ok", Assigned(i % 2, i / 10, 0.0, 2)) for i in range(11)}
    listed = pa.array([*known, "of another folder"])
    line = memory(known).line(listed, ("bee", "cup", "kite"))
    assert line == (
        "11 images have their class from the model; margins: a tenth up to 0.1, half up to 0.5; 0 filtered by --min-margin; "
        "nearest to no image: kite"
    )
    assert memory(known).line(listed.slice(11), ("bee",)) == "no image has a class"
