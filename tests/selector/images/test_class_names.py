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


NFC, NFD = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(("folder", "class_"), [(NFC, NFD), (NFD, NFC), (NFD, NFD)])
def test_the_same_letters_stored_in_another_way_are_the_same_class(folder: str, class_: str) -> None:
    assert match_classes((folder,), ("bag", class_)) == {folder: 1}
    assert match_classes((folder,), ("n1", "n2"), names=("bag", class_)) == {folder: 1}
    assert match_classes((folder,), ("bag", "cup"), {class_: "cup"}) == {folder: 1}
    assert match_classes(("n7",), ("bag", class_), {"n7": folder}) == {"n7": 1}


def test_two_folders_that_are_one_word_are_one_class() -> None:
    """As a copy of a Mac's disk beside the original: nothing is lost, and the same bytes count once anyway."""
    assert match_classes((NFC, NFD), (NFC,)) == {NFC: 0, NFD: 0}


@pytest.mark.parametrize(
    "folder",
    ["Great White Shark", "great_white_shark", "great-white-shark", "GreatWhiteShark", "great\u00a0white shark"],
)
def test_a_near_miss_is_refused_and_its_class_proposed(folder: str) -> None:
    with pytest.raises(MismatchError) as refused:
        match_classes((folder, "bag"), ("n01484850", "bag"), names=("great white shark", "bag"))
    said = str(refused.value).splitlines()[1]
    assert said == (
        f"{folder!r} is nearly the class 'n01484850' ('great white shark'): rename one of them, or map the folder."
    )


def test_a_near_miss_of_an_id_of_a_mapped_word_and_of_a_line_of_the_map_are_proposed_too() -> None:
    def lines(*asked: object) -> list[str]:
        with pytest.raises(MismatchError) as refused:
            match_classes(*asked)  # type: ignore[arg-type]
        return [line for line in str(refused.value).splitlines() if "nearly" in line]

    assert lines(("N02012849",), IDS, None, NAMES) == [
        "'N02012849' is nearly the class 'n02012849' ('crane'): rename one of them, or map the folder."
    ]
    assert lines(("a",), ("hand bag",), {"a": "Hand_Bag"}) == [
        "'a', mapped to 'Hand_Bag', is nearly the class 'hand bag': rename one of them, or map the folder."
    ]
    assert lines(("N1",), ("bag",), {"n1": "bag"}) == [
        "'N1' is nearly 'n1' of --class-names: rename one of them, or map the folder."
    ]
    assert lines(("Crane",), IDS, None, NAMES) == [
        "'Crane' is nearly the class 'n02012849' ('crane') and the class 'n03126707' ('crane'): rename one of them, or map "
        "the folder."
    ]
    assert lines(("hat",), ("bag",)) == []


def test_many_near_misses_are_counted() -> None:
    classes = tuple(f"class {n}" for n in range(9))
    with pytest.raises(MismatchError, match="\n4 more folders nearly are classes"):
        match_classes(tuple(f"Class_{n}" for n in range(9)), classes)


def test_wordnet_ids_without_a_map_are_told_of_the_list() -> None:
    with pytest.raises(MismatchError, match="by --class-names imagenet-1k"):
        match_classes(("n01440764", "n01443537"), ("tench", "goldfish"))
    with pytest.raises(MismatchError) as refused:
        match_classes(("n01440764", "hat"), ("tench", "goldfish"))
    assert "imagenet-1k" not in str(refused.value)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("0", "2"), {"0": 0, "2": 2}),
        (("00", "02", "2"), {"00": 0, "02": 2, "2": 2}),
        (("tench", "goldfish"), {"tench": 0, "goldfish": 1}),
    ],
)
def test_labels_that_are_numbers_are_positions(folders: tuple[str, ...], expected: dict[str, int]) -> None:
    assert match_classes(folders, ("tench", "goldfish", "shark")) == expected


def test_a_class_that_is_called_by_a_number_is_meant_by_its_name_and_no_number_is_a_position() -> None:
    assert match_classes(("7", "5"), ("5", "7")) == {"7": 1, "5": 0}
    assert match_classes(("7",), ("a", "b"), names=("seven", "7")) == {"7": 1}
    for folders in (("0", "7"), ("07",)):
        with pytest.raises(MismatchError, match="no class of the repository for"):
            match_classes(folders, ("5", "7"))


@pytest.mark.parametrize("folders", [("0", "3"), ("0", "tench"), ("-1", "0"), ("²",)])
def test_numbers_beyond_the_classes_or_beside_names_are_refused(folders: tuple[str, ...]) -> None:
    with pytest.raises(MismatchError, match="no class of the repository for"):
        match_classes(folders, ("tench", "goldfish", "shark"))
