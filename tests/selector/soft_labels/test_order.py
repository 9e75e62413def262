"""The guard of the order of the teacher's classes: right teachers pass, wrong orders are refused and what fits is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from selector.cli import main
from selector.errors import MismatchError, SelectorError, UsageError
from selector.output.classes import output_classes
from selector.progress import Progress
from selector.soft_labels.classes import TeacherClasses, columns_of, other_columns
from selector.soft_labels.label import label
from selector.soft_labels.order import Sample, check_order
from selector.soft_labels.settings import LabelConfig
from tests.selector.soft_labels.coloured import COLOURS, onnx_teacher, write_coloured

QUIET = Progress(quiet=True)
HALF = (0.5, 0.5, 0.5)
WORDS = [f"class {number:03d}" for number in range(100)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_coloured(tmp_path)


def asked(folder: Path, outputs: Sequence[str], names: Sequence[str] | None = None) -> LabelConfig:
    """A teacher with these outputs, of which the list says `names`."""
    teacher, listed = onnx_teacher(folder.parent / "t.onnx", outputs), None
    if names is not None:
        listed = folder.parent / "names.txt"
        listed.write_text("\n".join(names))
    return LabelConfig(folder, str(teacher), listed, views=1, mean=HALF, std=HALF, threads=1)


SWAPPED = ("green", "red", *COLOURS[2:])
FURTHER = ("background", *COLOURS)


@pytest.mark.parametrize(
    ("outputs", "names", "fits"),
    [
        (sorted(COLOURS), COLOURS, "the data's class ids sorted as text"),
        (sorted(COLOURS), None, "the data's class ids sorted as text"),
        (COLOURS, sorted(COLOURS), "the data's classes by their index"),
        (COLOURS[::-1], COLOURS, "backwards"),
        (FURTHER, (*COLOURS, "other"), "one output further"),
        ((*COLOURS, "other"), FURTHER, "the data's classes by their index"),
        (SWAPPED, COLOURS, "red is called green; green is called red"),
    ],
)
def test_an_order_that_is_not_the_claimed_one_is_refused_and_the_one_that_fits_named(
    folder: Path, outputs: Sequence[str], names: Sequence[str] | None, fits: str
) -> None:
    with pytest.raises(MismatchError, match="another order") as refused:
        label(asked(folder, outputs, names), QUIET)
    assert fits in str(refused.value)
    assert not list(folder.rglob("*soft-labels*"))


@pytest.mark.parametrize(
    ("outputs", "names"),
    [(sorted(COLOURS), sorted(COLOURS)), (SWAPPED, SWAPPED), (FURTHER, FURTHER), (COLOURS, None)],
)
def test_the_true_order_is_taken(folder: Path, outputs: Sequence[str], names: Sequence[str] | None) -> None:
    assert label(asked(folder, outputs, names), QUIET)["check"]["accuracy"] == 1.0


def test_the_command_ends_with_the_code_of_a_mismatch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = asked(folder, COLOURS, COLOURS[::-1])
    given = ["--teacher", config.teacher, "--teacher-classes", str(config.teacher_classes), "--mean", ".5,.5,.5"]
    with pytest.raises(SystemExit) as ended:
        main(["label", str(folder), *given, "--std", ".5,.5,.5", "--threads", "1"])
    assert ended.value.code == 4
    assert "on 100.0% with another order" in capsys.readouterr().err


def test_a_teacher_that_knows_too_little_is_refused_with_its_number_and_the_option(folder: Path) -> None:
    config = asked(folder, ("red", "green", "blue", "w", "x", "y"), COLOURS)
    with pytest.raises(MismatchError, match=r"right on 50\.0% of 24 picks.*needed: 60%.*lower --least-accuracy"):
        label(replace(config, least_accuracy=0.6), QUIET)
    assert label(replace(config, least_accuracy=0.4), QUIET)["check"]["accuracy"] == 0.5


def test_other_pictures_can_be_what_the_order_is_checked_on(folder: Path, tmp_path: Path) -> None:
    sample = write_coloured(tmp_path / "more", 6) / "images"
    made = label(replace(asked(folder, COLOURS), check=sample), QUIET)
    assert (made["check"]["pictures"], made["check"]["of"]) == (36, "images")
    for place, name in ((sample / "cyan", "x"), (sample / "red", "cyan"), (sample / "x", "red")):
        place.rename(sample / name)
    with pytest.raises(MismatchError, match="cyan is called red"):
        label(replace(asked(folder, COLOURS), check=sample), QUIET)


def test_what_can_not_be_a_sample_is_named(folder: Path, tmp_path: Path) -> None:
    sample = write_coloured(tmp_path / "more", 6) / "images"
    (sample / "red").rename(sample / "Red")
    with pytest.raises(MismatchError, match="--check takes class folders called as the selection's classes"):
        label(replace(asked(folder, COLOURS), check=sample), QUIET)
    (sample / "Red").rename(sample / "red")
    broken = sorted((sample / "red").iterdir())[0]
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(SelectorError, match=f"--check: .*{broken.name} can't be used: damaged or cut short"):
        label(replace(asked(folder, COLOURS), check=sample), QUIET)


def test_classes_that_the_teacher_has_not_are_named_with_what_they_nearly_are(folder: Path) -> None:
    names = ("Red", *COLOURS[1:])
    with pytest.raises(MismatchError, match=r"has no class for red of the data.\n'red' is nearly the class 'Red'"):
        label(asked(folder, COLOURS, names), QUIET)


def test_a_list_of_another_length_than_the_outputs_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"has 7 outputs, and --teacher-classes names.txt names 6 classes"):
        label(asked(folder, FURTHER, COLOURS), QUIET)
    with pytest.raises(UsageError, match="does not name its 7 classes"):
        label(asked(folder, FURTHER), QUIET)


def test_classes_are_found_by_id_before_a_name_that_several_have() -> None:
    teacher = TeacherClasses(("n1", "n2", "n3"), ("crane", "crane", "tench"), "a list")
    own = output_classes({0: "n2", 1: "fish", 2: "n1"}, {0: "crane", 1: "tench", 2: "crane"})
    assert columns_of(own, teacher).tolist() == [1, 2, 0]
    with pytest.raises(MismatchError, match="has no class for crane"):
        columns_of(output_classes({0: "crane"}, {0: "crane"}), teacher)


def test_every_list_of_as_many_classes_is_tried() -> None:
    tench = output_classes({0: "n01440764"}, {0: "tench"})
    lines = tuple(f"n{number}" for number in range(999))
    others = other_columns(tench, TeacherClasses((*lines, "n01440764"), (*lines, "tench"), "mine"), np.array([999]))
    assert others["--teacher-classes imagenet-1k"].tolist() == [0]
    assert others["--teacher-classes imagenet-1k, sorted by name"].tolist() == [890]


def errs(accuracy: float, each: int, seed: int, *, pairs: float = 0.3) -> Sample:
    """What a right teacher says of `each` pictures of 100 classes. pairs: the share of its errors that names one like class."""
    draw = np.random.default_rng(seed)
    truth = np.repeat(np.arange(100), each)
    right, pair = draw.random(len(truth)) < accuracy, draw.random(len(truth)) < pairs
    said = np.where(right, truth, np.where(pair, truth ^ 1, draw.integers(0, 100, len(truth))))
    return Sample(truth, said, "pictures")


@pytest.mark.parametrize("each", [1, 2, 10, 50])
@pytest.mark.parametrize("accuracy", [0.3, 0.6, 0.9])
def test_a_right_teacher_that_errs_is_not_said_to_have_another_order(accuracy: float, each: int) -> None:
    """A third of its errors names one like class, as of two breeds."""
    columns = np.arange(100)
    for seed in range(10):
        found = check_order(errs(accuracy, each, seed), columns, {}, 0.0, "a list", WORDS, WORDS)
        assert found == pytest.approx(accuracy, abs=0.25)


@pytest.mark.parametrize("seed", range(5))
def test_two_classes_of_a_hundred_that_changed_places_are_found(seed: int) -> None:
    """Ten pictures of each, of which the teacher knows 80 %: the bar does not see it."""
    swapped = np.array([0, 1, 50, *range(3, 50), 2, *range(51, 100)])
    with pytest.raises(MismatchError, match="class 002 is called class 050; class 050 is called class 002"):
        check_order(errs(0.8, 10, seed), swapped, {}, 0.5, "a list", WORDS, [WORDS[n] for n in swapped.argsort()])
