"""Listing images without labels: they lie anywhere, and no folder is a class."""

from __future__ import annotations

from pathlib import Path

import pytest

from selector.images.datasets import list_items
from selector.images.listing import Listing, Skipped
from tests.selector.images.test_listing import picture, tarred, write
from tests.selector.images.test_own_output import SELECTION, STORE


def said(listing: Listing) -> tuple[object, ...]:
    return tuple(listing.pairs()), listing.skipped, listing.passed_over


def both(root: Path) -> Listing:
    """The listing of a folder without labels, which must be that of its tar."""
    listing = list_items(root, unlabelled=True)
    packed = list_items(tarred(root), unlabelled=True)
    assert said(packed) == said(listing)
    return listing


def test_images_at_the_top_and_below_are_items_of_no_folder(tmp_path: Path) -> None:
    files = {name: picture() for name in ("b.jpg", "a", "cats/1.png", "cats/more/deep/2.png")}
    listing = both(write(tmp_path / "data", files))
    assert said(listing) == (tuple((source, "") for source in sorted(files)), (), ())


def test_a_folder_without_an_image_is_listed_as_nothing_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "data" / "empty").mkdir(parents=True)
    assert said(both(tmp_path / "data")) == ((), (), ())


def test_hidden_files_sidecars_and_system_folders_stay_out_and_are_no_losses(tmp_path: Path) -> None:
    files = {"a.png": picture(), ".b.png": picture(), "a.json": b"{}", "__MACOSX/a.png": picture(), "c.zip": b"PK\3\4"}
    listing = both(write(tmp_path / "data", files))
    assert listing.sources.to_pylist() == ["a.png"]
    assert [(one.source, one.reason.split(",")[0]) for one in listing.skipped] == [
        (".b.png", "hidden"),
        ("__MACOSX", "a folder of the system"),
        ("a.json", "not an image by its name and content"),
        ("c.zip", "an archive"),
    ]
    assert listing.passed_over == ()


def test_links_to_nothing_and_names_that_are_no_text_are_what_they_are_with_labels(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"a.png": picture()})
    (root / "b.png").symlink_to("nowhere")
    (root / "loop").symlink_to(root)
    Path(f"{root}/c\udcff.png").write_bytes(b"")
    listing = list_items(root, unlabelled=True)
    assert list(listing.pairs()) == [("a.png", ""), ("b.png", "")]
    assert listing.column("broken").tolist() == [False, True]
    assert listing.passed_over == (Skipped("c\\udcff.png", "the name is not valid UTF-8: rename it"),)
    assert [one.source for one in listing.skipped] == ["loop"]


@pytest.mark.parametrize("place", ["", "store/", "runs/deep/store/"])
def test_our_own_output_beside_the_images_stays_out(tmp_path: Path, place: str) -> None:
    ours = {f"{place}{name}": content for name, content in STORE.items()}
    ours |= {f"ipc-3/{name}": content for name, content in SELECTION.items()}
    ours |= {"outcomes.csv": b"source,status,reason\n"}
    listing = both(write(tmp_path / "data", ours | {"a.png": picture(), "runs/b.png": picture()}))
    assert listing.sources.to_pylist() == ["a.png", "runs/b.png"]
    assert all(one.reason.startswith("our own output") for one in listing.skipped)
    assert {one.source for one in listing.skipped} == {place.rstrip("/") or ".", "ipc-3", "outcomes.csv"}


def test_a_folder_that_the_command_writes_to_is_passed_by_unless_it_holds_images(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"a.png": picture(), "both/b.png": picture(), "out/new/x.txt": b""})
    listing = list_items(root, own=(root / "both" / "store", root / "out" / "store"), unlabelled=True)
    assert listing.sources.to_pylist() == ["a.png", "both/b.png"]
    assert Skipped("out", "our own output (where this command writes)") in listing.skipped
    assert "both" not in {one.source for one in listing.skipped}
