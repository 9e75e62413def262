"""What the system says about a file, in one line, and trying a place before it is needed."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from selector.errors import FileError, UsageError
from selector.folders.files import check_file, check_folder, file_errors, known, told, write_text

FULL = Path("/dev/full")
"""Linux's device that is always full."""


def test_a_full_disk_is_told_with_the_file_and_the_remedy(tmp_path: Path) -> None:
    said = pytest.raises(FileError, match=r"^/a/b can't be written: the disk is full: make room")
    with said as ended, file_errors(Path("/a/b")), FULL.open("w") as file:
        file.write("x")
    assert ended.value.exit_code == 1


def test_numpy_says_of_a_full_disk_only_how_much_it_wrote() -> None:
    with (
        pytest.raises(FileError, match="the disk is full"),
        file_errors(Path("x")),
        FULL.open("wb", buffering=0) as file,
    ):
        np.zeros(100_000).tofile(file)


def test_an_error_names_its_own_file_before_the_one_around(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=f"^{tmp_path} can't be written: it is a folder"), file_errors(Path("other")):
        tmp_path.write_text("x")


def test_of_a_link_the_place_is_named_and_not_what_it_points_to(tmp_path: Path) -> None:
    held = tmp_path / "gone" / "images-00003"
    with pytest.raises(FileError, match=f"^{held} can't be written: it is not there"), file_errors(tmp_path):
        held.symlink_to("writer.1f")


def test_the_line_stays_one_line_whatever_the_name() -> None:
    error = OSError(errno.EACCES, "Permission denied", "a\nb\udcff")
    assert told(error).count("\n") == 0
    assert told(error).startswith("a b")
    assert "permission is denied" in told(error)


def test_faults_of_the_program_are_not_taken_for_faults_of_files() -> None:
    assert not known(OSError("strange"))
    assert not known(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert known(OSError(errno.ENOSPC, "No space left on device"))
    assert known(FileNotFoundError(errno.ENOENT, "No such file", "x"))


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new" * 100_000 + "\udcff")
    assert path.read_text() == "old"
    write_text(path, "é")
    assert path.read_bytes() == "é".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_trying_a_place_leaves_it_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    check_folder(tmp_path / "there", "--out")
    check_folder(tmp_path / "a" / "b" / "c", "--out")
    check_file(tmp_path / "file", "--csv")
    check_file(tmp_path / "a" / "new", "--csv")
    check_file(Path("/dev/null"), "--csv")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_made_by_another_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import selector.folders.files as files

    real = files.tempfile.TemporaryFile

    def busy(dir: Path) -> object:
        (dir / "theirs").write_text("x")
        return real(dir=dir)

    monkeypatch.setattr(files.tempfile, "TemporaryFile", busy)
    check_folder(tmp_path / "new", "--out")
    assert (tmp_path / "new" / "theirs").read_text() == "x"


def test_a_place_that_can_not_be_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"^--out: /dev/null can't be written: it is there and no folder"):
        check_folder(Path("/dev/null/x"), "--out")
    with pytest.raises(UsageError, match="the name is too long"):
        check_file(Path("x" * 300), "--csv")
