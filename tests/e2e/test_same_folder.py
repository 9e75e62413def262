"""Folders that somebody else uses too: other processes, other data, other settings, files of the user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from selector.folders.locks import held
from selector.store.claims import Claims
from selector.store.store import Store
from tests.e2e.command import manifest, picks, selector, start
from tests.e2e.scenes import some_scenes

pytestmark = pytest.mark.server

PAIR = ("bag", "t-shirt")
SETTINGS = ("--ipc", 3, "--draws", 2)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_scenes(tmp_path_factory.mktemp("scenes") / "data", PAIR)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, data: Path, server: str) -> Path:
    """The output of one run; tests that change it take a copy."""
    out = tmp_path_factory.mktemp("scored") / "out"
    selector("run", data, *SETTINGS, "--server", server, "--out", out)
    return out


def copy(scored: Path, folder: Path) -> Path:
    shutil.copytree(scored, folder / "out")
    return folder / "out"


def images(out: Path, ipc: int = 3) -> set[str]:
    folder = out / f"ipc-{ipc}" / "images"
    return {str(path.relative_to(folder)) for path in folder.rglob("*.png")}


def stated(out: Path, ipc: int = 3) -> set[str]:
    return {f"{p['class_name']}/{p['rank']:04d}_{p['image_id']}.png" for p in picks(out, ipc)}


def test_two_runs_at_once_share_the_work_and_end_with_one_selection(
    scored: Path, data: Path, server: str, tmp_path: Path
) -> None:
    command = ("run", data, *SETTINGS, "--shard-size", 1, "--server", server, "--out", tmp_path)
    both = [start(*command) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "Traceback" not in "".join(said)
    assert images(tmp_path) == stated(tmp_path)
    assert picks(tmp_path, 3) == picks(scored, 3)
    history = Store.open(tmp_path / "store").read_history()
    assert sum(run["unet_rows"] for run in history) == 12 * 4, "no row was spent twice"
    assert list((tmp_path / "store" / "work").iterdir()) == []


def test_two_runs_at_once_with_a_server_each_end_with_one_selection(scored: Path, data: Path, tmp_path: Path) -> None:
    both = [start("run", data, *SETTINGS, "--shard-size", 1, "--out", tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=180)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert picks(tmp_path, 3) == picks(scored, 3)
    assert images(tmp_path) == stated(tmp_path)
    assert sum(run["unet_rows"] for run in Store.open(tmp_path / "store").read_history()) == 12 * 4
    assert len(list((tmp_path / "store").glob("server.log*"))) == sum("embedded Triton" in text for text in said) > 0


@pytest.mark.parametrize("turn", range(3))
def test_two_orders_selected_at_once_leave_the_images_of_one_of_them(scored: Path, tmp_path: Path, turn: int) -> None:
    command = ("select", "--store", scored / "store", "--ipc", 4, "--out", tmp_path, "--order")
    both = [start(*command, order) for order in ("random", "typicality")]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert images(tmp_path, 4) == stated(tmp_path, 4)
    assert len(stated(tmp_path, 4)) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [".selector.lock", "ipc-4"]


def test_no_wait_refuses_with_who_is_there(scored: Path, data: Path, server: str, tmp_path: Path) -> None:
    out = copy(scored, tmp_path)
    with held(out, wait=True, note=print), Claims(out / "store", "").registered():
        for command in (
            ("run", data, *SETTINGS, "--server", server, "--out", out),
            ("score", data, "--draws", 2, "--server", server, "--store", out / "store"),
        ):
            assert "is being scored by process" in selector(*command, "--no-wait", code=1).stderr
        for command in (
            ("select", "--store", out / "store", "--ipc", 3, "--out", out),
            ("report", "--store", out / "store", "--ipc", 3, "--out", out),
        ):
            assert "is in use by process" in selector(*command, "--no-wait", code=1).stderr


def test_files_of_the_user_stay_when_a_selection_is_made_again(scored: Path, tmp_path: Path) -> None:
    out = copy(scored, tmp_path)
    (out / "ipc-3" / "notes.txt").write_text("keep")
    (out / "ipc-3" / "images" / "bag" / "mine.png").write_text("keep")
    (out / "store" / "orders" / "order-notes.txt").write_text("keep")
    selector("select", "--store", out / "store", "--ipc", 3, "--order", "random", "--out", out)
    assert (out / "ipc-3" / "notes.txt").read_text() == "keep"
    assert (out / "store" / "orders" / "order-notes.txt").read_text() == "keep"
    assert images(out) == stated(out) | {"bag/mine.png"}


@pytest.mark.parametrize("foreign", ["ipc-3/notes.txt", "store/photo.png", "store/images/photo.png"])
def test_a_foreign_folder_is_refused_before_a_row_is_spent(data: Path, tmp_path: Path, foreign: str) -> None:
    path = tmp_path / "out" / foreign
    path.parent.mkdir(parents=True)
    path.write_text("keep")
    refused = selector("run", data, *SETTINGS, "--out", tmp_path / "out", code=2)
    assert str(tmp_path / "out" / foreign.split("/")[0]) in refused.stderr
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == [path]


def test_two_data_sets_of_one_name_do_not_share_the_default_folder(server: str, tmp_path: Path) -> None:
    first = some_scenes(tmp_path / "a" / "train", PAIR)
    second = some_scenes(tmp_path / "b" / "train", PAIR, 7)
    selector("run", first, *SETTINGS, "--server", server, cwd=tmp_path)
    refused = selector("run", second, *SETTINGS, "--server", server, cwd=tmp_path, code=2)
    assert f"holds scores of {first}, not of {second}" in refused.stderr
    moved = selector("run", second, *SETTINGS, "--server", server, "--out", "runs/train", cwd=tmp_path)
    assert f"was made from {first}: a file of {second} counts as scored where its path is the same" in moved.stderr
    assert manifest(tmp_path / "runs" / "train", 3)["unet_rows"] == 2 * 4


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (("--draws", 4), "'draws' is 2 there and 4 here"),
        (("--fit", "pad"), '\'fit\' is "crop" there and "pad" here'),
        (("--class-names", "swapped.txt"), "the folder 'bag' as 'bag', now it is 't-shirt'"),
    ],
)
@pytest.mark.parametrize("served", [False, True])
def test_a_finished_store_is_compared_with_what_is_asked(
    scored: Path, data: Path, server: str, tmp_path: Path, served: bool, asked: tuple[object, ...], named: str
) -> None:
    out = copy(scored, tmp_path)
    (tmp_path / "swapped.txt").write_text("bag\tt-shirt\nt-shirt\tbag\n")
    more = ("--server", server) if served else ()
    settings = () if "--draws" in asked else ("--draws", 2)
    for command in (("run", data, "--ipc", 3, "--out", out), ("score", data, "--store", out / "store")):
        refused = selector(*command, *settings, *asked, *more, code=5, cwd=tmp_path)
        assert named in refused.stderr


def test_what_the_manifest_says_of_scoring_is_the_stores(scored: Path, data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    out = copy(scored, tmp_path)
    selector("select", "--store", out / "store", "--data", moved, "--ipc", 2, "--out", out)
    assert manifest(out, 2)["fingerprint"]["draws"] == 2
    assert manifest(out, 2)["configuration"]["score"]["data"] == str(data)


def test_a_class_whose_folder_is_gone_demands_nothing(scored: Path, data: Path, server: str, tmp_path: Path) -> None:
    out, fewer = copy(scored, tmp_path), tmp_path / "data"
    shutil.copytree(data / "bag", fewer / "bag")
    selector("run", fewer, *SETTINGS, "--server", server, "--out", out)
    assert {pick["class_name"] for pick in picks(out, 3)} == {"bag"}
    assert manifest(out, 3)["counts"]["gone"] == 6
    selector("select", "--store", out / "store", "--ipc", 4, "--out", out)
    assert {pick["class_name"] for pick in picks(out, 4)} == {"bag"}
