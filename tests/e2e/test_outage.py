"""Data that go away and come back: what lies around a file is never recorded as if it lay in the file."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from selector.store.store import Store
from tests.e2e.command import manifest, selector, start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_survival import wait_for

pytestmark = pytest.mark.server

PAIR = ("bag", "t-shirt")
NOBODY = 65534


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, server: str) -> Path:
    """The output of a run on six scenes of two classes that nothing happened to."""
    root = tmp_path_factory.mktemp("undisturbed")
    run(some_scenes(root / "data", PAIR), root / "out", server)
    return root / "out"


def run(data: Path, out: Path, server: str, *more: object, code: int = 0) -> str:
    """Runs the command and returns what it says on stderr."""
    return selector("run", data, "--ipc", 3, "--draws", 2, "--server", server, "--out", out, *more, code=code).stderr


def chosen(out: Path) -> bytes:
    return (out / "ipc-3" / "selection.parquet").read_bytes()


def rows(out: Path) -> dict[str, str]:
    return {row["source"]: row["status"] for row in Store.open(out / "store").images().to_pylist()}


def test_links_that_lead_nowhere_for_a_while_are_scored_once_they_lead_there_again(
    tmp_path: Path, server: str, undisturbed: Path
) -> None:
    real, data, out = tmp_path / "real", tmp_path / "data", tmp_path / "out"
    some_scenes(real, PAIR)
    for path in sorted(real.glob("*/*.png")):
        (data / path.parent.name).mkdir(parents=True, exist_ok=True)
        (data / path.parent.name / path.name).symlink_to(path)
    real.rename(tmp_path / "away")
    said = run(data, out, server, code=1)
    assert "12 of 12 files could not be read at once" in said
    assert "bag/00000.png: can't be read: No such file or directory" in said
    assert rows(out) == {}
    (tmp_path / "away").rename(real)
    run(data, out, server)
    assert chosen(out) == chosen(undisturbed)

    (data / "bag" / "00000.png").unlink()
    (data / "bag" / "00000.png").symlink_to(real / "gone.png")
    run(data, out, server)
    counts = manifest(out, 3)["counts"]
    assert (counts["gone"], counts["failed"], counts["scored"], counts["unread"]) == (1, 0, 11, 0)
    assert rows(out)["bag/00000.png"] == "ok", "what was scored stays scored"


def test_a_folder_that_is_renamed_while_it_is_scored_stops_the_run_and_the_same_command_completes_it(
    tmp_path: Path, server: str
) -> None:
    data, out = some_scenes(tmp_path / "data", ("bag", "coat", "t-shirt"), 40), tmp_path / "out"
    arguments = ("run", data, "--ipc", 3, "--shard-size", 4, "--server", server)
    with start(*arguments, "--out", out) as process:
        wait_for(lambda: list(out.glob("store/images/*.parquet")), "a commit")
        data.rename(tmp_path / "away")
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "could not be read at once" in said
    assert "Traceback" not in said
    assert set(rows(out).values()) == {"ok"}
    assert 0 < len(rows(out)) < 120
    (tmp_path / "away").rename(data)
    selector(*arguments, "--out", out)
    selector(*arguments, "--out", tmp_path / "whole")
    assert chosen(out) == chosen(tmp_path / "whole")


def test_files_of_another_user_are_unread_and_tried_again(tmp_path: Path, server: str, undisturbed: Path) -> None:
    """Root without its right to read everything stands for a user who may not read some files of another."""
    setpriv = shutil.which("setpriv")
    if os.getuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv (util-linux)")
    plain_user = (setpriv, "--bounding-set=-dac_override,-dac_read_search")
    data, out = some_scenes(tmp_path / "data", PAIR), tmp_path / "out"
    closed = [data / "bag" / f"{number:05d}.png" for number in range(3)]
    for path in closed:
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o600)
    arguments = ("run", data, "--ipc", 3, "--draws", 2, "--server", server, "--out", out)
    said = selector(*arguments, code=3, before=plain_user).stderr
    assert "3 files could not be read, the first bag/00000.png: can't be read: Permission denied" in said
    counts = manifest(out, 3)["counts"]
    assert (counts["scored"], counts["failed"], counts["unread"], counts["unscored"]) == (9, 0, 3, 3)
    assert len(rows(out)) == 9
    again = selector(*arguments, code=3, before=plain_user).stderr
    assert "3 files could not be read" in again, "a few files among many stop no run, the second time neither"
    for path in closed:
        path.chmod(0o644)
    selector(*arguments, before=plain_user)
    assert chosen(out) == chosen(undisturbed)


def test_a_damaged_file_that_was_repaired_is_scored_and_one_that_was_not_is_left_alone(
    tmp_path: Path, server: str, undisturbed: Path
) -> None:
    data, out = some_scenes(tmp_path / "data", PAIR), tmp_path / "out"
    victim = data / "bag" / "00001.png"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:90])
    small = data / "bag" / "00002.png"
    scene = small.read_bytes()
    content = io.BytesIO()
    Image.new("RGB", (5, 5)).save(content, "PNG")
    small.write_bytes(content.getvalue())
    run(data, out, server, "--max-failed", 1)
    counts = manifest(out, 3)["counts"]
    assert (counts["failed"], counts["filtered"]) == (1, 1)
    run(data, out, server, "--max-failed", 1)
    assert manifest(out, 3)["unet_rows"] == 0, "a failure of this content is a result"
    victim.write_bytes(whole)
    small.write_bytes(scene)
    run(data, out, server)
    assert manifest(out, 3)["unet_rows"] == 2 * 4
    assert chosen(out) == chosen(undisturbed)


def test_retry_failed_looks_again_at_what_failed_and_at_scored_files_that_hold_something_else(
    tmp_path: Path, server: str, undisturbed: Path
) -> None:
    data, out = some_scenes(tmp_path / "data", PAIR), tmp_path / "out"
    damaged, other = data / "bag" / "00001.png", data / "t-shirt" / "00003.png"
    whole, scene = damaged.read_bytes(), other.read_bytes()
    damaged.write_bytes(whole[:90].ljust(len(whole)))
    stamp = damaged.stat()
    shutil.copy(data / "t-shirt" / "00004.png", other)
    run(data, out, server, "--max-failed", 1)
    damaged.write_bytes(whole)
    os.utime(damaged, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    run(data, out, server, "--max-failed", 1)
    assert manifest(out, 3)["unet_rows"] == 0, "size and time of the file are as they were"
    other.write_bytes(scene)
    (data / "bag" / "00005.png").touch()
    run(data, out, server, "--retry-failed")
    assert manifest(out, 3)["unet_rows"] == 2 * 4, "the repaired file and the replaced one; a touched one is the same"
    assert chosen(out) == chosen(undisturbed)
