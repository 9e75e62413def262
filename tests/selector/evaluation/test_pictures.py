"""Reading labelled images for evaluation: boxes, order, refusals."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from selector.errors import MismatchError, SelectorError
from selector.evaluation.pictures import read_data_set
from tests.evaluation_data import CLASSES, WINDOW, write_data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data set as a folder, which may be changed."""
    with tarfile.open(write_data(tmp_path / "data.tar", 3, seed=1)) as tar:
        tar.extractall(tmp_path / "data", filter="data")
    return tmp_path / "data"


def test_class_ids_follow_the_names_given_and_not_the_folders(folder: Path) -> None:
    pictures = read_data_set(folder, ("stripes", "bars", "checks"))
    wanted = {"stripes": 0, "bars": 1, "checks": 2}
    assert [wanted[source.split("/")[0]] for source in pictures.sources] == pictures.labels.tolist()


def test_true_boxes_show_the_bright_object(folder: Path) -> None:
    pictures = read_data_set(folder, CLASSES)
    boxes = [box for box in pictures.boxes if box is not None]
    assert len(boxes) == 9
    cut = pictures.crops(range(9), boxes, WINDOW)
    assert cut.shape == (9, WINDOW, WINDOW, 3)
    assert cut.min() >= 80


def test_data_without_boxes_has_none(folder: Path) -> None:
    (folder / "boxes.csv").unlink()
    assert read_data_set(folder, CLASSES).boxes == (None,) * 9


def test_boxes_of_other_columns_are_an_error_that_names_those_needed(folder: Path) -> None:
    (folder / "boxes.csv").write_text("file,x,y\nbars/000.png,1,2\n")
    with pytest.raises(SelectorError, match="path,top,left,height,width"):
        read_data_set(folder, CLASSES)


def test_a_file_that_is_no_image_stops_the_evaluation_and_is_named(folder: Path) -> None:
    (folder / "bars" / "readme.txt").write_text("no image by its name either")
    (folder / "bars" / "readme.png").write_text("no image")
    with pytest.raises(SelectorError, match=r"bars/readme\.png"):
        read_data_set(folder, CLASSES)


def test_a_folder_of_another_class_is_refused(folder: Path) -> None:
    shutil.copytree(folder / "bars", folder / "dots")
    with pytest.raises(MismatchError, match="dots"):
        read_data_set(folder, CLASSES)


def test_a_class_without_images_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "bars")
    with pytest.raises(SelectorError, match="has no images of: bars"):
        read_data_set(folder, CLASSES)


def test_taking_some_keeps_images_labels_and_boxes_together(folder: Path) -> None:
    pictures = read_data_set(folder, CLASSES)
    some = pictures.take([7, 2])
    assert some.sources == (pictures.sources[7], pictures.sources[2])
    assert some.labels.tolist() == pictures.labels[[7, 2]].tolist()
    assert np.array_equal(some.images[1], pictures.images[2])
    assert some.boxes == (pictures.boxes[7], pictures.boxes[2])
