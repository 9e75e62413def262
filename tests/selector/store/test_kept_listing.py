"""A listing that a store keeps: what did not change is not listed again, and what changed is."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from selector.images.datasets import list_items
from selector.images.listing import Listing
from selector.images.sources.class_folders import ArchiveSource, FolderSource
from selector.store.kept_listing import LISTING_FILE, keep_listing, read_listing

LONG_AGO = 1_600_000_000


def write(root: Path, *sources: str) -> Path:
    """Files, in folders that changed long ago."""
    for source in sources:
        (root / source).parent.mkdir(parents=True, exist_ok=True)
        (root / source).write_bytes(source.encode())
    settle(root)
    return root


def settle(root: Path) -> None:
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        os.utime(folder, (LONG_AGO, LONG_AGO))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(
        tmp_path / "data", "cats/1.png", "cats/deep/2.png", "dogs/3.png", "dogs/notes.txt", "bees/4.png", "5.png"
    )


def kept(store: Path, listing: Listing) -> Listing:
    """The listing as the next command finds it."""
    store.mkdir(exist_ok=True)
    keep_listing(store, listing)
    read = read_listing(store)
    assert read is not None
    return read


def said(listing: Listing) -> tuple[object, ...]:
    return tuple(listing.pairs()), listing.folders, listing.skipped, listing.passed_over


@pytest.mark.parametrize("packed", [False, True])
def test_a_kept_listing_says_what_was_listed_and_is_taken_whole(
    tmp_path: Path, data: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = data
    if packed:
        root = tmp_path / "data.tar"
        with tarfile.open(root, "w") as tar:
            tar.add(data, ".")
    first = list_items(root)
    before = kept(tmp_path / "store", first)
    for form in (FolderSource, ArchiveSource):
        monkeypatch.setattr(form, "find", lambda self, part: pytest.fail(f"{part} was listed again"))
    if not packed:  # what lies beside the class folders is looked at to find them
        monkeypatch.setattr(FolderSource, "find", lambda self, part: self._beside if part == "" else pytest.fail(part))
    again = list_items(root, before=before)
    assert said(again) == said(first)
    assert again.fresh == ()
    rows = [again.place(source) for source, _ in first.pairs()]
    assert rows == [first.place(source) for source, _ in first.pairs()]


def test_only_folders_that_changed_are_listed_again(tmp_path: Path, data: Path) -> None:
    before = kept(tmp_path / "store", list_items(data))
    (data / "cats" / "deep" / "6.png").write_bytes(b"new")
    (data / "dogs" / "3.png").unlink()
    again = list_items(data, before=before)
    assert again.fresh == ("cats", "dogs")
    assert said(again) == said(list_items(data))


def test_class_folders_come_and_go(tmp_path: Path, data: Path) -> None:
    before = kept(tmp_path / "store", list_items(data))
    write(data, "ants/7.png")
    for path in (data / "bees" / "4.png", data / "bees"):
        path.rmdir() if path.is_dir() else path.unlink()
    again = list_items(data, before=before)
    assert again.folders == ("ants", "cats", "dogs")
    assert said(again) == said(list_items(data))
    assert said(list_items(data, before=kept(tmp_path / "store", again))) == said(again)


def test_a_folder_that_changed_just_now_is_listed_again_since_its_time_says_nothing(tmp_path: Path, data: Path) -> None:
    (data / "cats" / "6.png").write_bytes(b"x")
    before = kept(tmp_path / "store", list_items(data))
    stamps = (data / "cats").stat()
    (data / "cats" / "7.png").write_bytes(b"x")
    os.utime(data / "cats", ns=(stamps.st_atime_ns, stamps.st_mtime_ns))
    again = list_items(data, before=before)
    assert again.fresh == ("cats",)
    assert "cats/7.png" in again.sources.to_pylist()


def test_links_to_nothing_are_looked_at_again(tmp_path: Path, data: Path) -> None:
    (data / "cats" / "link.png").symlink_to(tmp_path / "pool.png")
    settle(data)
    first = list_items(data)
    assert first.column("broken").sum() == 1
    (tmp_path / "pool.png").write_bytes(b"x")
    mended = list_items(data, before=kept(tmp_path / "store", first))
    assert (mended.fresh, mended.column("broken").sum()) == ((), 0)
    (tmp_path / "pool.png").unlink()
    assert list_items(data, before=first).column("broken").sum() == 1


def test_a_tar_that_was_replaced_is_listed_again(tmp_path: Path) -> None:
    root = tmp_path / "data.tar"

    def packed(*names: str) -> Path:
        with tarfile.open(root, "w") as tar:
            tar.add(write(tmp_path / f"of-{len(names)}", *names), ".")
        return root

    before = kept(tmp_path / "store", list_items(packed("cats/1.png")))
    again = list_items(packed("cats/1.png", "cats/2.png"), before=before)
    assert (len(again), again.fresh) == (2, ("",))


def test_what_is_left_out_is_part_of_what_is_kept_and_where_a_command_writes_is_not(tmp_path: Path, data: Path) -> None:
    (data / "out").mkdir()
    settle(data)
    without = list_items(data, own=(data / "out" / "store",))
    assert "out" not in without.folders
    before = kept(tmp_path / "store", without)
    assert list_items(data, own=(data / "out" / "store",), before=before).folders == without.folders
    assert "out" in list_items(data, before=before).folders
    fewer = list_items(data, exclude=("dogs",), before=before)
    assert fewer.folders == ("bees", "cats", "out")
    assert "cats" in fewer.fresh


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet at all"])
def test_a_kept_listing_that_is_damaged_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LISTING_FILE).write_bytes(content)
    assert read_listing(tmp_path) is None
    assert read_listing(tmp_path / "nowhere") is None
