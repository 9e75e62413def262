"""A folder as found in the wild: every file is accounted for with its reason."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.command import manifest, picks, selector

pytestmark = pytest.mark.server

RNG = np.random.default_rng(0)


def photo(height: int = 70, width: int = 90) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(image: Image.Image, kind: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG that says 20,000 × 20,000 and holds a few bytes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("wild") / "data"
    bag = root / "bag"
    bag.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = encoded(photo(60, 100), "JPEG", exif=exif)
    files = {
        "truncated.jpg": encoded(photo(), "JPEG")[:-900],
        "empty.png": b"",
        "text.png": b"this is not an image\n",
        "sixteen.png": encoded(Image.fromarray(RNG.integers(0, 65536, (64, 64), dtype=np.uint16)), "PNG"),
        "cmyk.jpg": encoded(photo().convert("CMYK"), "JPEG"),
        "alpha.png": encoded(photo().convert("RGBA"), "PNG"),
        "moving.gif": encoded(photo(), "GIF", save_all=True, append_images=[photo(), photo()]),
        "rotated.jpg": rotated,
        "one.png": encoded(photo(1, 1), "PNG"),
        "bomb.png": bomb(),
        "naïve name 猫.png": encoded(photo(), "PNG"),
        "copy of rotated.jpg": rotated,
    }
    for name, content in files.items():
        (bag / name).write_bytes(content)
    (bag / "loop").symlink_to(bag, target_is_directory=True)
    return root


@pytest.fixture(scope="module")
def scored(wild: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scored") / "out"
    selector("run", wild, "--ipc", 6, "--out", out, "--max-failed", "4")
    return out


def test_every_file_has_its_outcome_and_the_counts_add_up(scored: Path) -> None:
    stated = manifest(scored, 6)
    outcomes = {Path(f["source"]).name: f["status"] for f in stated["failures"]}
    assert outcomes == {
        "truncated.jpg": "failed",
        "empty.png": "failed",
        "text.png": "failed",
        "bomb.png": "failed",
        "one.png": "filtered",
        "rotated.jpg": "filtered",
        "loop": "skipped",
    }
    assert all(f["reason"] for f in stated["failures"])
    counts = stated["counts"]
    assert (counts["seen"], counts["scored"], counts["filtered"], counts["failed"]) == (12, 6, 2, 4)
    assert counts["duplicates"] == 1
    assert set(stated["conversions"].values()) == {1}
    assert len(stated["conversions"]) == 5  # 16 bits, CMYK, alpha, frames, rotation
    assert {Path(p["source"]).name for p in picks(scored, 6)} == {
        "sixteen.png",
        "cmyk.jpg",
        "alpha.png",
        "moving.gif",
        "copy of rotated.jpg",
        "naïve name 猫.png",
    }


def test_boxes_are_pixels_of_the_rotated_photo(scored: Path) -> None:
    (rotated,) = [p for p in picks(scored, 6) if "rotated" in p["source"]]
    assert rotated["top"] + rotated["height"] <= 100
    assert rotated["left"] + rotated["width"] <= 60
    assert rotated["top"] - 20 >= 0  # the centre square of a photo that is 60 wide and 100 high


def test_more_failures_than_allowed_end_with_exit_code_3_and_keep_the_results(wild: Path, tmp_path: Path) -> None:
    ended = selector("run", wild, "--ipc", 6, "--out", tmp_path, "--max-failed", "3", code=3)
    assert "4 of 12 files failed" in ended.stderr
    assert len(picks(tmp_path, 6)) == 6


def test_a_class_without_usable_images_is_named_and_can_be_gone_without(tmp_path: Path) -> None:
    for folder, content in (("bag", encoded(photo(), "PNG")), ("coat", b"")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / "data" / folder / "a.png").write_bytes(content)
    arguments = ("run", tmp_path / "data", "--ipc", 1, "--out", tmp_path / "out", "--max-failed", "1")
    refused = selector(*arguments, code=2)
    assert "coat (0)" in refused.stderr
    selector(*arguments, "--on-short", "all")
    assert [p["class_name"] for p in picks(tmp_path / "out", 1)] == ["bag"]
