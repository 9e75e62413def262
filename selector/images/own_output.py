"""Our own output among the data: stores, selections, evaluations and repositories, known by their own files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

OUTCOMES_HEADER = "source,status,reason"
"""The first line of outcomes.csv."""


@dataclass(frozen=True)
class OwnOutput:
    """what: the kind, such as "a store". own: which names in the folder are its files; others are the user's."""

    what: str
    own: re.Pattern[str]

    def holds(self, name: str) -> bool:
        """Whether we wrote the entry of this name."""
        return self.own.fullmatch(name) is not None


@dataclass(frozen=True)
class _Kind:
    """`marks` are there in a folder of this kind; the JSON object in the file `stated` has these `keys`."""

    output: OwnOutput
    marks: frozenset[str]
    stated: str
    keys: frozenset[str]


def _kind(what: str, own: str, marks: str, stated: str, keys: str) -> _Kind:
    return _Kind(OwnOutput(what, re.compile(own)), frozenset(marks.split()), stated, frozenset(keys.split()))


_STORE = _kind(
    "a store",
    r"(store|data|history(\.\d+\.\w+)?)\.json(\..*)?|listing\.parquet|server\.log.*|images|patches|orders|work|.*\.tmp"
    r"|\.selector\.lock",
    "store.json",
    "store.json",
    "layout fingerprint",
)
_KINDS = (
    _STORE,
    _kind(
        "a selection",
        r"selection\.parquet|manifest\.json|report\.html|soft-labels\.parquet|images|webdataset|parquet|list|coco|croissant\.json",
        "selection.parquet manifest.json",
        "manifest.json",
        "selection fingerprint",
    ),
    _kind(
        "an evaluation",
        r"conditions\.json|runs|results\.(md|csv|json)|accuracy-.*\.svg|teacher\..*",
        "conditions.json runs",
        "conditions.json",
        "teacher patches test",
    ),
    _kind("a served model", r".*", "config.pbtxt manifest.json", "manifest.json", ""),
)
_MARKS = frozenset(mark for kind in _KINDS for mark in kind.marks)
_BEGUN = re.compile(r"server\.log|store\.json\..*\.tmp|\.selector\.lock")


def own_output(names: Collection[str], read: Callable[[str], bytes], *, root: bool = False) -> OwnOutput | None:
    """What of ours lies directly in a folder with these names; None if nothing does.

    read: the content of a file of the folder, may raise OSError. root: the folder is the data itself, in which only a
    store may lie. A store that a killed run had only begun is known by having no other files.
    """
    if not _MARKS.isdisjoint(names):
        found = set(names)
        for kind in (_STORE,) if root else _KINDS:
            if kind.marks <= found and kind.keys <= _keys(read, kind.stated):
                return kind.output
    if not root and len(names) < 10 and any(map(_BEGUN.fullmatch, names)) and all(map(_STORE.output.holds, names)):
        return _STORE.output
    return None


def _keys(read: Callable[[str], bytes], name: str) -> set[str]:
    try:
        content = json.loads(read(name))
    except (OSError, ValueError, RecursionError):
        return set()
    return set(content) if isinstance(content, dict) else set()
