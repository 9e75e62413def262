"""A repository appears whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from export_scripts.errors import PublishError
from export_scripts.repository.publishing import published


def write(folder: Path, text: str) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "manifest.json").write_text(text)


def fail_halfway(repository: Path) -> None:
    with published(repository) as folder:
        write(folder, "half")
        raise RuntimeError


def text_of(folder: Path) -> str:
    return (folder / "model" / "manifest.json").read_text()


def test_a_finished_export_takes_the_place_of_an_earlier_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with published(tmp_path / "repository") as folder:
            write(folder, text)
    assert text_of(tmp_path / "repository") == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["repository"]


def test_a_failed_export_leaves_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail_halfway(tmp_path / "repository")
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_earlier_one_as_it_was(tmp_path: Path) -> None:
    with published(tmp_path / "repository") as folder:
        write(folder, "old")
    with pytest.raises(RuntimeError):
        fail_halfway(tmp_path / "repository")
    assert text_of(tmp_path / "repository") == "old"


def test_a_folder_with_anything_else_in_it_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(PublishError, match=r"cat\.jpg"), published(tmp_path / "photos"):
        pytest.fail("the body must not run")
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    with published(tmp_path / "repository") as folder:
        write(folder, "new")
    assert text_of(tmp_path / "repository") == "new"


def test_a_file_or_a_link_in_the_repository_s_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link"):
        with pytest.raises(PublishError, match="not a folder"), published(tmp_path / name):
            pytest.fail("the body must not run")


def test_a_place_below_a_file_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match="was not written") as error, published(tmp_path / "file" / "repository"):
        pytest.fail("the body must not run")
    assert "\n" not in str(error.value)


def test_a_disk_that_fills_up_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(PublishError, match=r"repository was not written: .*No space left.*make room"),
        published(tmp_path / "repository"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())
