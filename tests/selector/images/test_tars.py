"""Tars as found: links of all kinds, what can't be read, and ends that are no ends."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from selector.errors import UsageError
from selector.images.datasets import Reader, list_items

HARD, SOFT = tarfile.LNKTYPE, tarfile.SYMTYPE


def packed(path: Path, *members: tuple[str, bytes | tuple[bytes, str]]) -> Path:
    """A tar of files (name, content) and others (name, (type, linkname)) in this order."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)
    return path


def contents(path: Path) -> dict[str, bytes]:
    """What the listing's items read as."""
    with Reader(list_items(path)) as reader:
        return {source: reader.read(source) for source in list_items(path).sources.to_pylist()}


def lost(path: Path) -> dict[str, str]:
    return {one.source: one.reason for one in list_items(path).passed_over}


def test_links_to_members_read_as_the_member_whatever_the_order_and_length_of_the_chain(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "data.tar",
        ("cats/early.png", (HARD, "cats/a.png")),
        (".pool/p.png", b"pool"),
        ("cats/a.png", b"a"),
        ("cats/hard.png", (HARD, "./.pool/p.png")),
        ("cats/chain.png", (HARD, "cats/hard.png")),
        ("dogs/soft.png", (SOFT, "../cats/a.png")),
        ("dogs/to-soft.png", (HARD, "dogs/soft.png")),
        ("dogs/same-folder.png", (SOFT, "soft.png")),
    )
    assert contents(path) == {
        "cats/a.png": b"a",
        "cats/early.png": b"a",
        "cats/hard.png": b"pool",
        "cats/chain.png": b"pool",
        "dogs/soft.png": b"a",
        "dogs/to-soft.png": b"a",
        "dogs/same-folder.png": b"a",
    }
    assert lost(path) == {}


def test_a_hard_link_holds_the_member_that_stood_before_it(tmp_path: Path) -> None:
    """As unpacking has it: a later member of the same name is another file."""
    path = packed(
        tmp_path / "data.tar", ("cats/a.png", b"old"), ("cats/b.png", (HARD, "cats/a.png")), ("cats/a.png", b"new")
    )
    assert contents(path) == {"cats/a.png": b"new", "cats/b.png": b"old"}


def test_gnu_tar_and_the_folder_agree_on_hard_links(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "a.png").write_bytes(b"a")
    os.link(folder / "cats" / "a.png", folder / "cats" / "b.png")
    subprocess.run(["tar", "-cf", tmp_path / "data.tar", "-C", folder, "."], check=True)
    with tarfile.open(tmp_path / "data.tar") as tar:
        assert sum(member.islnk() for member in tar) == 1
    assert contents(tmp_path / "data.tar") == contents(folder) == {"cats/a.png": b"a", "cats/b.png": b"a"}


def test_what_has_no_bytes_in_the_tar_is_a_loss_with_its_reason(tmp_path: Path) -> None:
    path = packed(
        tmp_path / "data.tar",
        ("cats/a.png", b"a"),
        ("cats/missing.png", (HARD, "cats/never.png")),
        ("cats/outside.png", (SOFT, "../../etc/a.png")),
        ("cats/absolute.png", (SOFT, "/cats/a.png")),
        ("cats/round.png", (SOFT, "trip.png")),
        ("cats/trip.png", (SOFT, "round.png")),
        ("cats/folder.png", (SOFT, "../dogs")),
        ("dogs", (tarfile.DIRTYPE, "")),
        ("cats/device.png", (tarfile.CHRTYPE, "")),
        ("cats/notes.txt", (SOFT, "nowhere.txt")),
        ("cats/../dogs/b.png", b"b"),
    )
    found = lost(path)
    assert set(contents(path)) == {"cats/a.png"}
    names = ("missing", "outside", "absolute", "round", "trip", "folder", "device")
    assert set(found) == {f"cats/{name}.png" for name in names} | {"cats/.."}
    assert "cats/never.png" in found["cats/missing.png"]
    assert "a link to a folder" in found["cats/folder.png"]
    assert "a device or a pipe" in found["cats/device.png"]
    assert "plain paths" in found["cats/.."]
    assert [one.source for one in list_items(path).skipped] == ["cats/notes.txt"]


def test_a_sparse_member_is_a_loss(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "cats"
    folder.mkdir(parents=True)
    with (folder / "hole.png").open("wb") as file:
        file.truncate(1 << 20)
    (folder / "a.png").write_bytes(b"a")
    subprocess.run(["tar", "-S", "-cf", tmp_path / "data.tar", "-C", folder.parent, "cats"], check=True)
    assert set(contents(tmp_path / "data.tar")) == {"cats/a.png"}
    assert "sparse" in lost(tmp_path / "data.tar")["cats/hole.png"]


def test_a_tar_without_its_end_is_read_and_said_to_be_perhaps_incomplete(tmp_path: Path) -> None:
    path = packed(tmp_path / "data.tar", ("cats/a.png", bytes(512)), ("cats/b.png", bytes(512)))
    os.truncate(path, 1024)
    assert set(contents(path)) == {"cats/a.png"}
    assert "no end mark" in lost(path)["data.tar"]


def test_what_follows_behind_the_end_of_a_tar_is_said_to_be_unread(tmp_path: Path) -> None:
    first = packed(tmp_path / "data.tar", ("cats/a.png", b"a"))
    second = packed(tmp_path / "more.tar", ("cats/b.png", b"b"))
    first.write_bytes(first.read_bytes() + second.read_bytes())
    assert set(contents(first)) == {"cats/a.png"}
    assert "several tars joined" in lost(first)["data.tar"]


@pytest.mark.parametrize("at", [1024 + 100, 2048 + 3])
def test_a_damaged_header_is_an_error_and_no_early_end(tmp_path: Path, at: int) -> None:
    names = ("cats/a.png", "cats/b.png", "cats/c.png")
    path = packed(tmp_path / "data.tar", *((name, bytes(512)) for name in names))
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 0x55
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match=f"{path} can't be read.*the header at byte {at - at % 512} is damaged"):
        list_items(path)
