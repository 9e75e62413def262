"""WebDataset shards as found: keys, labels, and what is wrong with a shard."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from webdataset.tariterators import group_by_keys

from selector.errors import UsageError
from selector.images.datasets import Reader, list_items
from selector.images.labels import Labels
from selector.images.locations import Data, Location
from selector.images.readers import ContentError
from selector.images.sources.samples import samples_of

Member = tuple[str, bytes]


def shard(path: Path, *members: Member) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def lost(data: Data, labels: Labels | None = None) -> dict[str, str]:
    return {one.source: one.reason for one in list_items(data, labels=labels or Labels()).passed_over}


def pairs(data: Data, labels: Labels | None = None) -> dict[str, str]:
    return dict(list_items(data, labels=labels or Labels()).pairs())


GOOD = (("good.jpg", b"g"), ("good.cls", b"cat\n"))


def test_keys_are_those_of_the_library() -> None:
    names = [
        "a.jpg",
        "a.cls",
        "b/c.d.png",
        "b/c.cls",
        "x.y/e.JPG",
        "x.y/e.json",
        ".hidden.jpg",
        "bare",
    ]
    members = [{"fname": name, "data": b"", "__url__": ""} for name in names]
    theirs = {
        sample["__key__"]: {ending for ending in sample if not ending.startswith("__")}
        for sample in group_by_keys(members)
    }
    ours, others = samples_of(dict.fromkeys(names))
    assert {key: set(sample) for key, sample in ours.items()} == theirs
    assert others == [".hidden.jpg", "bare"]


def test_a_label_is_in_cls_or_json_or_else_the_folder_of_the_key(tmp_path: Path) -> None:
    path = shard(
        tmp_path / "one.tar",
        *(("a.jpg", b"a"), ("a.cls", b" 7\n"), ("b.jpg", b"b"), ("b.json", b'{"class": "dog", "caption": "x"}')),
        *(("c.jpg", b"c"), ("c.json", b'{"label": 3.0}'), ("bird/d.jpg", b"d"), ("bird/d.txt", b"a bird")),
    )
    assert pairs(path) == {
        "one.tar#a.jpg": "7",
        "one.tar#b.jpg": "dog",
        "one.tar#c.jpg": "3",
        "one.tar#bird/d.jpg": "bird",
    }
    assert pairs(path, Labels(label_key="caption"))["one.tar#b.jpg"] == "x"
    assert not list_items(path).skipped, "captions and labels are no noise"


def test_a_tar_of_class_folders_with_json_beside_the_images_stays_one(tmp_path: Path) -> None:
    path = shard(tmp_path / "one.tar", ("cats/a.jpg", b"a"), ("cats/a.json", b'{"label": "dogs"}'))
    assert pairs(path) == {"cats/a.jpg": "cats"}
    assert pairs(path, Labels(label_key="label")) == {"one.tar#cats/a.jpg": "dogs"}
    plain = shard(tmp_path / "two.tar", ("cats/a.jpg", b"a"))
    with pytest.raises(UsageError, match=r"two.tar holds class folders.*leave away --label-key"):
        list_items(plain, labels=Labels(label_key="label"))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("a.cls", b"1"), ("a.json", b"{}")], "a key without an image (cls, json)"),
        ([("a.jpg", b"a"), ("a.png", b"a"), ("a.cls", b"1")], "several images under one key (jpg, png)"),
        ([("a.jpg", b"a"), ("a.json", b"{}")], "a sample without a label"),
        ([("a.jpg", b"a"), ("a.json", b'{"label": -1}')], "a sample without a label"),
        ([("a.jpg", b"a"), ("a.json", b'{"label": [1, 2]}')], "its label can't be read: a label is a text"),
        ([("a.jpg", b"a"), ("a.json", b'{"label')], "its label can't be read: its .json is none"),
        ([("a.jpg", b"a"), ("a.json", b"[" * 100_000)], "its label can't be read: its .json is none"),
        ([("a.jpg", b"a"), ("a.cls", b"\xff\xfe1")], "its label can't be read: it is no text in UTF-8"),
        ([("a.jpg", b"a"), ("a.cls", bytes(2_000_000))], "its label can't be read: 2000000 bytes"),
        ([("a.jpg", b"1"), ("a.cls", b"1"), ("a.jpg", b"2"), ("a.cls", b"1")], "an earlier sample of the same key"),
        ([("../a.jpg", b"a"), ("../a.cls", b"1")], "its path has .. in it"),
    ],
)
def test_a_sample_that_can_not_be_taken_is_counted_with_its_reason(
    tmp_path: Path, members: list[Member], reason: str
) -> None:
    shard(tmp_path / "data" / "one.tar", *GOOD, *members)
    [(source, told)] = lost(tmp_path / "data").items()
    assert source.startswith("one.tar#")
    assert told.startswith(reason)
    assert pairs(tmp_path / "data")["one.tar#good.jpg"] == "cat"
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "data", tmp_path / "data" / "one.tar"]


def test_a_mask_beside_the_image_is_no_second_image(tmp_path: Path) -> None:
    path = shard(tmp_path / "one.tar", ("a.jpg", b"a"), ("a.mask.png", b"m"), ("a.cls", b"1"))
    assert pairs(path) == {"one.tar#a.jpg": "1"}
    assert pairs(path, Labels(image_key="mask.png")) == {"one.tar#a.mask.png": "1"}


def test_the_last_sample_of_a_key_counts(tmp_path: Path) -> None:
    path = shard(tmp_path / "one.tar", ("a.jpg", b"old"), ("a.cls", b"1"), ("a.jpg", b"new"), ("a.cls", b"2"))
    assert pairs(path) == {"one.tar#a.jpg": "2"}
    with Reader(list_items(path)) as reader:
        assert reader.read("one.tar#a.jpg") == b"new"


@pytest.mark.parametrize("left", [512 * 3, 512 * 5, 512 * 5 + 100, 512 * 8])
def test_what_lies_before_the_cut_of_a_shard_is_taken_and_the_cut_is_told(tmp_path: Path, left: int) -> None:
    members = [member for name in "abcd" for member in ((f"{name}.jpg", b"x" * 600), (f"{name}.cls", b"1"))]
    shard(tmp_path / "data" / "0.tar", ("z.jpg", b"z"), ("z.cls", b"1"))
    path = shard(tmp_path / "data" / "1.tar", *members)
    path.write_bytes(path.read_bytes()[:left])
    listing = list_items(tmp_path / "data")
    assert "0.tar#z.jpg" in listing.sources.to_pylist()
    assert any("1.tar" in one.source for one in listing.passed_over)
    assert ("1.tar#a.jpg" in listing.sources.to_pylist()) == (left >= 512 * 5)


def test_a_shard_that_is_cut_or_goes_during_the_run_gives_reasons(tmp_path: Path) -> None:
    path = shard(tmp_path / "data" / "0.tar", ("a.jpg", b"a" * 9000), ("a.cls", b"1"))
    listing = list_items(tmp_path / "data")
    whole = path.read_bytes()
    path.write_bytes(whole[:2000])
    with Reader(listing) as reader, pytest.raises(ContentError, match="too early"):
        reader.read("0.tar#a.jpg")
    path.unlink()
    with Reader(listing) as reader, pytest.raises(FileNotFoundError):
        reader.read("0.tar#a.jpg")


def test_data_that_can_only_be_read_are_read(tmp_path: Path) -> None:
    path = shard(tmp_path / "data" / "0.tar", *GOOD)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    with Reader(list_items(path.parent)) as reader:
        assert reader.read("0.tar#good.jpg") == b"g"


def test_what_lies_beside_shards_is_told(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", *GOOD)
    (tmp_path / "1.tar.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "2.jpg").write_bytes(b"x")
    (tmp_path / "README.md").write_text("hello")
    (tmp_path / "broken.tar").write_text("no tar")
    (tmp_path / "logs").mkdir()
    listing = list_items(tmp_path, exclude=("logs",))
    assert listing.sources.to_pylist() == ["0.tar#good.jpg"]
    told = lost(tmp_path)
    assert told["1.tar.gz"].startswith("it is compressed as a whole")
    assert "gunzip 1.tar.gz" in told["1.tar.gz"]
    assert told["2.jpg"] == "an image outside of the class folders"
    assert "can't be read as an uncompressed tar" in told["broken.tar"]
    assert {one.source for one in listing.skipped} == {"README.md", "logs"}


def test_class_folders_go_before_archives_beside_them(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", *GOOD)
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").write_bytes(b"a")
    assert pairs(tmp_path) == {"cats/a.png": "cats"}


def test_a_pattern_names_what_is_missing_and_what_it_can_not_be(tmp_path: Path) -> None:
    shard(tmp_path / "train-0.tar", *GOOD)
    (tmp_path / "train-1.parquet").write_bytes(b"")
    assert lost(Location(f"{tmp_path}/train-{{0..2}}.tar")) == {
        "train-1.tar": "no such file, though the pattern names it",
        "train-2.tar": "no such file, though the pattern names it",
    }
    for pattern, message in (
        (f"{tmp_path}/val-*.tar", "stands for no file"),
        (f"{tmp_path}/train-*", "alone, not for train-0.tar, train-1.parquet"),
        (f"{tmp_path}/train-{{0..2.tar", "is no pattern: Unbalanced braces"),
        (f"{tmp_path}/train-{{0..9999999}}.tar", "more than 1000000 files"),
    ):
        with pytest.raises(UsageError, match=message):
            list_items(Location(pattern))


def test_a_folder_of_several_splits_is_refused(tmp_path: Path) -> None:
    for name in ("train-000.tar", "train-001.tar", "val-000.tar"):
        shard(tmp_path / name, *GOOD)
    with pytest.raises(UsageError, match=r"holds several splits \(train-000.tar, val-000.tar\): name .*/train-\*"):
        list_items(tmp_path)
    assert len(list_items(tmp_path, exclude=("val-*",))) == 2


def test_a_single_tar_without_labels_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no class folders, but 1 images"):
        list_items(shard(tmp_path / "one.tar", ("a.jpg", b"a")))
    shard(tmp_path / "data" / "one.tar", ("a.jpg", b"a"))
    with pytest.raises(UsageError, match=r"holds no image with a label; one.tar#a.jpg: a .*if every tar is a class"):
        list_items(tmp_path / "data")
