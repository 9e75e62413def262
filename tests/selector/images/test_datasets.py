"""Listing and reading data sets."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selector.errors import MismatchError, UsageError
from selector.images import places, readers
from selector.images.class_names import match_classes, read_class_names
from selector.images.datasets import Reader, list_items
from selector.images.listing import Listing, Skipped
from selector.images.readers import image_id

FILES = {
    "cats/1.png": b"one",
    "cats/more/deep/2.png": b"two",
    "cats/notes.png": b"a text file",
    "dogs/ä ö – 猫.png": b"three",
    "dogs/with space.jpg": b"",
}


def write(root: Path, files: Mapping[str, bytes], seed: int = 0) -> Path:
    names = list(files)
    random.Random(seed).shuffle(names)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(files[name])
    return root


def pack(path: Path, files: Mapping[str, bytes], mode: str = "w", prefix: str = "") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(prefix + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def said(listing: Listing) -> tuple[object, ...]:
    """What two listings of the same data in other forms must agree on."""
    return tuple(listing.pairs()), listing.folders, listing.skipped, listing.passed_over


def skipped(listing: Listing) -> dict[str, str]:
    return {s.source: s.reason for s in listing.skipped}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_folder_is_listed_in_one_order_whatever_order_it_was_written_in(tmp_path: Path, seed: int) -> None:
    listing = list_items(write(tmp_path, FILES, seed))
    assert list(listing.pairs()) == [(source, source.split("/")[0]) for source in sorted(FILES)]
    assert listing.folders == ("cats", "dogs")
    assert listing.skipped == ()


@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_tar_lists_and_reads_like_the_folder(tmp_path: Path, prefix: str) -> None:
    folder = write(tmp_path / "folder", FILES)
    tar = pack(tmp_path / "data.tar", dict(reversed(FILES.items())), prefix=prefix)
    assert said(list_items(tar)) == said(list_items(folder))
    for root in (folder, tar):
        with Reader(list_items(root)) as reader:
            assert {source: reader.read(source) for source in FILES} == FILES


def test_a_folder_packed_by_tarfile_lists_like_the_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "folder", FILES)
    (folder / "empty").mkdir()
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(folder, ".")
    assert said(list_items(tmp_path / "data.tar")) == said(list_items(folder))
    assert list_items(folder).folders == ("cats", "dogs", "empty")


@given(st.dictionaries(st.sampled_from(sorted(FILES)), st.binary(max_size=700), min_size=1))
def test_members_of_a_tar_are_read_whole(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    tar = pack(tmp_path_factory.mktemp("tar") / "data.tar", files)
    with Reader(list_items(tar)) as reader:
        assert all(reader.read(source) == content for source, content in files.items())


def test_every_file_that_is_no_item_has_its_reason(tmp_path: Path) -> None:
    write(
        tmp_path,
        {**FILES, "README.md": b"hello", "cats/.DS_Store": b"x", ".git/config": b"x", "dogs/.hidden/a.png": b"x"},
    )
    os.mkfifo(tmp_path / "cats" / "pipe")
    Path(os.fsdecode(bytes(tmp_path) + b"/cats/\xff.png")).write_bytes(b"x")
    listing = list_items(tmp_path)
    assert set(listing.sources.to_pylist()) == set(FILES)
    assert listing.folders == ("cats", "dogs")
    assert skipped(listing) == {
        "README.md": "not inside a class folder",
        "cats/.DS_Store": "hidden",
        ".git": "hidden",
        "dogs/.hidden": "hidden",
        "cats/pipe": "not a regular file",
    }
    assert listing.passed_over == (Skipped("cats/\\udcff.png", "the name is not valid UTF-8: rename it"),)


def test_links_that_loop_are_skipped_and_the_walk_ends(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"cats/a.png": b"a", "dogs/b.png": b"b"})
    (root / "cats" / "self").symlink_to(root / "cats")
    (root / "cats" / "up").symlink_to(root)
    (root / "cats" / "higher").symlink_to(tmp_path)
    (root / "around").symlink_to(root)
    listing = list_items(root)
    assert list(listing.pairs()) == [("cats/a.png", "cats"), ("dogs/b.png", "dogs")]
    assert listing.folders == ("cats", "dogs")
    assert set(skipped(listing)) == {"cats/self", "cats/up", "cats/higher", "around"}
    assert all("loop" in reason for reason in skipped(listing).values())


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "pool", {"x/1.png": b"1", "2.png": b"2"})
    root = write(tmp_path / "data", {"cats/a.png": b"a"})
    (root / "cats" / "link.png").symlink_to(elsewhere / "2.png")
    (root / "dogs").symlink_to(elsewhere / "x")
    assert list_items(root).sources.to_pylist() == ["cats/a.png", "cats/link.png", "dogs/1.png"]
    with Reader(list_items(root)) as reader:
        assert reader.read("cats/link.png") == b"2"


def test_a_link_to_nothing_or_to_itself_is_an_item_that_fails_when_read(tmp_path: Path) -> None:
    root = write(tmp_path, {"cats/a.png": b"a"})
    (root / "cats" / "gone.png").symlink_to("nowhere.png")
    (root / "cats" / "itself.png").symlink_to("itself.png")
    assert list_items(root).sources.to_pylist() == ["cats/a.png", "cats/gone.png", "cats/itself.png"]
    with Reader(list_items(root)) as reader:
        for source in ("cats/gone.png", "cats/itself.png"):
            with pytest.raises(OSError, match=r"No such file|symbolic links"):
                reader.read(source)


def test_the_last_of_two_members_with_one_name_counts(tmp_path: Path) -> None:
    path = pack(tmp_path / "data.tar", {"cats/a.png": b"old"})
    pack(path, {"cats/a.png": b"newer"}, "a")
    assert len(list_items(path)) == 1
    with Reader(list_items(path)) as reader:
        assert reader.read("cats/a.png") == b"newer"


def test_data_that_is_neither_folder_nor_tar_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a folder nor a file of images"):
        list_items(tmp_path / "missing")
    with pytest.raises(UsageError, match="holds no class folders"):
        list_items(write(tmp_path / "flat", {"a.png": b""}))
    (tmp_path / "text.tar").write_text("hello")
    with pytest.raises(UsageError, match="uncompressed tar"):
        list_items(tmp_path / "text.tar")
    packed = pack(tmp_path / "data.tar.gz", FILES, "w:gz")
    with pytest.raises(UsageError, match=r"data.tar.gz is compressed as a whole.*gunzip data.tar.gz"):
        list_items(packed)


def test_a_tar_that_ends_early_is_noticed(tmp_path: Path) -> None:
    path = pack(tmp_path / "data.tar", {"cats/a.png": bytes(5000), "cats/b.png": bytes(5000)})
    whole = path.read_bytes()
    path.write_bytes(whole[:8000])
    with pytest.raises(UsageError, match="can't be read"):
        list_items(path)
    path.write_bytes(whole)
    with Reader(list_items(path)) as reader:
        os.truncate(path, 8000)
        assert reader.read("cats/a.png") == bytes(5000)
        with pytest.raises(readers.ContentError, match="too early"):
            reader.read("cats/b.png")


def test_a_file_of_absurd_size_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "data", {"cats/a.png": b"12345"})
    tar = pack(tmp_path / "data.tar", {"cats/a.png": b"12345"})
    monkeypatch.setattr(places, "MAX_FILE_BYTES", 4)
    for data in (root, tar):
        with (
            Reader(list_items(data)) as reader,
            pytest.raises(readers.ContentError, match="5 bytes, more than the limit of 4"),
        ):
            reader.read("cats/a.png")


def test_a_source_that_is_not_in_the_tar_is_a_missing_file(tmp_path: Path) -> None:
    with Reader(list_items(pack(tmp_path / "data.tar", FILES))) as reader, pytest.raises(FileNotFoundError):
        reader.read("cats/9.png")


def test_an_image_id_is_the_start_of_the_blake2b_of_the_bytes() -> None:
    assert image_id(b"abc") == hashlib.blake2b(b"abc", digest_size=64).hexdigest()[:16] == "ba80a53f981c4d0d"


def test_listings_travel_between_processes(tmp_path: Path) -> None:
    listing = list_items(write(tmp_path, FILES))
    assert pickle.loads(pickle.dumps(listing)) == listing


def test_folders_match_classes_by_name_and_through_a_file_of_names(tmp_path: Path) -> None:
    assert match_classes(("coat", "bag"), ("bag", "coat", "shirt")) == {"coat": 1, "bag": 0}
    names = tmp_path / "names.txt"
    names.write_text("\ufeffn01440764\ttench, Tinca tinca\n\nn01443537 \t goldfish \n", encoding="utf-8")
    mapping = read_class_names(names)
    assert mapping == {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish"}
    classes = ("goldfish", "tench, Tinca tinca", "bag")
    assert match_classes(("bag", "n01440764", "n01443537"), classes, mapping) == {
        "bag": 2,
        "n01440764": 1,
        "n01443537": 0,
    }


def test_an_unknown_folder_lists_both_sides() -> None:
    with pytest.raises(MismatchError) as error:
        match_classes(("coat", "hat", "n1"), ("bag", "coat"), {"n1": "boot"})
    message = str(error.value)
    assert "no class of the repository for hat, n1 (mapped to boot)" in message
    assert "Folders of the data: coat, hat, n1" in message
    assert "Classes of the repository: bag, coat" in message
    assert "--class-names" in message


def test_two_classes_of_one_name_are_ambiguous_only_if_asked_for() -> None:
    classes = ("crane", "crane", "bag")
    assert match_classes(("bag",), classes) == {"bag": 2}
    with pytest.raises(MismatchError, match="crane"):
        match_classes(("crane",), classes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n1 boot\n", "line 1: expected"),
        ("n1\tboot\nn1\thoe\n", "line 2: 'n1' is 'boot'"),
        ("\tboot", "line 1"),
        ("n1\t", "line 1"),
    ],
)
def test_a_line_that_is_no_folder_and_class_name_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_class_names(path)


def test_a_file_of_names_that_can_not_be_read_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"n1\tcaf\xe9")
    for name in ("missing", "latin"):
        with pytest.raises(UsageError, match="UTF-8"):
            read_class_names(tmp_path / name)
