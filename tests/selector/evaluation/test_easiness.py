"""EL2N: its formula by hand, what it says of a wrong label, and its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from selector.errors import MismatchError, SelectorError
from selector.evaluation.easiness import Committee, load_committee, save_committee, short_steps, train_committee
from selector.evaluation.pictures import Pictures, read_data_set
from selector.evaluation.teacher import Teacher
from tests.evaluation_data import CLASSES, write_data

PX = 16


def whole_images(pictures: Pictures) -> NDArray[np.uint8]:
    numbers = range(len(pictures))
    return pictures.crops(numbers, [pictures.whole(number) for number in numbers], PX)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    return read_data_set(write_data(tmp_path_factory.mktemp("data") / "train.tar", 40, seed=1), CLASSES)


@pytest.fixture(scope="module")
def committee(pictures: Pictures) -> Committee:
    steps: list[int] = []
    made = train_committee(
        pictures, CLASSES, architecture="convnet", side_px=PX, steps=40, seed=0, advance=steps.append
    )
    assert sum(steps) == 120
    return made


class Fixed(nn.Module):  # type: ignore[misc]
    """A network that gives every image the same logits."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), -1)


def test_the_error_norm_is_the_mean_over_networks_of_the_distance_from_the_one_hot_label() -> None:
    """Probabilities (.6, .3, .1) and (1, 0, 0); class 0: |(-.4, .3, .1)| = sqrt(.26) and 0; class 1: sqrt(.86), sqrt 2."""
    networks = (Fixed(*np.log([0.6, 0.3, 0.1])), Fixed(0.0, -200.0, -200.0))
    committee = Committee(tuple(Teacher(network, "fixed", CLASSES, 16, 1, 0) for network in networks))
    found = committee.error_norm(np.array([0, 1]), np.zeros((2, 16, 16, 3), np.uint8))
    assert found == pytest.approx([np.sqrt(0.26) / 2, (np.sqrt(0.86) + np.sqrt(2)) / 2], rel=1e-6)


def test_an_image_with_a_wrong_label_is_the_hardest_of_its_class(committee: Committee, tmp_path: Path) -> None:
    fresh = read_data_set(write_data(tmp_path / "fresh.tar", 15, seed=5), CLASSES)
    labels = fresh.labels.copy()
    wrong = {int(label): int(np.flatnonzero(fresh.labels == (label + 1) % 3)[7]) for label in range(3)}
    for label, number in wrong.items():
        labels[number] = label
    error = committee.error_norm(labels, whole_images(fresh))
    for label, number in wrong.items():
        own = np.flatnonzero(labels == label)
        assert own[error[own].argmax()] == number


def test_true_boxes_are_not_looked_at(pictures: Pictures) -> None:
    unboxed = replace(pictures, boxes=(None,) * len(pictures))
    settings = {"architecture": "convnet", "side_px": PX, "steps": 2, "seed": 0, "advance": lambda _: None}
    first, second = (train_committee(data, CLASSES, **settings) for data in (pictures, unboxed))
    images = whole_images(pictures)[:9]
    assert (first.error_norm(pictures.labels[:9], images) == second.error_norm(pictures.labels[:9], images)).all()


def test_kept_networks_answer_as_before_and_only_for_their_classes_and_size(
    committee: Committee, pictures: Pictures, tmp_path: Path
) -> None:
    save_committee(committee, tmp_path / "judge.el2n.pt")
    again = load_committee(tmp_path / "judge.el2n.pt", CLASSES, PX)
    images = whole_images(pictures)[::10]
    assert (
        again.error_norm(pictures.labels[::10], images) == committee.error_norm(pictures.labels[::10], images)
    ).all()
    for names, side in ((CLASSES[::-1], PX), (CLASSES, 32)):
        with pytest.raises(MismatchError, match="remove the file and pass --teacher-data"):
            load_committee(tmp_path / "judge.el2n.pt", names, side)
    (tmp_path / "judge.el2n.pt").write_text("none")
    with pytest.raises(SelectorError, match="holds no networks written by this program"):
        load_committee(tmp_path / "judge.el2n.pt", CLASSES, PX)


def test_a_network_is_trained_for_a_tenth_of_the_teachers_steps() -> None:
    assert [short_steps(steps) for steps in (1, 40, 2500)] == [1, 4, 250]
