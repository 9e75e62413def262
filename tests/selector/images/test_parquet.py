"""Parquet files as found: schemas, labels, nulls, and what is wrong with a file."""

from __future__ import annotations

import gc
import json
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selector.errors import UsageError
from selector.images import parquet_rows, places
from selector.images.datasets import Reader, list_items
from selector.images.labels import Labels
from selector.images.readers import ContentError
from tests.forms import as_list, pictures

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def written(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None, **settings: Any) -> Path:
    table = pa.table(columns)
    if features:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    pq.write_table(table, path, **settings)
    return path


def lost(path: Path) -> dict[str, str]:
    return {one.source.partition("#")[2]: one.reason for one in list_items(path).passed_over}


def test_a_null_image_and_labels_that_are_none_are_counted_with_reasons(tmp_path: Path) -> None:
    images = [{"bytes": b"0", "path": None}, None, {"bytes": None, "path": None}, *[{"bytes": b"x", "path": "x"}] * 4]
    path = written(
        tmp_path / "a.parquet",
        {"image": pa.array(images, IMAGE), "label": pa.array([0, 0, 1, 2, None, -1, 1], pa.int64())},
        {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}},
        row_group_size=2,
    )
    assert dict(list_items(path).pairs()) == {"a.parquet#0": "cat", "a.parquet#6": "dog"}
    assert lost(path) == {
        "1": "a null image",
        "2": "a null image",
        "3": "the label 2 is outside of the 2 class names of the column 'label'",
        "4": "a null label",
        "5": "without a label: 'label' is -1",
    }


def test_an_image_that_is_a_path_is_read_beside_the_file_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "1.png").write_bytes(b"one")
    paths = ["img/1.png", "img/2.png", "/etc/hostname", "../secret.png"]
    images = [{"bytes": None, "path": path} for path in paths]
    path = written(tmp_path / "a.parquet", {"image": pa.array(images, IMAGE), "label": ["cat"] * 4})
    with Reader(list_items(path)) as reader:
        assert reader.read("a.parquet#0") == b"one"
    assert lost(path)["1"] == "no bytes, and there is no file img/2.png beside it"
    assert all("does not lead below the folder" in lost(path)[row] for row in "23")


@pytest.mark.parametrize("kind", ["categories", "large", "floats", "views"])
def test_labels_are_texts_or_whole_numbers_of_any_type(tmp_path: Path, kind: str) -> None:
    labels = {
        "categories": pa.array(["a", "b", "a"]).dictionary_encode(),
        "large": pa.array(["a", "b", "a"], pa.large_string()),
        "views": pa.array(["a", "b", "a"], pa.string_view()),
        "floats": pa.array([0.0, 1.0, 0.0]),
    }[kind]
    images = pa.array([b"0", b"1", b"2"], pa.large_binary())
    path = written(tmp_path / "a.parquet", {"img": images, "class": labels})
    expected = ["0", "1", "0"] if kind == "floats" else ["a", "b", "a"]
    assert [folder for _, folder in list_items(path).pairs()] == expected


