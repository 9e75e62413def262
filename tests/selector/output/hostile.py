"""A selection of classes with hostile names in every format, and its samples as webdataset reads them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selector.config import EXPORTS
from selector.output.classes import output_classes
from tests.selector.output.written import rows_of, write

NAMES = {
    0: "a/b.c",
    1: "..",
    2: ".hidden",
    3: "Schnürstiefel 靴",
    4: "[x]*? {y}",
    5: "crane",
    6: "crane",
    7: 'quote", comma\nline',
    8: "100%/%2F",
    9: "",
    10: "00003",
}
KEYS = NAMES | {5: "n02012849", 6: "n03126707"}
"""Names that paths, globs, keys of WebDataset, CSV and label maps could stumble over; two classes are called crane."""
METADATA = {
    "name": "A few windows",
    "description": "Windows of random pictures.",
    "url": "https://example.org/windows",
    "license": "CC0-1.0",
    "citation": "@misc{windows}",
    "version": "1.0.0",
    "date": "2026-01-31",
    "keywords": ["windows"],
    "creator": [{"type": "Person", "name": "Nobody"}],
}
PER_CLASS = 3


def write_hostile(out: Path, **export: Any) -> Path:
    """Writes the selection and returns its folder. export: of ExportConfig, in which every format is asked for."""
    values = {"formats": EXPORTS, "metadata": METADATA} | export
    return write(out, PER_CLASS, keys=KEYS, names=NAMES, counts=[5] * len(KEYS), export=values)[0]


def label(row: Mapping[str, Any]) -> str:
    """The label of a row of selection.parquet."""
    return output_classes(KEYS, NAMES)[row["class_index"]].label


def by_place(folder: Path) -> dict[tuple[int, str], dict[str, Any]]:
    """The picks of selection.parquet by class index and image."""
    return {(row["class_index"], row["image_id"]): row for row in rows_of(folder)}


def iterated(folder: Path) -> list[dict[str, Any]]:
    """The samples of the shards in order, pixels as arrays."""
    import webdataset

    shards = sorted(str(path) for path in (folder / "webdataset").iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves closing its files to Python
        return list(webdataset.WebDataset(shards, shardshuffle=False).decode("rgb8"))
