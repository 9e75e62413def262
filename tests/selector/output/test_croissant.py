"""The description of a set is read by mlcroissant, offline, and the picks by the description."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.selector.output.hostile import METADATA, by_place, write_hostile
from tests.selector.output.written import pixels_of, rows_of


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
def test_mlcroissant_takes_the_description_without_a_word_and_reads_the_picks_by_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant

    with caplog.at_level(logging.WARNING):
        found = mlcroissant.Dataset(jsonld=folder / "croissant.json")
    assert not caplog.records
    assert not found.metadata.ctx.issues.errors
    assert not found.metadata.ctx.issues.warnings
    assert (found.metadata.name, found.metadata.license) == (METADATA["name"], [METADATA["license"]])
    assert found.metadata.creators[0].name == "Nobody"
    rows = rows_of(folder)
    listed = [plain(record) for record in found.records("picks")]
    assert listed == rows
    picks = by_place(folder)
    read = [plain(record) for record in found.records("rows")]
    assert len(read) == len(rows)
    for record in read:
        np.testing.assert_array_equal(
            np.asarray(record["image"]), pixels_of(picks[record["label"], record["image_id"]])
        )
    pictures = [plain(record) for record in found.records("pictures")]
    assert len(pictures) == len(rows)
    for record in pictures:
        with Image.open(folder / record["path"]) as picture:
            np.testing.assert_array_equal(np.asarray(record["image"]), np.asarray(picture))


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a row of selection.parquet has it."""
    return {
        name.rpartition("/")[2]: value.decode() if isinstance(value, bytes) else value for name, value in record.items()
    }


@pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
@pytest.mark.parametrize("formats", [("croissant",), ("croissant", "webdataset"), ("croissant", "list", "coco")])
def test_mlcroissant_only_misses_what_nobody_has_said(formats: tuple[str, ...], tmp_path: Path) -> None:
    import mlcroissant

    folder = write_hostile(tmp_path, formats=formats, metadata={})
    issues = mlcroissant.Dataset(jsonld=folder / "croissant.json").metadata.ctx.issues
    assert not issues.errors
    assert sorted(word for word in ("citeAs", "datePublished", "license", "version") if word in issues.report()) == [
        "citeAs",
        "datePublished",
        "license",
        "version",
    ]
    assert len(issues.warnings) == 4
