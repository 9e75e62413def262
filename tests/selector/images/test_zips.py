"""Zip archives as found: every way of packing that is read, and what is hostile or damaged."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from selector.errors import UsageError
from selector.images.datasets import Reader, list_items
from selector.images.readers import ContentError

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 50


def packed(path: Path, *members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def contents(path: Path) -> dict[str, bytes]:
    listing = list_items(path)
    with Reader(listing) as reader:
        return {source: reader.read(source) for source in listing.sources.to_pylist()}


def lost(path: Path) -> dict[str, str]:
    return {one.source: one.reason for one in list_items(path).passed_over}


class Unseekable(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    tell = seek


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_in_place_stored_and_deflated(tmp_path: Path, method: int) -> None:
    files = {"cats/1.png": PICTURE, "cats/deep/2.png": b"", "dogs/ä 猫.png": b"z" * 1_000_000, "dogs/none": PICTURE}
    path = packed(tmp_path / "data.zip", *files.items(), ("cats/notes.txt", b"hello"), method=method)
    assert contents(path) == files
    assert list_items(path).folders == ("cats", "dogs")
    assert [one.source for one in list_items(path).skipped] == ["cats/notes.txt"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_was_streamed_has_its_checksums_behind_the_members(tmp_path: Path, method: int) -> None:
    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name in ("a/1.png", "b/2.png"):
            with archive.open(zipfile.ZipInfo(name), "w") as member:
                member.write(PICTURE)
    (tmp_path / "data.zip").write_bytes(stream.getvalue())
    assert contents(tmp_path / "data.zip") == {"a/1.png": PICTURE, "b/2.png": PICTURE}


def test_names_that_leave_the_archive_are_lost_and_others_are_brought_into_one_form(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "data.zip",
        ("cats/1.png", b"1"),
        ("../evil/2.png", b"2"),
        ("cats/../../3.png", b"3"),
        ("/cats/4.png", b"4"),
        (r"dogs\5.png", b"5"),
    )
    assert contents(path) == {"cats/1.png": b"1", "cats/4.png": b"4", "dogs/5.png": b"5"}
    assert set(lost(path).values()) == {"its path has .. in it: pack the data with plain paths"}
    assert len(lost(path)) == 2
    assert sorted(path.parent.iterdir()) == [path]


def test_the_last_of_several_members_of_a_name_counts_and_the_others_are_lost(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = packed(tmp_path / "data.zip", ("cats/1.png", b"old"), ("cats/1.png", b"new"))
    assert contents(path) == {"cats/1.png": b"new"}
    assert lost(path) == {"cats/1.png": "an earlier member of the same name: the last one in the archive counts"}


def test_links_are_followed_within_the_archive_and_nowhere_else(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/1.png", PICTURE)
        for name, target in (("dogs/1.png", "../cats/1.png"), ("dogs/2.png", "/etc/hostname"), ("dogs/3.png", "3.png")):
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, target)
    assert contents(path) == {"cats/1.png": PICTURE, "dogs/1.png": PICTURE}
    assert set(lost(path)) == {"dogs/2.png", "dogs/3.png"}


def test_encrypted_and_otherwise_packed_members_are_lost_with_their_reason(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/1.png", PICTURE)
        archive.writestr("cats/2.png", PICTURE, zipfile.ZIP_LZMA)
        archive.writestr("cats/3.png", PICTURE)
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1  # the last entry of the directory says that its member is encrypted
    path.write_bytes(raw)
    assert contents(path) == {"cats/1.png": PICTURE}
    assert lost(path)["cats/2.png"].startswith("packed by a method of zip that is not read (number 14)")
    assert lost(path)["cats/3.png"].startswith("encrypted in the zip archive")


def test_a_bomb_gives_no_more_bytes_than_it_says_and_what_says_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = packed(tmp_path / "data.zip", ("cats/1.png", bytes(50_000_000)), method=zipfile.ZIP_DEFLATED)
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02") + 24
    assert raw[at : at + 4] == struct.pack("<I", 50_000_000)
    raw[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(raw)
    with Reader(list_items(path)) as reader, pytest.raises(ContentError, match="holds more than the 1000 bytes"):
        reader.read("cats/1.png")
    raw[at : at + 4] = struct.pack("<I", 1 << 30)
    path.write_bytes(raw)
    with Reader(list_items(path)) as reader, pytest.raises(ContentError, match="more than the limit"):
        reader.read("cats/1.png")


def test_a_damaged_member_is_known_by_its_checksum(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = packed(tmp_path / "data.zip", ("cats/1.png", PICTURE), ("cats/2.png", PICTURE), method=method)
        raw = bytearray(path.read_bytes())
        raw[60] ^= 0x55
        path.write_bytes(raw)
        with Reader(list_items(path)) as reader:
            with pytest.raises(ContentError, match="damaged"):
                reader.read("cats/1.png")
            assert reader.read("cats/2.png") == PICTURE


def test_an_archive_that_changes_or_is_cut_after_it_was_listed_gives_reasons(tmp_path: Path) -> None:
    path = packed(tmp_path / "data.zip", ("cats/1.png", PICTURE), ("cats/2.png", PICTURE))
    listing = list_items(path)
    whole = path.read_bytes()
    for begin, reason in ((whole[:5000], "too early|no member"), (bytes(len(whole)), "no member")):
        path.write_bytes(begin)
        with Reader(listing) as reader, pytest.raises(ContentError, match=reason):
            reader.read("cats/2.png")
    path.write_bytes(whole[:-10])
    with pytest.raises(UsageError, match=r"data.zip can't be read as a zip archive"):
        list_items(path)


@pytest.mark.parametrize(
    ("begin", "remedy"),
    [
        (b"\x28\xb5\x2f\xfd", "zstd -d"),
        (b"BZh9", "bunzip2"),
        (b"\xfd7zXZ\0", "unxz"),
        (b"7z\xbc\xaf\x27\x1c", "unpack it"),
    ],
)
def test_archives_that_can_not_be_read_in_place_are_refused_with_a_remedy(
    tmp_path: Path, begin: bytes, remedy: str
) -> None:
    path = tmp_path / "data.tar"
    path.write_bytes(begin + bytes(100))
    with pytest.raises(UsageError, match=remedy):
        list_items(path)
