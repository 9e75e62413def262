"""The built-in lists of classes: what stands in them, and that they fit one another and the prompts that are made of them."""

from __future__ import annotations

from collections import Counter

import pytest

from export_scripts.class_list import read_class_list
from selector.builtin import CLASS_LISTS, builtin_class_list
from selector.images.class_names import composed, match_classes, read_class_names

COUNTS = {"imagenet-1k": 1000, "imagenet-100": 100, "imagenette": 10, "imagewoof": 10}
DOUBLED = {"crane": ("n02012849", "n03126707"), "maillot": ("n03710637", "n03710721")}


def lines(name: str) -> list[tuple[str, str]]:
    text = builtin_class_list(name).read_text(encoding="utf-8")
    return [(id_, called) for id_, called in (line.split("\t") for line in text.splitlines())]


def test_every_list_has_its_file_and_no_file_is_without_a_list() -> None:
    assert {path.name for path in builtin_class_list("x").parent.iterdir()} == {f"{name}.tsv" for name in COUNTS}
    assert set(CLASS_LISTS) == set(COUNTS)


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_a_list_has_its_classes_once_each_in_the_order_of_their_wordnet_ids(name: str) -> None:
    ids = [id_ for id_, _ in lines(name)]
    assert len(ids) == COUNTS[name]
    assert ids == sorted(set(ids))
    assert all(len(id_) == 9 and id_[0] == "n" and id_[1:].isdigit() for id_ in ids)


def test_the_thousand_classes_stand_where_every_trained_network_has_them() -> None:
    """Indexes that papers and model zoos quote."""
    names = [called for _, called in lines("imagenet-1k")]
    known = {
        0: "tench",
        1: "goldfish",
        207: "golden retriever",
        217: "English springer",
        281: "tabby",
        388: "giant panda",
    }
    known |= {417: "balloon", 497: "church", 701: "parachute", 980: "volcano", 999: "toilet tissue"}
    assert {index: names[index] for index in known} == known


def test_two_names_stand_twice_and_their_ids_tell_them_apart() -> None:
    by_name: dict[str, list[str]] = {}
    for id_, called in lines("imagenet-1k"):
        by_name.setdefault(called, []).append(id_)
    assert {called: tuple(ids) for called, ids in by_name.items() if len(ids) > 1} == DOUBLED


def test_no_two_names_differ_by_capitals_alone() -> None:
    """CLIP's tokenizer knows no capitals: an export would refuse "Cardigan", the dog, beside "cardigan", the garment."""
    names = {called for _, called in lines("imagenet-1k")}
    assert [c for c, count in Counter(map(str.casefold, names)).items() if count > 1] == []
    assert {"Cardigan Welsh corgi", "cardigan"} <= names
    assert all(called == composed(called) and called == called.strip() and "_" not in called for called in names)


@pytest.mark.parametrize("name", [name for name in CLASS_LISTS if name != "imagenet-1k"])
def test_a_subset_has_the_names_that_the_whole_has(name: str) -> None:
    assert set(lines(name)) <= set(lines("imagenet-1k"))


def test_the_two_small_lists_are_the_classes_that_their_makers_name() -> None:
    assert [called for _, called in lines("imagenette")] == [
        *("tench", "English springer", "cassette player", "chain saw", "church", "French horn", "garbage truck"),
        *("gas pump", "golf ball", "parachute"),
    ]
    assert {called.lower() for _, called in lines("imagewoof")} == {
        *("australian terrier", "border terrier", "samoyed", "beagle", "shih-tzu", "english foxhound"),
        *("rhodesian ridgeback", "dingo", "golden retriever", "old english sheepdog"),
    }


@pytest.mark.parametrize("name", CLASS_LISTS)
def test_the_exporter_and_the_map_of_folders_read_every_list(name: str) -> None:
    path = builtin_class_list(name)
    listed = read_class_list(path)
    assert list(zip(listed.ids, listed.names, strict=True)) == lines(name)
    assert match_classes(listed.ids, listed.ids, read_class_names(path), listed.names) == {
        id_: place for place, id_ in enumerate(listed.ids)
    }


def test_a_doubled_name_is_no_map_to_a_repository_that_has_names_alone() -> None:
    """n03126707 is the machine: to take it for a class called "crane" would be a guess."""
    mapping = read_class_names(builtin_class_list("imagenet-1k"))
    assert mapping["n01440764"] == "tench"
    assert {mapping[id_] for ids in DOUBLED.values() for id_ in ids} == {id_ for ids in DOUBLED.values() for id_ in ids}
