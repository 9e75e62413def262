"""Pictures and thumbnails out of the originals: the same in one process and in several, each original decoded once."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from selector.config import ExportConfig
from selector.errors import SelectorError
from selector.images.datasets import list_items
from selector.images.listing import Listing
from selector.images.originals import originals
from selector.images.readers import image_id
from selector.output import cutting
from selector.output.cutting import Cutter
from selector.output.pictures import Cut, decoded
from selector.records import Box
from selector.report import thumbnail
from tests.selector.output.written import original

COUNT = 70


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    (root / "bag").mkdir()
    for number in range(COUNT):
        Image.fromarray(original(f"{number}")).save(root / "bag" / f"{number:03d}.png")
    return root


def rows_of(listing: Listing, root: Path) -> pa.Table:
    """One pick of every image, and a second one of the first."""
    sources = [*listing.sources.to_pylist(), listing.sources[0].as_py()]
    rows = [
        {
            "source": source,
            "image_id": image_id((root / source).read_bytes()),
            "rank": rank,
            "top": rank % 40,
            "left": 3,
            "height": 20,
            "width": 30,
            "image_height": 70,
            "image_width": 90,
        }
        for rank, source in enumerate(sources)
    ]
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize("take", ["patch", "image"])
def test_processes_give_the_pictures_and_thumbnails_of_one(data: Path, take: str) -> None:
    listing = list_items(data)
    rows, cut, config = rows_of(listing, data), Cut(take, "crop"), ExportConfig(take=take)
    expected = {row["source"]: row["image_id"] for row in rows.to_pylist()}
    made = []
    with originals(listing, expected) as images, ProcessPoolExecutor(2) as pool:
        for where in (None, pool):
            cutter = Cutter(images, COUNT, where)
            pictures = [picture() for picture in cutter.pictures(rows, cut, config)]
            shown = [cutter.thumbnail(row["source"], Box(row["top"], 3, 20, 30)) for row in rows.to_pylist()]
            made.append((pictures, shown))
    assert made[0] == made[1]
    for row, picture, shown in zip(rows.to_pylist(), *made[0], strict=True):
        whole = original(str(int(row["source"][4:7])))
        window = whole[row["top"] : row["top"] + 20, 3:33]
        np.testing.assert_array_equal(decoded(picture), window if take == "patch" else whole)
        assert shown == thumbnail(window)


def test_each_original_is_decoded_once_for_picture_and_thumbnail(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing = list_items(data)
    rows = rows_of(listing, data)
    expected = {row["source"]: row["image_id"] for row in rows.to_pylist()}
    read = []
    monkeypatch.setattr(cutting, "read_original", lambda *what: read.append(what[1].source) or cutting_read(*what))
    with originals(listing, expected) as images:
        cutter = Cutter(images, 10)
        for picture in cutter.pictures(rows, Cut("patch", "crop"), ExportConfig()):
            picture()
        monkeypatch.setattr(images, "image", lambda source: pytest.fail(f"{source} was decoded again"))
        for row in rows.to_pylist()[:10]:
            cutter.thumbnail(row["source"], Box(row["top"], 3, 20, 30))
    assert sorted(read) == sorted(rows["source"].to_pylist())


cutting_read = cutting.read_original


def test_formats_without_pictures_decode_only_what_the_report_shows(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = list_items(data)
    rows = rows_of(listing, data)
    read = []
    monkeypatch.setattr(cutting, "read_original", lambda *what: read.append(what[1].source) or cutting_read(*what))
    with originals(listing, {row["source"]: row["image_id"] for row in rows.to_pylist()}) as images:
        list(Cutter(images, 3).pictures(rows, Cut("patch", "crop"), ExportConfig(formats=("list",))))
    assert len(read) == 3


def test_a_file_that_changed_is_named_whoever_cuts(data: Path, tmp_path: Path) -> None:
    listing = list_items(data)
    rows = rows_of(listing, data)
    expected = {row["source"]: row["image_id"] for row in rows.to_pylist()}
    wrong = rows.set_column(1, "image_id", pa.array(["0" * 16] * len(rows)))
    with originals(listing, expected) as images, ProcessPoolExecutor(1) as pool:
        for where in (None, pool):
            pictures = Cutter(images, 0, where).pictures(wrong, Cut("patch", "crop"), ExportConfig())
            with pytest.raises(SelectorError, match=r"bag/000\.png changed since it was scored"):
                next(iter(pictures))
