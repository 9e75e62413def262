"""Folders and the repository's classes where id and name are two things, as in ImageNet."""

from __future__ import annotations

import pytest

from selector.errors import MismatchError
from selector.images.class_names import class_label, match_classes

IDS = ("n02012849", "n03126707", "n02774152")
NAMES = ("crane", "crane", "bag")


def test_a_folder_is_the_class_of_that_id_whatever_the_names() -> None:
    assert match_classes(IDS, IDS, names=NAMES) == dict(zip(IDS, range(3), strict=True))


def test_a_folder_may_be_called_by_a_name_that_only_one_class_has() -> None:
    assert match_classes(("bag",), IDS, names=NAMES) == {"bag": 2}


def test_a_folder_may_be_mapped_to_an_id_or_to_a_name() -> None:
    mapping = {"bird": "n02012849", "handbags": "bag"}
    assert match_classes(("bird", "handbags"), IDS, mapping, NAMES) == {"bird": 0, "handbags": 2}


@pytest.mark.parametrize(("folder", "mapping"), [("crane", None), ("birds", {"birds": "crane"})])
def test_a_name_of_two_classes_is_refused_with_both_ids(folder: str, mapping: dict[str, str] | None) -> None:
    with pytest.raises(MismatchError, match=r"crane \(n02012849, n03126707\)"):
        match_classes((folder,), IDS, mapping, NAMES)


def test_the_list_that_was_exported_serves_as_the_mapping_too() -> None:
    mapping = dict(zip(IDS, NAMES, strict=True))
    assert match_classes(IDS, IDS, mapping, NAMES) == dict(zip(IDS, range(3), strict=True))


def test_an_id_comes_before_a_name() -> None:
    """Class 0 is called b, and b is the id of class 1."""
    assert match_classes(("b",), ("a", "b"), names=("b", "c")) == {"b": 1}
    assert match_classes(("a", "b"), ("a", "b"), {"a": "b", "b": "c"}, ("b", "c")) == {"a": 0, "b": 1}


def test_an_unknown_folder_is_told_ids_and_names() -> None:
    with pytest.raises(MismatchError, match="n02012849 crane, n03126707 crane, n02774152 bag"):
        match_classes(("hat",), IDS, names=NAMES)


def test_a_class_that_is_its_own_id_is_said_once() -> None:
    assert (class_label("bag", "bag"), class_label("n1", "cup")) == ("bag", "n1 cup")
