"""The kind of a picture by its first bytes: containers that several kinds share."""

from __future__ import annotations

import pytest

from selector.images.recognition import IMAGE_SUFFIXES, content_named, picture_kind


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    box = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (len(box) + 4).to_bytes(4, "big") + box + b"\0\0\0\x08free" + b"avif" * 9


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (ftyp(b"avif", b"mif1", b"miaf"), "AVIF"),
        (ftyp(b"avis", b"msf1"), "AVIF"),
        (ftyp(b"heic", b"mif1"), "HEIC"),
        (ftyp(b"hevc", b"msf1"), "HEIC"),
        (ftyp(b"mif1", b"miaf", b"avif"), "AVIF"),
        (ftyp(b"msf1", b"avis"), "AVIF"),
        (ftyp(b"mif1", b"heic"), "HEIC"),
        (ftyp(b"mif1", b"miaf"), "HEIC"),
        (ftyp(b"crx ", b"isom"), "camera raw"),
        (ftyp(b"isom", b"mp42"), ""),
        (ftyp(b"qt  ", b"heic"), ""),
    ],
)
def test_a_box_of_brands_is_read_to_its_end_and_no_further(head: bytes, kind: str) -> None:
    """The bytes behind the box say "avif": they are no brand."""
    assert picture_kind(head) == kind


def test_kinds_have_their_article() -> None:
    assert content_named(ftyp(b"avif")) == "an AVIF picture"
    assert content_named(ftyp(b"heic")) == "a HEIC picture"


def test_suffixes_of_phones_and_of_animations_are_names_of_images() -> None:
    assert {"avif", "avifs", "heic", "heics", "heif", "heifs", "hif", "mpo", "webp", "jxl"} <= IMAGE_SUFFIXES
