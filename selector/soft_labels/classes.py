"""Which output of the teacher each class of the data is: as it is claimed, and as it might be instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selector.builtin import CLASS_LISTS, builtin_class_list
from selector.errors import MismatchError, UsageError
from selector.images.class_names import class_label, composed
from selector.images.near_names import proposals
from selector.output.classes import OutputClass
from selector.soft_labels.networks import Network

_SHOWN = 10
_IMAGENET = 1000
Columns = NDArray[np.int64]
"""int64 [classes of the data]: the output of each."""


@dataclass(frozen=True)
class TeacherClasses:
    """ids, names: of the teacher's outputs, in order; a class without an id has its name for one. said: who says so."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    said: str

    @property
    def labels(self) -> list[str]:
        """What a reader may see of each; no two are equal."""
        return list(map(class_label, self.ids, self.names))


def read_classes(path: Path, said: str) -> TeacherClasses:
    """The classes in a file of lines `id<TAB>name` or `name`, in the order of the teacher's outputs; raises UsageError."""
    try:
        lines = composed(path.read_text(encoding="utf-8-sig")).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--teacher-classes: {path} can't be read as UTF-8 text: {error}") from None
    rows = [[part.strip() for part in line.split("\t")] for line in lines if line.strip()]
    ids, names = tuple(row[0] for row in rows), tuple(row[-1] for row in rows)
    if any(len(row) > 2 for row in rows) or not all((*ids, *names)):
        raise UsageError(f"--teacher-classes: {path} must have a name, or id<TAB>name, in each line")
    if twice := [id_ for id_, count in Counter(ids).items() if count > 1]:
        raise UsageError(
            f"--teacher-classes: {path} names {', '.join(twice[:_SHOWN])} more than once: two classes of one name need an "
            "id each (id<TAB>name)"
        )
    return TeacherClasses(ids, names, said)


def claimed_classes(
    listed: Path | None, network: Network, classes: Sequence[OutputClass], note: Callable[[str], None]
) -> TeacherClasses:
    """What the teacher's outputs are said to be: by the list, by its file, or by their number, which a line tells.

    Raises UsageError where nothing says it, or the number is another.
    """
    count, known = network.outputs, network.loaded.class_names
    if listed is not None:
        found = read_classes(listed, f"--teacher-classes {_list_name(listed)}")
    elif known is not None:
        found = TeacherClasses(known, known, "the teacher's own file")
    elif count == len(classes):
        found = TeacherClasses(tuple(c.key for c in classes), tuple(c.name for c in classes), "the data's own order")
        note(
            f"{network.loaded.name} does not name its {count} classes: they are taken for the data's, in the data's order"
        )
    elif count == _IMAGENET:
        found = read_classes(builtin_class_list("imagenet-1k"), "imagenet-1k")
        note(f"{network.loaded.name} does not name its {count} classes: they are taken for those of imagenet-1k")
    else:
        raise UsageError(
            f"{network.loaded.name} does not name its {count} classes: name them in its order (--teacher-classes FILE, "
            f"lines `name` or `id<TAB>name`, or a built-in list: {', '.join(CLASS_LISTS)})"
        )
    if len(found.ids) != count:
        raise UsageError(
            f"{network.loaded.name} has {count} outputs, and {found.said} names {len(found.ids)} classes: a line is needed for "
            "each output, such as `background` for one that is no class"
        )
    return found


def columns_of(classes: Sequence[OutputClass], teacher: TeacherClasses) -> Columns:
    """The output of every class, by id, else by a name that one class alone has; raises MismatchError that names the rest."""
    by_id = {composed(id_): place for place, id_ in enumerate(teacher.ids)}
    uses = Counter(map(composed, teacher.names))
    by_name = {composed(name): place for place, name in enumerate(teacher.names) if uses[composed(name)] == 1}
    found = [by_id.get(composed(one.key), by_name.get(composed(one.name), -1)) for one in classes]
    lost = {one.key: one.name for one, place in zip(classes, found, strict=True) if place < 0}
    if lost:
        near = proposals(lost, teacher.ids, teacher.names, {})
        raise MismatchError(
            f"{teacher.said} has no class for {_listed([class_label(*pair) for pair in lost.items()])} of the data.\n"
            + "".join(f"{line}\n" for line in near)
            + f"Classes there: {_listed(teacher.labels)}.\nName the teacher's classes as the data do (--teacher-classes FILE)."
        )
    if len(set(found)) < len(found):
        shared = [one.label for one, place in zip(classes, found, strict=True) if found.count(place) > 1]
        raise MismatchError(
            f"{_listed(shared)} are one class in {teacher.said}: give each an id there (--teacher-classes FILE)"
        )
    return np.array(found, dtype=np.int64)


def other_columns(classes: Sequence[OutputClass], teacher: TeacherClasses, columns: Columns) -> Mapping[str, Columns]:
    """The outputs of the classes in other orders that teachers are seen to have: what to call the order → columns."""
    keys, names = [one.key for one in classes], [one.name for one in classes]
    own: dict[str, Columns] = {}
    for name in CLASS_LISTS:
        listed = read_classes(builtin_class_list(name), f"--teacher-classes {name}")
        if len(listed.ids) == len(teacher.ids):
            try:
                own[listed.said] = columns_of(classes, listed)
            except MismatchError:  # its classes are others
                continue
            own[f"{listed.said}, sorted by name"] = _ranks(listed.names)[own[listed.said]]
    own |= {
        "the data's classes by their index": np.arange(len(classes)),
        "the repository's classes by their number": np.array([one.class_id for one in classes]),
        "the data's class ids sorted as text": _ranks(keys),
        "the data's class names sorted as text": _ranks(names),
        f"{teacher.said}, sorted by id": _ranks(teacher.ids)[columns],
        f"{teacher.said}, sorted by name": _ranks(teacher.names)[columns],
        f"{teacher.said}, backwards": len(teacher.ids) - 1 - columns,
        f"{teacher.said}, one output further": columns + 1,
        f"{teacher.said}, one output before": columns - 1,
    }
    return {
        name: found
        for name, found in own.items()
        if found.min() >= 0 and found.max() < len(teacher.ids) and not np.array_equal(found, columns)
    }


def _ranks(words: Sequence[str]) -> Columns:
    """The place of every word among the sorted ones."""
    order = sorted(range(len(words)), key=words.__getitem__)
    ranks = np.empty(len(words), dtype=np.int64)
    ranks[order] = np.arange(len(words))
    return ranks


def _list_name(path: Path) -> str:
    return path.stem if path == builtin_class_list(path.stem) else path.name


def _listed(words: Sequence[str]) -> str:
    more = f" … and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more
