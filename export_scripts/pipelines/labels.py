"""The classes of a denoiser whose prompts are labels: by index, since its table of labels is by index.

`id2label` of model_index.json joins synonyms by commas. A class's name is that whole text, or the name in --classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unicodedata import normalize

from export_scripts.errors import PipelineError
from export_scripts.pipelines.config_check import INDEX
from export_scripts.settings import Wanted


def read_labels(id2label: Any) -> dict[int, str] | None:
    """The names by index in model_index.json, or None if it has none. Raises PipelineError for what is no such table."""
    if id2label is None:
        return None
    if not isinstance(id2label, Mapping) or not all(isinstance(v, str) and v.strip() for v in id2label.values()):
        raise PipelineError(f"{INDEX}: id2label is no table of index and name")
    try:
        found = {int(key): normalize("NFC", " ".join(label.split())) for key, label in id2label.items()}
    except ValueError:
        raise PipelineError(f"{INDEX}: id2label has an index that is no number") from None
    if len(found) != len(id2label):
        raise PipelineError(f"{INDEX}: id2label names a class twice")
    return found


def classes_of(
    kind: str, found: Mapping[int, str] | None, count: int, wanted: Wanted
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids and names of the `count` classes of the label table, whose last row, that of no class, is not among them.

    found: as read_labels. Raises PipelineError for classes that are not those rows, in their order.
    """
    labels = None if found is None else _in_order(kind, found, count)
    if wanted.classes is None:
        if labels is None:
            raise PipelineError(
                f"{INDEX} has no id2label, which names the {count} classes of this {kind}: name them by index in a file, "
                "one per line, with --classes (imagenet-1k is the built-in list of ImageNet's)"
            )
        return tuple(map(str, range(count))), labels
    names = wanted.class_names or wanted.classes
    if len(names) != count:
        more = ": the row of no class is not one of them" if len(names) == count + 1 else ""
        raise PipelineError(
            f"--classes names {len(names)} classes, this {kind} has labels for {count}, by index{more}: name every class, in "
            "the order that it was trained with"
        )
    if labels is not None:
        _check_order(names, labels)
    return wanted.classes, names


def _in_order(kind: str, found: Mapping[int, str], count: int) -> tuple[str, ...]:
    missing, more = sorted(set(range(count)) - set(found)), sorted(set(found) - set(range(count)))
    if missing or more:
        what = [f"has no name for {missing[0]}"] if missing else []
        what += [f"names {more[0]}"] if more else []
        raise PipelineError(
            f"{INDEX}: id2label {' and '.join(what)}, the table of this {kind} has the classes 0 to {count - 1} and, as its "
            f"row {count}, that of no class"
        )
    return tuple(found[index] for index in range(count))


def _check_order(names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Raises PipelineError for a name that is another class's label, as in a list that is shifted by one."""
    places: dict[str, set[int]] = {}
    for index, label in enumerate(labels):
        for word in (label, *label.split(",")):
            places.setdefault(word.strip(), set()).add(index)
    for index, name in enumerate(names):
        known = places.get(name, {index})
        if index not in known:
            other = min(known)
            raise PipelineError(
                f"--classes has {name!r} as class {index}, {INDEX} as class {other} ({labels[other]!r}): classes are taken by "
                "index, so a list in another order, or shifted by one, would mean other classes"
            )
