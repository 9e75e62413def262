"""The main job on a few built-in scenes, through the real Triton server."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from client.repository import read_identity
from selector.builtin import builtin_repository, builtin_scenes
from tests.e2e.command import manifest, picks, selector
from tests.e2e.conftest import PER_CLASS

pytestmark = pytest.mark.server

BUILT_IN = read_identity(builtin_repository())
CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def test_every_class_gets_exactly_ipc_distinct_images(demo: Path) -> None:
    folders = {folder.name: sorted(folder.glob("*.png")) for folder in (demo / "ipc-3" / "images").iterdir()}
    assert set(folders) == set(CLASSES)
    for files in folders.values():
        assert [int(file.name[:4]) for file in files] == [0, 1, 2]
        assert len({file.read_bytes() for file in files}) == 3


def test_the_manifest_adds_up_and_names_the_server_that_scored(demo: Path) -> None:
    stated = manifest(demo, 3)
    counts = stated["counts"]
    assert counts["seen"] == PER_CLASS * len(CLASSES) == counts["scored"] + counts["filtered"] + counts["failed"]
    assert counts["picked"] == 3 * len(CLASSES)
    assert stated["versions"]["triton server"].startswith("2.")
    assert stated["unet_rows"] == stated["unet_rows_in_store"] == counts["scored"] * 2 * BUILT_IN.auto_draws


def test_the_report_is_one_small_offline_file(demo: Path) -> None:
    page = (demo / "ipc-3" / "report.html").read_text()
    assert len(page) < 20_000_000
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_a_smaller_budget_spends_nothing_and_is_a_prefix(demo: Path) -> None:
    selector("run", "--ipc", 2, "--limit-per-class", PER_CLASS, "--out", demo)
    assert manifest(demo, 2)["unet_rows"] == 0
    assert picks(demo, 2) == [pick for pick in picks(demo, 3) if pick["rank"] < 2]


def test_a_budget_beyond_the_data_is_refused_with_class_and_count(demo: Path) -> None:
    refused = selector("run", "--ipc", PER_CLASS + 1, "--limit-per-class", PER_CLASS, "--out", demo, code=2)
    assert f"sandal ({PER_CLASS})" in refused.stderr
    assert not (demo / f"ipc-{PER_CLASS + 1}").exists()
    selector("run", "--ipc", PER_CLASS + 1, "--limit-per-class", PER_CLASS, "--out", demo, "--on-short", "all")
    assert len(picks(demo, PER_CLASS + 1)) == PER_CLASS * len(CLASSES)


def test_images_that_run_short_give_further_patches_offline(demo: Path, tmp_path: Path) -> None:
    selector("select", "--store", demo / "store", "--ipc", PER_CLASS + 3, "--out", tmp_path, "--on-short", "patches")
    made = picks(tmp_path, PER_CLASS + 3)
    assert len(made) == (PER_CLASS + 3) * len(CLASSES)
    for name in CLASSES:
        own = [pick for pick in made if pick["class_name"] == name]
        assert len({pick["image_id"] for pick in own[:PER_CLASS]}) == PER_CLASS
        assert len({(pick["image_id"], pick["top"], pick["left"]) for pick in own}) == PER_CLASS + 3
    assert [pick for pick in made if pick["rank"] < 3] == picks(demo, 3)
    assert len(list((tmp_path / f"ipc-{PER_CLASS + 3}" / "images").rglob("*.png"))) == len(made)


def test_select_works_offline_from_the_store(demo: Path, tmp_path: Path) -> None:
    selector("select", "--store", demo / "store", "--ipc", 3, "--out", tmp_path)
    assert picks(tmp_path, 3) == picks(demo, 3)


def test_a_report_written_again_is_of_the_picks_that_lie_there_whatever_the_default_order(
    demo: Path, tmp_path: Path
) -> None:
    store, folder = demo / "store", tmp_path / "ipc-2"
    selector("select", "--store", store, "--ipc", 2, "--order", "typicality", "--out", tmp_path)
    page = (folder / "report.html").read_text()
    selector("report", "--store", store, "--ipc", 2, "--out", tmp_path)
    shown = re.findall('data-source="([^"]*)"', (folder / "report.html").read_text())
    assert shown == re.findall('data-source="([^"]*)"', page)
    assert sorted(shown) == sorted(pick["source"] for pick in picks(tmp_path, 2))
    refused = selector("report", "--store", store, "--ipc", 2, "--out", tmp_path, "--order", "herding", code=2)
    assert "--order typicality, not herding" in refused.stderr


def test_a_fresh_run_on_another_listing_with_other_workers_and_shards_gives_the_same_bytes(
    demo: Path, tmp_path: Path
) -> None:
    backwards = tmp_path / "backwards.tar"
    with tarfile.open(builtin_scenes()) as scenes, tarfile.open(backwards, "w") as copy:
        for member in reversed(scenes.getmembers()):
            if member.isfile() and "/" in member.name and int(Path(member.name).stem) < PER_CLASS:
                copy.addfile(member, scenes.extractfile(member))
    selector("run", backwards, "--ipc", 3, "--out", tmp_path, "--workers", 2, "--shard-size", 19)
    name = Path("ipc-3") / "selection.parquet"
    assert (tmp_path / name).read_bytes() == (demo / name).read_bytes()


def test_another_configuration_of_a_store_is_refused_by_field(demo: Path) -> None:
    others = ("--draws", BUILT_IN.auto_draws + 1)
    refused = selector("run", "--ipc", 2, "--limit-per-class", PER_CLASS, "--out", demo, *others, code=5)
    assert "draws" in refused.stderr


def test_an_unknown_class_folder_lists_both_sides(tmp_path: Path) -> None:
    (tmp_path / "data" / "zebra").mkdir(parents=True)
    (tmp_path / "data" / "zebra" / "a.png").write_bytes(b"no image")
    refused = selector("run", tmp_path / "data", "--ipc", 1, "--out", tmp_path / "out", code=4)
    assert "zebra" in refused.stderr
    assert "ankle-boot" in refused.stderr


def test_the_builtin_repository_is_the_default() -> None:
    assert (builtin_repository() / "noise_loss" / "config.pbtxt").is_file()
