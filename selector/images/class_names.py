"""From class folders to the repository's classes, by name or through a file of names.

Owns that matching. Must not know how folders are listed or what a class is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from selector.errors import MismatchError, UsageError


def read_class_names(path: Path) -> dict[str, str]:
    """Folder → class name from lines `folder<TAB>class name` (UTF-8, blank lines pass); raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
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
    return names


def match_classes(
    folders: Sequence[str], classes: Sequence[str], mapping: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Folder → class_id, its position in `classes`; raises MismatchError that lists both sides.

    mapping: folder → class name; a folder that is not in it stands for its own name. Several folders may be
    one class.
    """
    names = {folder: (mapping or {}).get(folder, folder) for folder in folders}
    unknown = {f: n for f, n in names.items() if n not in classes}
    if unknown:
        shown = [f if f == n else f"{f} (mapped to {n})" for f, n in sorted(unknown.items())]
        raise MismatchError(
            f"no class of the repository for {_listed(shown)}.\n"
            f"Folders of the data: {_listed(sorted(folders))}.\n"
            f"Classes of the repository: {_listed(classes)}.\n"
            "Map folders with --class-names FILE (lines `folder<TAB>class name`), or export a repository for "
            "these classes."
        )
    ambiguous = sorted({n for n in names.values() if list(classes).count(n) > 1})
    if ambiguous:
        raise MismatchError(f"the repository has several classes named {_listed(ambiguous)}: names must differ")
    return {folder: list(classes).index(name) for folder, name in names.items()}


def _listed(names: Sequence[str], most: int = 50) -> str:
    more = f" … and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
