"""How classes are called in what is handed out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selector.output.classes import class_folder, indexed_folder, output_classes


@given(st.sets(st.text(max_size=12), min_size=2, max_size=8))
def test_class_folders_stay_inside_and_apart(names: set[str]) -> None:
    folders = {class_folder(name) for name in names}
    assert len(folders) == len(names)
    for folder in folders:
        assert folder not in ("", ".", "..")
        assert "/" not in folder
        assert "\0" not in folder


def test_ordinary_class_names_are_their_own_folders() -> None:
    for name in ("t-shirt", "ankle-boot", "n01440764", "great white shark, white shark"):
        assert class_folder(name) == name


def test_folders_by_number_sort_as_the_classes_do() -> None:
    assert sorted(map(indexed_folder, range(2000))) == [indexed_folder(number) for number in range(2000)]
    assert indexed_folder(7) == "00007"


def test_classes_are_numbered_without_gaps_in_the_order_of_the_repository() -> None:
    classes = output_classes({7: "b", 2: "c"}, {7: "b", 2: "c"})
    assert [(one.index, one.class_id, one.key) for one in classes] == [(0, 2, "c"), (1, 7, "b")]


def test_a_label_is_the_name_where_names_tell_classes_apart_and_has_the_id_where_they_do_not() -> None:
    apart = output_classes({0: "n1", 1: "n2"}, {0: "crane", 1: "tench"})
    assert [one.label for one in apart] == ["crane", "tench"]
    twins = output_classes({0: "n1", 1: "n2"}, {0: "crane", 1: "crane"})
    assert [one.label for one in twins] == ["n1 crane", "n2 crane"]


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3), min_size=1, max_size=6))
def test_labels_are_never_equal(named: dict[str, str]) -> None:
    classes = output_classes(dict(enumerate(named)), dict(enumerate(named.values())))
    assert len({one.label for one in classes}) == len(classes)