@pytest.mark.parametrize(
    ("columns", "labels", "message"),
    [
        (
            {"text": ["a"], "label": ["a"]},
            Labels(),
            "no column of image bytes among text, label: name one with --image-key",
        ),
        (
            {"a": [b"0"], "b": [b"1"], "label": ["x"]},
            Labels(),
            r"several columns of images \(a, b\): name one with --image-key",
        ),
        ({"image": [b"0"], "kind": ["x"]}, Labels(), "no column of labels among image, kind: name it with --label-key"),
        ({"image": [b"0"], "kind": ["x"]}, Labels(label_key="sort"), "no column 'sort' of labels among image, kind"),
        ({"image": [b"0"], "label": [["x"]]}, Labels(), "holds list<.*no texts or whole numbers"),
    ],
)
def test_columns_that_can_not_be_told_are_named_with_the_option(
    tmp_path: Path, columns: dict[str, Any], labels: Labels, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        list_items(written(tmp_path / "a.parquet", columns), labels=labels)


def test_one_of_several_files_that_is_damaged_or_other_is_a_loss(tmp_path: Path) -> None:
    written(tmp_path / "0.parquet", {"image": [b"0"], "label": ["cat"]})
    written(tmp_path / "1.parquet", {"text": ["a"]})
    (tmp_path / "2.parquet").write_bytes((tmp_path / "0.parquet").read_bytes()[:-20])
    listing = list_items(tmp_path)
    assert listing.sources.to_pylist() == ["0.parquet#0"]
    told = {one.source: one.reason for one in listing.passed_over}
    assert "no column of image bytes" in told["1.parquet"]
    assert "the Parquet file is damaged" in told["2.parquet"]


def test_rows_are_read_in_any_order_and_only_as_large_as_an_image_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = [bytes([row]) * 50 for row in range(100)]
    path = written(tmp_path / "a.parquet", {"image": contents, "label": ["cat"] * 100}, row_group_size=37)
    listing = list_items(path)
    with Reader(listing) as reader:
        for row in (0, 99, 36, 37, 5, 4, 73, 74, 98):
            assert reader.read(f"a.parquet#{row}") == contents[row]
        monkeypatch.setattr(places, "MAX_FILE_BYTES", 49)
        with pytest.raises(ContentError, match="50 bytes, more than the limit"):
            reader.read("a.parquet#1")


def test_a_file_that_changes_or_goes_during_the_run_gives_reasons(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.parquet", {"image": [b"0" * 5000, b"1" * 5000], "label": ["cat"] * 2}, compression=None
    )
    listing = list_items(path)
    raw = bytearray(path.read_bytes())
    path.write_bytes(raw[:4] + bytes(len(raw) // 2) + raw[4 + len(raw) // 2 :])
    with Reader(listing) as reader, pytest.raises(ContentError, match="damaged"):
        reader.read("a.parquet#1")
    written(path, {"image": [b"0"], "label": ["cat"]})
    with Reader(listing) as reader, pytest.raises(ContentError, match="no such row any more"):
        reader.read("a.parquet#1")
    path.unlink()
    with Reader(listing) as reader, pytest.raises(FileNotFoundError):
        reader.read("a.parquet#1")


def test_to_list_a_file_no_image_is_read(datasets: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"image": [{"bytes": bytes(100_000), "path": "x"}] * 100, "label": [0] * 100}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat"])})
    data = datasets.Dataset.from_dict(files, features=features)
    data.to_parquet(tmp_path / "a.parquet")
    read = 0
    plain = parquet_rows.as_file

    def counted(container: str) -> Any:
        file = plain(container)
        inner = file.read

        class Counted:
            def read(self, *count: int) -> bytes:
                nonlocal read
                content = inner(*count)
                read += len(content)
                return content

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

        return Counted()

    monkeypatch.setattr(parquet_rows, "as_file", counted)
    assert len(list_items(tmp_path / "a.parquet")) == 100
    assert 0 < read < 200_000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves metadata.csv open
def test_an_imagefolder_of_the_library_becomes_its_parquet_and_both_are_data(
    datasets: ModuleType, tmp_path: Path
) -> None:
    flat = as_list(tmp_path / "flat", pictures(6))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the library leaves metadata.csv open
        loaded = datasets.load_dataset(
            "imagefolder", data_dir=str(flat), split="train", cache_dir=str(tmp_path / "cache")
        )
        gc.collect()
    (tmp_path / "hub").mkdir()
    loaded.to_parquet(tmp_path / "hub" / "train.parquet")
    with pytest.raises(UsageError, match="does not lead below the folder of the Parquet file: put the bytes in"):
        list_items(tmp_path / "hub")  # the library writes the paths of this machine
    embedded = datasets.table.embed_table_storage
    loaded.with_format("arrow").map(embedded, batched=True).to_parquet(tmp_path / "hub" / "train.parquet")
    ours, theirs = list_items(flat), list_items(tmp_path / "hub")
    with Reader(ours) as one, Reader(theirs) as other:
        assert {one.read(source): folder for source, folder in ours.pairs()} == {
            other.read(source): folder for source, folder in theirs.pairs()
        }
