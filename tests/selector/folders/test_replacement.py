"""A folder that takes the place of another: whole or not at all, and what others put there stays."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from selector.folders.replacement import replaced


def own(folder: Path) -> set[str]:
    return set((folder / "own.txt").read_text().split())


def write(final: Path, **files: str) -> None:
    """Replaces the folder by one of these files; dots stand for the ends of names."""
    with replaced(final, own) as folder:
        for name, content in files.items():
            (folder / f"{name}.txt").write_text(content)
        (folder / "own.txt").write_text(" ".join(["own.txt", *(f"{name}.txt" for name in files)]))


def contents(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_what_others_put_there_stays_and_what_is_ours_goes(tmp_path: Path) -> None:
    final = tmp_path / "made"
    write(final, a="1", b="1")
    (final / "notes" / "deep").mkdir(parents=True)
    (final / "notes" / "deep" / "keep.txt").write_text("keep")
    (final / "empty").mkdir()
    (final / "link").symlink_to("a.txt")
    write(final, a="2")
    assert contents(final) == {"a.txt": "2", "link": "2", "own.txt": "own.txt a.txt", "notes/deep/keep.txt": "keep"}
    assert (final / "empty").is_dir()
    assert (final / "link").is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_where_hard_links_are_impossible_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def impossible(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    write(tmp_path / "made", a="1")
    (tmp_path / "made" / "keep").write_text("keep")
    monkeypatch.setattr(os, "link", impossible)
    write(tmp_path / "made", a="2")
    assert contents(tmp_path / "made")["keep"] == "keep"


@pytest.mark.parametrize("moment", ["written", "renamed"])
def test_an_error_leaves_the_older_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    final = tmp_path / "made"
    write(final, a="1")
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.suffix == ".partial":
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(path, target)

    def none_written(path: Path, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    if moment == "renamed":
        monkeypatch.setattr(Path, "rename", full)
    else:
        monkeypatch.setattr(Path, "write_text", none_written)
    with pytest.raises(OSError, match="No space left"):
        write(final, a="2")
    assert contents(final)["a.txt"] == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_what_a_killed_process_left_is_taken_up(tmp_path: Path) -> None:
    """Killed while it wrote, between its two renames, and before it removed the older folder."""
    final, mark = tmp_path / "made", "0" * 32
    write(final, a="1")
    (final / "keep").write_text("keep")
    (tmp_path / f".made.{mark}.partial").mkdir()
    final.rename(tmp_path / f".made.{mark}.old")
    write(final, a="2")
    assert contents(final)["keep"] == "keep"
    final.rename(tmp_path / f".made.{mark}.old")
    final.mkdir()
    (final / "own.txt").write_text("own.txt")
    write(final, a="3")
    assert contents(final) == {"a.txt": "3", "own.txt": "own.txt a.txt", "keep": "keep"}
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_folders_of_like_names_are_nobodys_business(tmp_path: Path) -> None:
    for name in (".made.mine.partial", ".made.old", ".made.partial"):
        (tmp_path / name).mkdir()
    write(tmp_path / "made", a="1")
    assert len(list(tmp_path.iterdir())) == 4
