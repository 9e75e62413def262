"""Lists of files and labels as people write them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from selector.errors import UsageError
from selector.images.datasets import Reader, list_items
from selector.images.labels import Labels

HEADER = "file_name,label\n"


def data(root: Path, text: str | bytes, name: str = "metadata.csv") -> Path:
    for image in ("a.png", "b.png", "deep/c.png"):
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).write_bytes(image.encode())
    (root / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def listed(root: Path, name: str = "list.csv", label_key: str = "") -> dict[str, str]:
    return dict(list_items(root, labels=Labels(label_key, list_file=root / name)).pairs())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", '\ufefffile_name,label\r\na.png,cat\r\ndeep/c.png,"dog, big"\r\n'),
        ("list.csv", 'label,path\ncat,./a.png\n"dog, big",deep\\c.png\n'),
        ("list.tsv", "path\tlabel\na.png\tcat\ndeep/c.png\tdog, big\n"),
        (
            "list.jsonl",
            '\ufeff{"file_name": "a.png", "label": "cat"}\r\n\r\n{"path": "deep/c.png", "class": "dog, big"}\r\n',
        ),
    ],
)
def test_byte_order_marks_line_ends_and_column_orders_are_all_read(tmp_path: Path, name: str, text: str) -> None:
    root = data(tmp_path, text, name)
    assert listed(root, name) == {"a.png": "cat", "deep/c.png": "dog, big"}
    with Reader(list_items(root, labels=Labels(list_file=root / name))) as reader:
        assert reader.read("deep/c.png") == b"deep/c.png"


def test_a_list_may_be_a_parquet_file_and_its_label_column_be_named(tmp_path: Path) -> None:
    root = data(tmp_path, "")
    pq.write_table(pa.table({"path": ["a.png", "b.png"], "sort": [0, 3]}), tmp_path / "list.parquet")
    assert listed(root, "list.parquet", "sort") == {"a.png": "0", "b.png": "3"}


def test_numbers_with_zeros_before_them_stay_texts(tmp_path: Path) -> None:
    assert listed(data(tmp_path, HEADER + "a.png,007\n", "list.csv")) == {"a.png": "007"}


def test_files_that_are_missing_listed_twice_or_without_a_label_are_counted_with_reasons(tmp_path: Path) -> None:
    root = data(tmp_path, HEADER + "a.png,cat\ngone.png,cat\na.png,cat\nb.png,\n", "list.csv")
    listing = list_items(root, labels=Labels(list_file=root / "list.csv"))
    assert listing.sources.to_pylist() == ["a.png"]
    assert {one.source: one.reason for one in listing.passed_over} == {
        "gone.png": "list.csv names it, and there is no such file",
        "list.csv#5": "b.png: without a label",
    }
    assert [tuple(one) for one in listing.skipped] == [("list.csv#4", "a.png is listed before, with the same label")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "a.png,cat\n./a.png,dog\n", "row 3: a.png is 'dog' here and 'cat' before"),
        (HEADER + "../a.png,cat\n", r"row 2: ../a.png must be a path below the data"),
        (HEADER + "/etc/a.png,cat\n", r"row 2: /etc/a.png must be a path below the data"),
        (HEADER + "C:\\a.png,cat\n", "must be a path below the data"),
        (HEADER + ",cat\n", "row 2: expected the path of an image, got ''"),
        (
            "file,label\na.png,cat\n",
            "needs the columns file_name or path, and label, class or cls .*it has file, label",
        ),
        ("file_name,text\na.png,cat\n", "needs the columns file_name or path, and label, class or cls"),
        ("", "it has none"),
        (b"file_name,label\n\xff.png,cat\n", "can't be read as a list in UTF-8"),
    ],
)
def test_a_list_that_can_not_be_meant_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    root = data(tmp_path, text, "list.csv")
    with pytest.raises(UsageError, match=message):
        listed(root)


@pytest.mark.parametrize(
    ("text", "message"), [("{\n", "row 1: no JSON object"), ("[1]\n", "row 1: expected a JSON object")]
)
def test_a_line_that_is_no_object_is_named(tmp_path: Path, text: str, message: str) -> None:
    root = data(tmp_path, text, "list.jsonl")
    with pytest.raises(UsageError, match=message):
        listed(root, "list.jsonl")


def test_a_list_in_a_folder_without_class_folders_is_found_and_images_that_it_does_not_name_are_lost(
    tmp_path: Path,
) -> None:
    root = data(tmp_path, HEADER + "a.png,cat\n")
    for image in ("deep/c.png", "deep"):
        (root / image).rmdir() if (root / image).is_dir() else (root / image).unlink()
    listing = list_items(root)
    assert dict(listing.pairs()) == {"a.png": "cat"}
    assert [tuple(one) for one in listing.passed_over] == [("b.png", "an image that metadata.csv does not name")]
    (root / "metadata.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"holds several lists \(metadata.csv, metadata.jsonl\): name one with --list"):
        list_items(root)


def test_class_folders_go_before_a_list_and_a_list_needs_a_folder(tmp_path: Path) -> None:
    root = data(tmp_path / "data", HEADER + "a.png,cat\n")
    assert dict(list_items(root).pairs()) == {"deep/c.png": "deep"}
    with pytest.raises(UsageError, match="--list names files of a folder"):
        list_items(root / "a.png", labels=Labels(list_file=root / "metadata.csv"))


def test_a_file_that_comes_later_is_seen_although_the_listing_was_kept(tmp_path: Path) -> None:
    root = data(tmp_path, HEADER + "a.png,cat\nlater.png,cat\n", "list.csv")
    labels = Labels(list_file=root / "list.csv")
    before = list_items(root, labels=labels)
    (root / "later.png").write_bytes(b"now")
    assert len(list_items(root, labels=labels, before=before)) == 2
