"""Folders that are not those of classes: the message says where the classes seem to lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from selector.errors import MismatchError
from selector.images.class_folders import matched_folders
from selector.images.datasets import list_items
from tests.selector.images.test_listing import tarred, write

CLASSES = ("bag", "coat", "hat")


def refusal(root: Path, mapping: dict[str, str] | None = None) -> str:
    with pytest.raises(MismatchError) as error:
        matched_folders(list_items(root), CLASSES, mapping)
    assert "no class of the repository for" in str(error.value)
    return str(error.value).splitlines()[-1]


def test_folders_with_the_names_of_classes_are_matched(tmp_path: Path) -> None:
    root = write(tmp_path, {"coat/1.png": b"", "bag/train/2.png": b""})
    assert matched_folders(list_items(root), CLASSES) == {"bag": 0, "coat": 1}


@pytest.mark.parametrize("above", ["", "images/", "a/b/c/"])
def test_classes_below_a_split_are_found_however_deep(tmp_path: Path, above: str) -> None:
    files = {f"{above}{split}/{name}/1.png": b"" for split in ("train", "val") for name in ("bag", "hat", "other")}
    root = write(tmp_path / "data", files)
    assert refusal(root).endswith(f"name that folder as the data, as in: selector run {root}/{above}train")
    assert f"in {above}train, {above}val" in refusal(root)
    assert f"tar -C {above}train -cf train.tar ." in refusal(tarred(root))


def test_a_single_folder_above_the_classes_is_found_by_mapped_names_too(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"imagenet/n1/1.png": b"", "imagenet/n2/1.png": b""})
    assert refusal(root, {"n1": "bag", "n2": "hat"}).endswith(f"selector run {root / 'imagenet'}")


def test_data_that_has_the_name_of_a_class_is_sent_to_the_folder_above(tmp_path: Path) -> None:
    root = write(tmp_path / "bag", {"2020/1.png": b"", "2021/1.png": b""})
    assert refusal(root).endswith(f"selector run {tmp_path}")


def test_a_folder_without_images_beside_the_classes_can_be_excluded(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"bag/1.png": b"", "labels/1.txt": b"0 0 0"})
    assert refusal(root).endswith("can be left out: --exclude labels")
    assert matched_folders(list_items(root, exclude=("labels",)), CLASSES) == {"bag": 0}


def test_where_nothing_is_recognised_nothing_is_proposed(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"one/bag/1.png": b"", "one/b/1.png": b"", "one/c/1.png": b""})
    assert refusal(root).startswith("Map folders with --class-names")


def test_classes_that_lie_deeper_are_found_in_any_form_of_unicode(tmp_path: Path) -> None:
    root = write(tmp_path, {"train/cafe\u0301/1.png": b""})
    with pytest.raises(MismatchError, match="The classes lie deeper, in train"):
        matched_folders(list_items(root), ("caf\u00e9",))
