"""The main command on images without labels: a flat folder, a tar of it, folders in it that say nothing."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from client.embedded.server import EmbeddedServer
from selector.store.store import Store
from tests.e2e.command import manifest, picks, selector, start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_survival import contents, same, wait_for
from tests.selector.store_reader import read_images
from tests.toy_repository import toy_latent, write_toy_repository

pytestmark = pytest.mark.server

FLAT = ("--unlabelled", "--assign-draws", 4)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_repository(tmp_path_factory.mktemp("toy") / "repository")


@pytest.fixture(scope="module")
def toy_server(toy: Path) -> Iterator[str]:
    with EmbeddedServer(toy, threads=1) as started:
        yield started.grpc_url


def shade(level: int) -> np.ndarray:
    """An image that is no other one's equal: its first pixel says its level."""
    image = np.full((16, 16, 3), level, np.uint8)
    image[0, 0] = level + 1
    return image


def fill(root: Path) -> Path:
    """Images of eight shades at the top and below, one in a folder with the name of a class, and what is none."""
    for number, name in enumerate(
        ("a.png", "b.png", "star/c.png", "star/deep/d.png", "e.png", "f.png", "x y/g.png", "h")
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(shade(20 + 25 * number)).save(path, "PNG")
    (root / ".hidden.png").write_bytes((root / "a.png").read_bytes())
    (root / "a.json").write_text("{}")
    return root


def rows(store: Path) -> dict[str, dict[str, Any]]:
    table, _ = read_images(Store.open(store))
    return {row["source"]: row for row in table.to_pylist()}


def toy_margin(root: Path, source: str) -> tuple[float, float]:
    """Class c of a latent of mean m has the loss m × (c + 1) × factor, by draws of the factors 1 to 4."""
    mean = toy_latent(np.asarray(Image.open(root / source))).mean()
    factors = np.arange(1, 5) * float(mean)
    return factors.mean(), factors.std(ddof=1) / 2


def test_every_image_of_a_flat_folder_gets_the_class_of_the_least_loss(toy_server: str, tmp_path: Path) -> None:
    data, store = fill(tmp_path / "data"), tmp_path / "data" / "scores"
    arguments = ("score", data, "--server", toy_server, "--store", store, *FLAT)
    assert "nearest to no image: square, star" in selector(*arguments).stderr
    found = rows(store)
    assert sorted(found) == ["a.png", "b.png", "e.png", "f.png", "h", "star/c.png", "star/deep/d.png", "x y/g.png"]
    for source, row in found.items():
        assert (row["class_id"], row["status"]) == (0, "ok"), "a folder with the name of a class is no label"
        margin = row["assigned_margin"], row["assigned_standard_error"]
        assert margin == pytest.approx(toy_margin(data, source), rel=1e-4)
        assert row["assigned_unet_rows"] == 4 * 4, "three classes, a row for each two of them"
    done = json.loads(selector(*arguments, "--json").stdout)
    assert (done["unet_rows"], done["unet_rows_in_store"]) == (0, 8 * (4 * 4 + 2 * 4))
    assert (done["counts"]["scored"], done["counts"]["skipped"], done["counts"]["passed_over"]) == (8, 4, 0)


def test_a_run_within_flat_data_is_selected_from_like_any_other(scenes: Path, server: str, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "data" / "runs"
    shutil.copytree(scenes, data)
    (data / "deeper").mkdir()
    (data / "b00000.png").rename(data / "deeper" / "b.png")
    few = ("--assign-draws", 1, "--assign-most", 2, "--draws", 2, "--on-short", "all")
    arguments = ("run", data, "--ipc", 2, "--server", server, "--unlabelled", *few, "--out", out)
    selector(*arguments)
    stated = manifest(out, 2)
    assert (stated["counts"]["scored"], stated["counts"]["passed_over"]) == (30, 0)
    made = picks(out, 2)
    assigned = Counter(row["class_id"] for row in rows(out / "store").values())
    assert Counter(pick["class_id"] for pick in made) == {class_id: min(2, n) for class_id, n in assigned.items()}
    assert set(stated["selection"]["classes"]) == {pick["class_name"] for pick in made}
    cost = sum(row["assigned_unet_rows"] + 4 for row in rows(out / "store").values())
    assert stated["unet_rows"] == stated["unet_rows_in_store"] == cost
    again = selector(*arguments)
    assert "our own output in the data is no image: runs/ipc-2 (a selection)" in again.stderr
    assert (manifest(out, 2)["unet_rows"], manifest(out, 2)["counts"]["seen"]) == (0, 30)
    select = ("select", "--store", out / "store", "--on-short", "all", "--out", tmp_path / "fewer")
    selector(*select, "--ipc", 1)
    assert picks(tmp_path / "fewer", 1) == [pick for pick in made if pick["rank"] < 1]
    selector("report", "--store", out / "store", "--ipc", 1, "--out", tmp_path / "fewer")
    assert "chosen by the model, 1 to 2 draws" in (tmp_path / "fewer" / "ipc-1" / "report.html").read_text()


def test_a_tar_of_it_gives_the_same(toy_server: str, tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(data, ".")
    found = []
    for root, name in ((data, "folder"), (tmp_path / "data.tar", "tar")):
        selector("score", root, "--server", toy_server, "--store", tmp_path / name / "store", *FLAT)
        found.append([row | {"mtime_ns": 0} for row in rows(tmp_path / name / "store").values()])
    assert len(found[0]) == 8
    assert found[0] == found[1]


def test_a_small_margin_filters_and_another_one_costs_no_assignment(toy_server: str, tmp_path: Path) -> None:
    data = fill(tmp_path / "data")
    margins = {source: toy_margin(data, source)[0] for source in ("a.png", "b.png", "star/c.png")}
    least = (margins["b.png"] + margins["star/c.png"]) / 2
    score = ("score", data, "--server", toy_server, "--store", tmp_path / "store", *FLAT)
    said = selector(*score, "--min-margin", least)
    assert "2 filtered by --min-margin" in said.stderr
    with (tmp_path / "outcomes.csv").open(encoding="utf-8", newline="") as file:
        reasons = {row["source"]: row["reason"] for row in csv.DictReader(file) if row["status"] == "filtered"}
    assert set(reasons) == {"a.png", "b.png"}
    assert reasons["a.png"].startswith("no class is clearly nearest: margin 0.2")
    assert reasons["a.png"].endswith(f"below --min-margin {least:g}")

    def spent(*flags: object) -> int:
        selector(*score, *flags)
        return int(Store.open(tmp_path / "store").read_history()[-1]["unet_rows"])

    runs = len(Store.open(tmp_path / "store").read_history())
    assert spent("--min-margin", least, "--retry-failed") == 0, "the same margin is judged the same"
    assert spent() == 2 * 2 * 4, "two images more, by stage I alone"
    assert {row["status"] for row in rows(tmp_path / "store").values()} == {"ok"}
    assert spent("--min-margin", 100) == 0
    assert len(Store.open(tmp_path / "store").read_history()) > runs
    refused = selector("select", "--store", tmp_path / "store", "--ipc", 1, "--out", tmp_path / "out", code=1)
    assert "has no image of a clear class: score again with a smaller --min-margin" in refused.stderr


def test_a_labelled_store_and_an_unlabelled_one_are_not_mixed(toy_server: str, toy: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("circle", "star"):
        (data / name).mkdir(parents=True)
        Image.fromarray(shade(len(name) * 20)).save(data / name / "1.png")
    running, embedded = ("--server", toy_server), ("--repository", toy)
    for first, then, place, remedy in (
        ((), FLAT, running, "leave --unlabelled out"),
        (FLAT, (), embedded, "add --unlabelled"),
    ):
        store = tmp_path / f"store{len(first)}"
        selector("score", data, *running, "--store", store, *first)
        before = contents(store)
        refused = selector("score", data, *place, "--store", store, *then, code=5)
        assert remedy in refused.stderr
        (_,) = [
            line for line in refused.stderr.splitlines() if "has no golden rows" not in line
        ]  # as the toy's have none
        assert same(contents(store), before)
    refused = selector("evaluate", "--store", store, "--test", data, "--out", tmp_path / "e", code=1)
    assert "was scored without labels, and an evaluation needs true ones" in refused.stderr


def test_data_without_an_image_and_flat_data_with_labels_asked_for_say_what_to_do(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused = selector("run", tmp_path / "empty", "--unlabelled", "--ipc", 1, "--repository", toy, code=2, cwd=tmp_path)
    assert "empty holds no images" in refused.stderr
    (tmp_path / "flat").mkdir()
    Image.fromarray(shade(9)).save(tmp_path / "flat" / "1.png")
    refused = selector("run", tmp_path / "flat", "--ipc", 1, "--repository", toy, code=2, cwd=tmp_path)
    assert "selector run --unlabelled chooses classes for them" in refused.stderr


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten scenes of each of three classes, in one folder."""
    root = tmp_path_factory.mktemp("scenes")
    flat = root / "flat"
    flat.mkdir()
    for path in sorted(some_scenes(root / "classes", ("trouser", "sneaker", "bag"), 10).rglob("*.png")):
        shutil.copy(path, flat / f"{path.parent.name[0]}{path.name}")
    return flat


def test_a_killed_run_goes_on_and_the_built_in_model_knows_most_classes(scenes: Path, tmp_path: Path) -> None:
    settings = (
        "score",
        scenes,
        "--unlabelled",
        "--assign-draws",
        2,
        "--assign-most",
        8,
        "--draws",
        2,
        "--shard-size",
        6,
    )
    selector(*settings, "--store", tmp_path / "whole")
    store = tmp_path / "killed"
    with start(*settings, "--store", store) as process:
        wait_for(lambda: len(list((store / "images").glob("*.parquet"))) >= 2, "two commits")
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = {path.name: path.read_bytes() for path in (store / "images").glob("*.parquet")}
    assert len(done) < 5
    selector(*settings, "--store", store)
    assert {name: (store / "images" / name).read_bytes() for name in done} == done
    assert same(contents(store), contents(tmp_path / "whole"))
    names = Store.open(store).read_fingerprint()["classes"]
    right = Counter(source[0] == names[row["class_id"]][0] for source, row in rows(store).items())
    assert right[True] >= 21, "of 30; by chance 3, or 6 where two classes begin alike"
