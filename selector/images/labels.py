"""How the labels of images are found where no class folder says them, and how a label becomes a class folder's text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

LABEL_KEYS = ("label", "class", "cls")
"""Where a label is looked for if nobody says where: a key of JSON, or a column."""


@dataclass(frozen=True)
class Labels:
    """label_key: the key, column or ending that holds a label, "" for the first of LABEL_KEYS. image_key: the column or ending
    that holds the image, "" if there is but one. list_file: a list of files and labels, relative to the data.
    unlabelled: there are no labels, and the class folder of all is "".
    """

    label_key: str = ""
    image_key: str = ""
    list_file: Path | None = None
    unlabelled: bool = False

    @property
    def keys(self) -> tuple[str, ...]:
        """Where a label is looked for, the first that is there counts."""
        return (self.label_key,) if self.label_key else LABEL_KEYS

    def stated(self) -> dict[str, str]:
        """What was asked for, as JSON values; empty where nothing was."""
        given = {"label_key": self.label_key, "image_key": self.image_key}
        listed = {"list": str(self.list_file.absolute())} if self.list_file else {}
        return {name: value for name, value in given.items() if value} | listed

    @classmethod
    def of(cls, stated: Mapping[str, str]) -> Self:
        """What `stated` gave."""
        listed = stated.get("list")
        return cls(stated.get("label_key", ""), stated.get("image_key", ""), Path(listed) if listed else None)


def label_text(value: Any) -> str:
    """A label as the text of a class folder; "" for none, which -1 means as well. Raises ValueError for what is no label."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise ValueError(f"a label is a text or a whole number, not {value!r:.50}")
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, str):
        return value.strip()
    if not float(value).is_integer():
        raise ValueError(f"a label is a text or a whole number, not {value!r:.50}")
    return str(int(value)) if value >= 0 else ""
