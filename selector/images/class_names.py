"""From class folders to the repository's classes, by id, by name or through a file of names.

Words are compared after Unicode NFC on both sides: the same letters can be stored in two ways, and file systems differ in it.
Case, spaces and hyphens are compared as they are: a near miss is proposed (near_names.py), and never taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

from selector.builtin import is_builtin_class_list
from selector.errors import MismatchError, UsageError
from selector.images.near_names import proposals


def composed(word: str) -> str:
    """A word in Unicode NFC."""
    return normalize("NFC", word)


def read_class_names(path: Path) -> dict[str, str]:
    """Folder → class id or name from lines `folder<TAB>class name` (UTF-8, blank lines pass); raises UsageError.

    Of a built-in list, an id whose name another id has too is mapped to itself: that name says not which of them it is.
    """
    try:
        text = composed(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read as UTF-8 text: {error}") from error
    names: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        folder, _, name = (part.strip() for part in line.partition("\t"))
        if not (folder and name):
            raise UsageError(f"{path}, line {number}: expected `folder<TAB>class name`, got {line!r}")
        if names.setdefault(folder, name) != name:
            raise UsageError(f"{path}, line {number}: {folder!r} is {names[folder]!r} on an earlier line")
    if is_builtin_class_list(path):
        uses = Counter(names.values())
        names = {id_: name if uses[name] == 1 else id_ for id_, name in names.items()}
    return names


def match_classes(
    folders: Sequence[str],
    classes: Sequence[str],
    mapping: Mapping[str, str] | None = None,
    names: Sequence[str] = (),
) -> dict[str, int]:
    """Folder → class_id, its position in `classes`; raises MismatchError that lists both sides.

    classes: ids. names: of the classes where they differ from the ids, else none. mapping: folder → id or name; a folder
    that is not in it stands for itself. A folder that is the id of a class with the name it is mapped to is that class; else
    an id comes before a name, and a name must be that of one class. Several folders may be one class, and two folders that
    are one word in NFC are. Folders that are numbers are positions in `classes` (see `are_positions`).
    """
    mapped = {composed(folder): composed(word) for folder, word in (mapping or {}).items()}
    wanted = {folder: mapped.get(composed(folder), composed(folder)) for folder in folders}
    if are_positions([*wanted.values()], classes, names):
        return {folder: int(word) for folder, word in wanted.items()}
    called = _places(names or classes)
    places = {**called, **_places(classes)}
    unknown = {folder: word for folder, word in wanted.items() if word not in places}
    if unknown:
        shown = [f if composed(f) == n else f"{f} (mapped to {n})" for f, n in sorted(unknown.items())]
        raise MismatchError(
            f"no class of the repository for {_listed(shown)}.\n"
            + "".join(f"{line}\n" for line in proposals(unknown, classes, names, mapped))
            + f"Folders of the data: {_listed(sorted(folders))}.\n"
            f"Classes of the repository: {_listed(list(map(class_label, classes, names or classes)))}.\n"
            "Map folders with --class-names FILE (lines `folder<TAB>class name`), or export a repository for "
            "these classes."
        )
    meant = {
        folder: [place for place in called.get(word, ()) if composed(classes[place]) == composed(folder)]
        or places[word]
        for folder, word in wanted.items()
    }
    ambiguous = {wanted[folder]: found for folder, found in sorted(meant.items()) if len(found) > 1}
    if ambiguous:
        shown = [f"{word} ({', '.join(classes[place] for place in found)})" for word, found in ambiguous.items()]
        raise MismatchError(
            f"the repository has several classes named {_listed(shown)}: call a folder by the id, or map it to the id with "
            "--class-names FILE (lines `folder<TAB>id`)"
        )
    return {folder: found[0] for folder, found in meant.items()}


def are_positions(words: Sequence[str], classes: Sequence[str], names: Sequence[str] = ()) -> bool:
    """Whether all words are numbers of classes by position from 0, zeros before them or not.

    They are not where a class is called by a number: there, a number is a name.
    """
    called = any(map(_is_number, (*classes, *names)))
    return bool(words) and not called and all(_is_number(word) and int(word) < len(classes) for word in words)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit()


def class_label(class_: str, name: str) -> str:
    """A class as a reader may see it: its id, and its name where it has another."""
    return class_ if class_ == name else f"{class_} {name}"


def _places(words: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for place, word in enumerate(words):
        places.setdefault(composed(word), []).append(place)
    return places


def _listed(names: Sequence[str], most: int = 50) -> str:
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
