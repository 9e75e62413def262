"""The teacher's checks: order of classes, accuracy, its file; on an easy data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from selector.errors import MismatchError, SelectorError
from selector.evaluation.pictures import Pictures, read_data_set
from selector.evaluation.teacher import (
    Teacher,
    check_teacher,
    held_out,
    load_teacher,
    one_cycle,
    save_teacher,
    train_teacher,
)
from tests.evaluation_data import CLASSES, write_data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return read_data_set(write_data(tmp_path_factory.mktemp("data") / "train.tar", 30, seed=1), CLASSES)


@pytest.fixture(scope="module")
def teacher(pictures: Pictures) -> Teacher:
    steps: list[int] = []
    made = train_teacher(
        pictures, CLASSES, architecture="convnet", side_px=16, window=0.5, steps=40, advance=steps.append
    )
    assert sum(steps) == 40
    return made


def test_a_trained_teacher_knows_objects_that_it_has_not_seen(teacher: Teacher, tmp_path: Path) -> None:
    unseen = read_data_set(write_data(tmp_path / "new.tar", 20, seed=9), CLASSES)
    assert check_teacher(teacher, CLASSES, unseen, 0.9) >= 0.9


def test_its_confidence_is_higher_on_the_object_than_beside_it(teacher: Teacher, pictures: Pictures) -> None:
    numbers = list(range(len(pictures)))
    on_object = pictures.crops(numbers, [box for box in pictures.boxes if box], 16)
    dark = np.random.default_rng(0).integers(0, 60, on_object.shape).astype(np.uint8)
    sure, unsure = (teacher.confidence(pictures.labels, crops) for crops in (on_object, dark))
    assert np.mean(sure) > np.mean(unsure) + 0.3
    assert (sure <= 0).all()


def test_class_names_in_another_order_are_refused_and_both_orders_named(teacher: Teacher, pictures: Pictures) -> None:
    with pytest.raises(MismatchError, match=r"bars, checks, stripes; the data's are checks, bars, stripes"):
        check_teacher(teacher, ("checks", "bars", "stripes"), pictures, 0.1)


def test_outputs_in_another_order_than_the_names_say_are_found(teacher: Teacher, pictures: Pictures) -> None:
    """The silent failure: names agree, logits do not."""
    swapped = replace(pictures, labels=np.array([1, 0, 2])[pictures.labels])
    with pytest.raises(MismatchError, match="bars is called checks; checks is called bars"):
        check_teacher(teacher, CLASSES, swapped, 0.0)


def test_a_teacher_below_the_floor_is_refused(teacher: Teacher, pictures: Pictures) -> None:
    with pytest.raises(MismatchError, match="needed: 101%"):
        check_teacher(teacher, CLASSES, pictures, 1.01)


def test_a_saved_teacher_answers_as_before(teacher: Teacher, pictures: Pictures, tmp_path: Path) -> None:
    save_teacher(teacher, tmp_path / "deep" / "teacher.pt")
    again = load_teacher(tmp_path / "deep" / "teacher.pt")
    crops = pictures.crops([0, 40, 80], [pictures.whole(0)] * 3, 16)
    labels = pictures.labels[[0, 40, 80]]
    assert again.confidence(labels, crops).tolist() == teacher.confidence(labels, crops).tolist()
    assert (again.class_names, again.steps) == (CLASSES, 40)


def test_a_file_that_is_no_teacher_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.pt").write_text("not a teacher")
    with pytest.raises(SelectorError, match=r"notes\.pt is no teacher"):
        load_teacher(tmp_path / "notes.pt")


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 600])
def test_the_rate_goes_up_and_down_whatever_the_number_of_steps(steps: int) -> None:
    """torch's own schedule divides by zero where its warm-up is one step long, with ten steps."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.AdamW([weight], 0.002)
    schedule = one_cycle(optimiser, 0.002, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert max(rates) <= 0.002 * (1 + 1e-9)
    if steps == 600:
        assert int(np.argmax(rates)) == 59
        assert rates[-1] < 0.0001


def test_one_image_in_ten_is_held_out() -> None:
    assert held_out(25).nonzero()[0].tolist() == [0, 10, 20]
