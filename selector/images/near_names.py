"""Folders that miss a class's id or name by capitals, spaces, underscores or hyphens: what they seem to mean.

Nothing is taken for granted: "cardigan" is a garment and "Cardigan" a dog. The lines are for whoever mends it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from unicodedata import normalize

_MOST = 5
_WORDNET_ID = re.compile(r"n\d{8}")


def proposals(
    unknown: Mapping[str, str], classes: Sequence[str], names: Sequence[str], mapping: Mapping[str, str]
) -> list[str]:
    """A line for each unknown folder (folder → what it was looked up as) that nearly is a class or a line of the map."""
    near: dict[str, list[str]] = {}
    for class_, name in zip(classes, names or classes, strict=True):
        what = f"the class {class_!r}" if class_ == name else f"the class {class_!r} ({name!r})"
        for word in dict.fromkeys((_plain(class_), _plain(name))):
            near.setdefault(word, []).append(what)
    for folder in mapping:
        near.setdefault(_plain(folder), []).append(f"{folder!r} of --class-names")
    found = {folder: near[_plain(word)] for folder, word in sorted(unknown.items()) if _plain(word) in near}
    lines = [
        f"{_said(folder, unknown[folder])} is nearly {' and '.join(meant[:_MOST])}: rename one of them, or map the folder."
        for folder, meant in found.items()
    ]
    if len(lines) > _MOST:
        lines[_MOST:] = [f"{len(lines) - _MOST} more folders nearly are classes."]
    if not mapping and all(map(_WORDNET_ID.fullmatch, unknown)):
        lines.append("WordNet ids get their names by --class-names imagenet-1k.")
    return lines


def _said(folder: str, word: str) -> str:
    return f"{folder!r}" if normalize("NFC", folder) == word else f"{folder!r}, mapped to {word!r},"


def _plain(word: str) -> str:
    """Without what people write differently; compatibility forms, such as a no-break space, are one with the plain ones."""
    return re.sub(r"[\s_\-\u2010-\u2015]+", "", normalize("NFKC", word)).casefold()
