"""What the listing takes for an image, what it skips and what it counts as a loss."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from selector.errors import UsageError
from selector.images.datasets import list_items
from selector.images.listing import Listing, Skipped
from selector.images.sources.walk import ARCHIVE, NO_IMAGE, OUTSIDE


def picture(kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), (7, 8, 9)).save(buffer, kind)
    return buffer.getvalue()


def write(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tarred(root: Path) -> Path:
    """The folder as a tar."""
    with tarfile.open(root.with_suffix(".tar"), "w") as tar:
        tar.add(root, ".")
    return root.with_suffix(".tar")


def sources(listing: Listing) -> list[str]:
    return listing.sources.to_pylist()


def reasons(found: tuple[Skipped, ...]) -> dict[str, str]:
    return {one.source: one.reason for one in found}


def both(root: Path, *, exclude: tuple[str, ...] = ()) -> Listing:
    """The listing of a folder, which must be that of its tar."""
    listing = list_items(root, exclude=exclude)
    packed = list_items(tarred(root), exclude=exclude)
    assert tuple(packed.pairs()) == tuple(listing.pairs())
    assert (packed.folders, packed.skipped, packed.passed_over) == (
        listing.folders,
        listing.skipped,
        listing.passed_over,
    )
    return listing


SIDECARS = [
    f"a.{suffix}" for suffix in ("json", "txt", "xml", "csv", "yaml", "md", "html", "npy", "cls", "log", "sha256")
]
SIDECARS += ["Thumbs.db", "desktop.ini", "x.lnk", "README", "clip.mp4", "notes.part", "checksums"]


def test_what_is_no_image_by_name_and_content_is_skipped_and_no_loss(tmp_path: Path) -> None:
    files = {f"cats/{name}": b"something else" for name in SIDECARS} | {"cats/empty": b"", "cats/1.png": picture()}
    listing = both(write(tmp_path / "data", files))
    assert sources(listing) == ["cats/1.png"]
    assert reasons(listing.skipped) == dict.fromkeys(set(files) - {"cats/1.png"}, NO_IMAGE)
    assert listing.passed_over == ()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("name", ["picture", "1.txt", "1.json", "1.jpg_large", "1.png?v=2"])
def test_an_image_under_any_name_is_an_item(tmp_path: Path, kind: str, name: str) -> None:
    assert sources(both(write(tmp_path / "data", {f"cats/{name}": picture(kind)}))) == [f"cats/{name}"]


@pytest.mark.parametrize("name", ["1.JPG", "1.JPEG", "1.jfif", "1.heic", "1.avif", "1.psd", "1.svg", "1.CR2"])
def test_a_file_with_the_name_of_an_image_is_an_item_whatever_it_holds(tmp_path: Path, name: str) -> None:
    assert sources(both(write(tmp_path / "data", {f"cats/{name}": b"no image"}))) == [f"cats/{name}"]


@pytest.mark.parametrize(
    "text",
    [
        b"P1 of the series: a cat",
        b"BM stands for Bob Martin, who took it",
        b"II*",
        b"ftypheic",
        b"<?xml version='1.0'?><a/>",
    ],
)
def test_a_caption_that_begins_like_an_image_is_none(tmp_path: Path, text: bytes) -> None:
    assert sources(both(write(tmp_path / "data", {"cats/1.txt": text, "cats/1.png": b""}))) == ["cats/1.png"]


def test_folders_of_systems_are_neither_classes_nor_losses(tmp_path: Path) -> None:
    folders = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information", "cats/@eaDir")
    files = {f"{folder}/cats/._1.png": picture() for folder in folders} | {"cats/1.png": picture()}
    listing = both(write(tmp_path / "data", files))
    assert (sources(listing), listing.folders) == (["cats/1.png"], ("cats",))
    assert reasons(listing.skipped) == dict.fromkeys(folders, "a folder of the system")
    assert listing.passed_over == ()


def test_an_image_outside_of_the_class_folders_is_a_loss_and_another_file_is_not(tmp_path: Path) -> None:
    files = {
        "cats/1.png": picture(),
        "stray.jpg": b"",
        "stray": picture(),
        "boxes.csv": b"path,top",
        "all.tar.gz": b"\x1f\x8b",
    }
    listing = both(write(tmp_path / "data", files))
    assert reasons(listing.passed_over) == {"stray": OUTSIDE, "stray.jpg": OUTSIDE}
    assert set(reasons(listing.skipped)) == {"all.tar.gz", "boxes.csv"}


def test_an_archive_in_a_class_folder_is_said_to_be_one(tmp_path: Path) -> None:
    listing = both(write(tmp_path / "data", {"cats/1.png": picture(), "cats/more.zip": b"PK\3\4"}))
    assert reasons(listing.skipped) == {"cats/more.zip": ARCHIVE}


def test_a_name_that_is_no_text_is_a_loss_where_it_hides_an_image_or_a_folder(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"cats/1.png": picture()})
    for name, content in ((b"\xff.png", b""), (b"\xfe", picture()), (b"\xfd.txt", b"text")):
        Path(os.fsdecode(bytes(root) + b"/cats/" + name)).write_bytes(content)
    Path(os.fsdecode(bytes(root) + b"/d\xfcgs")).mkdir()
    listing = list_items(root)
    assert set(reasons(listing.passed_over)) == {"cats/\\udcff.png", "cats/\\udcfe", "d\\udcfcgs"}
    assert reasons(listing.skipped) == {"cats/\\udcfd.txt": NO_IMAGE}


def test_a_pipe_is_never_opened_and_a_loss_only_under_the_name_of_an_image(tmp_path: Path) -> None:
    root = write(tmp_path / "data", {"cats/1.png": picture()})
    for name in ("pipe", "pipe.png"):
        os.mkfifo(root / "cats" / name)
    (root / "cats" / "linked").symlink_to("pipe")
    (root / "cats" / "linked.png").symlink_to("pipe")
    for data in (root, tarred(root)):
        listing = list_items(data)
        assert sources(listing) == ["cats/1.png"]
        assert set(reasons(listing.passed_over)) == {"cats/pipe.png", "cats/linked.png"}
        assert set(reasons(listing.skipped)) == {"cats/pipe", "cats/linked"}
    assert set(reasons(list_items(root).passed_over).values()) == {"not a regular file"}


def test_a_folder_that_can_not_be_listed_is_a_loss_and_its_class_stays_one(tmp_path: Path) -> None:
    """A path that is too long can't be listed, by root neither."""
    root = write(tmp_path / "data", {"cats/1.png": picture(), "dogs/1.png": picture()})
    here = os.open(root / "cats", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    listing = list_items(root)
    assert sources(listing) == ["cats/1.png", "dogs/1.png"]
    (lost,) = listing.passed_over
    assert lost.source.startswith("cats/ddd")
    assert lost.reason == "the folder can't be listed: File name too long"
    shutil.rmtree(root)


def test_folders_nested_deeper_than_the_stack_are_walked(tmp_path: Path) -> None:
    deep = "/".join("d" * 1500)
    here = tmp_path
    for name in ("data", "cats", *deep.split("/")):
        here = here / name
        here.mkdir()
    (here / "1.png").write_bytes(b"")
    listing = list_items(tmp_path / "data")
    subprocess.run(["rm", "-r", tmp_path / "data"], check=True)  # Python's own removal, and so pytest's, is recursive
    assert sources(listing) == [f"cats/{deep}/1.png"]


def test_what_is_excluded_is_skipped_with_the_pattern_that_names_it(tmp_path: Path) -> None:
    files = dict.fromkeys(("cats/1.png", "cats/1_mask.png", "cats/old/2.png", "dogs/3.png", "dogs/cache/4.png"), b"")
    root = write(tmp_path / "data", files)
    listing = both(root, exclude=("*_mask.png", "cats/old/", "cache"))
    assert sources(listing) == ["cats/1.png", "dogs/3.png"]
    assert reasons(listing.skipped) == {
        "cats/1_mask.png": "excluded by --exclude *_mask.png",
        "cats/old": "excluded by --exclude cats/old/",
        "dogs/cache": "excluded by --exclude cache",
    }
    assert both(root, exclude=("dogs",)).folders == ("cats",)
    with pytest.raises(UsageError, match="--exclude needs a pattern"):
        list_items(root, exclude=("",))


def test_data_that_is_one_class_names_the_folder_above_it(tmp_path: Path) -> None:
    flat = write(tmp_path / "cats", {"1.png": picture(), "2.png": picture()})
    with pytest.raises(
        UsageError, match=f"holds no class folders, but 2 images: .*the folder above it \\({tmp_path}\\)"
    ):
        list_items(flat)
    packed = write(tmp_path / "packed", {"n01440764.zip": b"", "readme.txt": b""})
    with pytest.raises(UsageError, match=r"but archives \(n01440764.zip\): unpack them"):
        list_items(packed)
