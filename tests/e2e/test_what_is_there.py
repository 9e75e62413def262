"""The main command on data as it is found: its own output within, sidecars, links in a tar, the same bytes twice."""

from __future__ import annotations

import csv
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.e2e.command import LIMIT_S, environment, manifest, picks, selector

pytestmark = pytest.mark.server

QUICK = ("--ipc", 3, "--draws", 1)
PAIR = ("bag", "t-shirt")


def fill(root: Path, *classes: str, count: int = 4, seed: int = 0) -> Path:
    """Photos of noise in class folders, none like another."""
    rng = np.random.default_rng(seed)
    for name in classes or PAIR:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def table(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["source"]: (row["status"], row["reason"]) for row in csv.DictReader(file)}


def within(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "selector.cli", *map(str, arguments)]
    root = str(Path(__file__).parents[2])
    path = environment() | {"PYTHONPATH": root}
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=path, cwd=folder, check=False)


def test_a_run_within_the_data_finds_everything_done_the_second_time(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    first = within(data, "run", ".", *QUICK)
    assert first.returncode == 0, first.stderr
    made = manifest(data / "runs" / "data", 3)
    again = within(data, "run", ".", *QUICK)
    assert again.returncode == 0, again.stderr
    assert "our own output in the data is no image: runs/data/ipc-3 (a selection)" in again.stderr
    stated = manifest(data / "runs" / "data", 3)
    assert stated["unet_rows"] == 0
    assert stated["counts"]["seen"] == made["counts"]["seen"] == 8
    assert list(stated["selection"]["classes"]) == sorted(PAIR)


def test_output_in_a_class_folder_and_a_store_in_the_data_stay_out_of_later_runs(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    selector("run", data, *QUICK, "--out", data / "bag" / "out")
    selector("score", data, "--draws", 1, "--store", data / "scores")
    selector("select", "--store", data / "scores", "--ipc", 2, "--out", data / "chosen")
    selector("run", data, *QUICK, "--out", data / "bag" / "out")
    stated = manifest(data / "bag" / "out", 3)
    assert (stated["unet_rows"], stated["counts"]["seen"], stated["counts"]["passed_over"]) == (0, 8, 0)
    assert sorted(f["source"] for f in stated["failures"] if f["reason"].startswith("our own output")) == [
        "bag/out/ipc-3",
        "bag/out/outcomes.csv",
        "bag/out/store",
        "chosen/ipc-2",
        "outcomes.csv",
        "scores",
    ]


def test_sidecars_and_system_folders_cost_nothing_and_every_file_has_its_row(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    (data / "bag" / "0.json").write_text("{}")
    (data / "bag" / "Thumbs.db").write_bytes(b"x" * 100)
    (data / "__MACOSX" / "bag").mkdir(parents=True)
    (data / "bag" / "masks").mkdir()
    (data / "bag" / "masks" / "0.png").write_bytes(b"a mask")
    (data / "bag" / "3.png").rename(data / "bag" / "photo")
    selector("run", data, *QUICK, "--out", tmp_path / "out", "--exclude", "masks")
    stated = manifest(tmp_path / "out", 3)
    counts = stated["counts"]
    assert (counts["seen"], counts["scored"], counts["failed"], counts["skipped"]) == (8, 8, 0, 4)
    assert stated["configuration"]["select"]["exclude"] == ["masks"]
    rows = table(tmp_path / "out" / "outcomes.csv")
    assert rows["bag/photo"] == ("scored", "")
    assert rows["bag/0.json"] == ("skipped", "not an image by its name and content")
    assert rows["bag/masks"] == ("skipped", "excluded by --exclude masks")
    assert len(rows) == 12
    chosen = {p["source"] for p in picks(tmp_path / "out", 3)}
    fewer = sorted(chosen)[0]
    selector(
        "select", "--store", tmp_path / "out" / "store", "--ipc", 3, "--out", tmp_path / "fewer", "--exclude", fewer
    )
    assert fewer not in {p["source"] for p in picks(tmp_path / "fewer", 3)}
    selector("report", "--store", tmp_path / "out" / "store", "--ipc", 3, "--out", tmp_path / "fewer")


def test_linked_members_of_a_tar_are_scored_and_lost_ones_end_with_exit_code_3(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        for number in range(4):
            tar.add(data / "bag" / f"{number}.png", f".pool/{number}.png")
            link = tarfile.TarInfo(f"bag/{number}.png")
            link.type, link.linkname = tarfile.LNKTYPE, f".pool/{number}.png"
            tar.addfile(link)
        tar.add(data / "t-shirt", "t-shirt")
        for number in range(2):
            link = tarfile.TarInfo(f"bag/lost{number}.png")
            link.type, link.linkname = tarfile.LNKTYPE, "elsewhere.png"
            tar.addfile(link)
    arguments = ("run", tmp_path / "data.tar", *QUICK, "--out", tmp_path / "out")
    ended = selector(*arguments, code=3)
    assert "2 passed over, counted like failed files, such as bag/lost0.png: a link to what is no file" in ended.stderr
    assert "2 of 10 files were passed over, --max-failed 1% allows 0" in ended.stderr
    stated = manifest(tmp_path / "out", 3)
    assert (stated["counts"]["seen"], stated["counts"]["passed_over"]) == (8, 2)
    assert [f["source"] for f in stated["failures"] if f["status"] == "passed over"] == [
        "bag/lost0.png",
        "bag/lost1.png",
    ]
    assert "bag/lost0.png" in (tmp_path / "out" / "ipc-3" / "report.html").read_text()
    assert table(tmp_path / "out" / "outcomes.csv")["bag/lost1.png"][0] == "passed over"
    quiet = selector(*arguments, "--json", code=3)
    assert "2 passed over" in quiet.stderr
    selector(*arguments, "--max-failed", "20%")


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of bag lie under t-shirt as well, and the store of both classes."""
    root = tmp_path_factory.mktemp("twins")
    data = fill(root / "data")
    for number in range(2):
        (data / "t-shirt" / f"twin{number}.png").write_bytes((data / "bag" / f"{number}.png").read_bytes())
    selector("score", data, "--draws", 1, "--store", root / "out" / "store")
    return root


@pytest.mark.parametrize(("across", "of_bag"), [("first", 4), ("drop", 2)])
def test_the_same_bytes_under_two_classes_are_said_and_taken_as_asked(twins: Path, across: str, of_bag: int) -> None:
    out = twins / across
    ended = selector("select", "--store", twins / "out" / "store", "--ipc", 2, "--out", out, "--across-classes", across)
    assert (
        "2 images lie under several classes with the same bytes, such as bag/0.png and t-shirt/twin0.png"
        in ended.stderr
    )
    stated = manifest(out, 2)
    assert stated["selection"]["classes"]["bag"]["images"] == of_bag
    assert stated["selection"]["classes"]["t-shirt"]["images"] == 4
    assert stated["configuration"]["select"]["across_classes"] == across
    assert stated["counts"]["across_classes"] == 2
    selector("report", "--store", twins / "out" / "store", "--ipc", 2, "--out", out)


def test_the_same_bytes_under_two_classes_can_be_refused_and_nothing_is_lost(twins: Path) -> None:
    arguments = ("run", twins / "data", "--ipc", 2, "--draws", 1, "--out", twins / "out")
    refused = selector(*arguments, "--across-classes", "error", code=2)
    assert "such as bag/0.png and t-shirt/twin0.png: remove them from one" in refused.stderr
    selector(*arguments, "--across-classes", "drop")
    assert manifest(twins / "out", 2)["unet_rows"] == 0
    assert table(twins / "out" / "outcomes.csv")["bag/0.png"][0] == "filtered"


def test_a_short_class_is_refused_with_the_reasons_of_its_files(tmp_path: Path) -> None:
    data = fill(tmp_path / "data", *PAIR, "coat", "dress")
    for path in sorted((data / "coat").iterdir()):
        path.write_bytes(path.read_bytes()[:90])
    for path in sorted((data / "dress").iterdir()):
        path.write_bytes((data / "bag" / path.name).read_bytes())
    refused = selector("run", data, *QUICK, "--out", tmp_path / "out", code=2)
    assert "dress (0): 4 duplicates of bag/…" in refused.stderr
    assert "coat (0): 4 damaged" in refused.stderr
    assert f"{tmp_path / 'out' / 'outcomes.csv'} has every file and its reason" in refused.stderr
    assert table(tmp_path / "out" / "outcomes.csv")["coat/0.png"][0] == "failed"
    taken = selector("run", data, *QUICK, "--out", tmp_path / "out", "--on-short", "all", "--max-failed", 4)
    assert "no usable image in dress (4 duplicates of bag/…), coat (4 damaged)" in taken.stderr
    scored = selector("score", data, "--draws", 1, "--store", tmp_path / "out" / "store", code=3)
    assert "manifest" not in scored.stderr


def test_classes_below_a_split_are_proposed_before_a_server_is_started(tmp_path: Path) -> None:
    for split in ("train", "val"):
        fill(tmp_path / "data" / split)
    refused = selector("run", tmp_path / "data", *QUICK, "--out", tmp_path / "out", code=4)
    assert f"selector run {tmp_path / 'data' / 'train'}" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_a_foreign_table_of_that_name_is_refused_before_anything_is_scored(tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "outcomes.csv").write_text("mine\n")
    refused = selector("run", data, *QUICK, "--out", tmp_path / "out", code=2)
    assert "is no table of outcomes" in refused.stderr
    assert not (tmp_path / "out" / "store").exists()
