"""The classes of a selection as every format names them: a number, an id, a name, a label, a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selector.images.class_names import class_label


@dataclass(frozen=True)
class OutputClass:
    """A class of a selection.

    index: its place among the selection's classes, those without a pick included; the classes are sorted by class_id. class_id:
    its number in the repository. key: its id, or its name where it has none; no two are equal. name: two classes may share it.
    label: the name, where the names tell all classes apart; no two are equal.
    """

    index: int
    class_id: int
    key: str
    name: str
    label: str


def output_classes(keys: Mapping[int, str], names: Mapping[int, str]) -> tuple[OutputClass, ...]:
    """The classes of a selection. keys, names: by class_id."""
    numbers = sorted(keys)
    labels = _labels([keys[number] for number in numbers], [names[number] for number in numbers])
    return tuple(
        OutputClass(index, number, keys[number], names[number], labels[index]) for index, number in enumerate(numbers)
    )


def _labels(keys: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """The first that tells all classes apart: names, ids with names, ids."""
    for labels in (names, list(map(class_label, keys, names))):
        if len(set(labels)) == len(labels):
            return labels
    return keys


def class_folder(class_name: str) -> str:
    """The folder name of a class: its name, with what a path can't hold percent-encoded, so that no two classes meet."""
    kept = "".join(f"%{ord(c):02X}" if c in '%/\\:*?"<>|' or ord(c) < 32 else c for c in class_name)
    return f"%2E{kept[1:]}" if kept.startswith(".") else kept or "%"


def indexed_folder(index: int) -> str:
    """The folder name of a class by its number, such that sorted folders are in the order of classes."""
    return f"{index:05d}"
