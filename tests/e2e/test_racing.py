"""Racing through the real server: rows are saved, and kills, shards and the order of arrival change nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from selector.store.store import Store
from tests.e2e.command import manifest, picks, selector, start
from tests.e2e.test_survival import DEADLINE_S, commits, contents, same, wait_for

pytestmark = pytest.mark.server

PER_CLASS, ROWS = 12, 16
SETTINGS = ("--ipc", 3, "--limit-per-class", PER_CLASS, "--rows-per-image", ROWS)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raced") / "out"
    selector("run", *SETTINGS, "--shard-size", 16, "--out", out)
    return out


def test_the_manifest_states_the_rows_beside_those_of_the_full_grid(raced: Path) -> None:
    stated = manifest(raced, 3)
    images = stated["counts"]["scored"]
    assert stated["unet_rows"] == stated["unet_rows_in_store"] == ROWS * images
    assert stated["unet_rows_full_grid"] == 24 * images
    draws = Store.open(raced / "store").read_patches().draws
    assert np.unique(draws, return_counts=True)[1].tolist() == [images // 3] * 3


def test_features_are_those_of_the_final_windows(raced: Path) -> None:
    store = Store.open(raced / "store")
    patches = store.read_patches()
    stored = {image.source: image for shard in store.image_shards() for image in store.scored_images(shard)}
    for i, source in enumerate(patches.source):
        assert (patches.top[i], patches.left[i]) == (stored[source].boxes[0].top, stored[source].boxes[0].left)
        assert patches.draws[i] == stored[source].draws
        assert patches.typicality[i] == pytest.approx(stored[source].typicality[0])


def test_a_smaller_selection_is_a_prefix_and_spends_nothing(raced: Path) -> None:
    selector("run", *SETTINGS[2:], "--ipc", 2, "--out", raced)
    assert manifest(raced, 2)["unet_rows"] == 0
    assert picks(raced, 2) == [pick for pick in picks(raced, 3) if pick["rank"] < 2]


def test_another_budget_is_another_store(raced: Path) -> None:
    refused = selector("run", *SETTINGS[:-2], "--out", raced, code=5)
    assert "'race'" in refused.stderr


def kill_and_go_on(out: Path, moment: int) -> None:
    with start("run", *SETTINGS, "--shard-size", 16, "--out", out) as process:
        wait_for(lambda: commits(out) >= moment, f"{moment} commits")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=DEADLINE_S)
        assert not alive
    selector("run", *SETTINGS, "--shard-size", 16, "--out", out)


def test_a_kill_within_a_later_round_changes_nothing(raced: Path, tmp_path: Path) -> None:
    kill_and_go_on(tmp_path, 11)  # of 8 + 8 + 8 commits: the second round is under way
    assert same(contents(tmp_path / "store"), contents(raced / "store"))
    assert picks(tmp_path, 3) == picks(raced, 3)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [1, 5, 8, 9, 16, 17, 23])
def test_a_kill_at_any_moment_changes_nothing(raced: Path, tmp_path: Path, moment: int) -> None:
    kill_and_go_on(tmp_path, moment)
    assert same(contents(tmp_path / "store"), contents(raced / "store"))
    assert picks(tmp_path, 3) == picks(raced, 3)


def test_other_shards_and_workers_give_the_same_bytes(raced: Path, tmp_path: Path) -> None:
    selector("run", *SETTINGS, "--out", tmp_path, "--workers", 2, "--shard-size", 37)
    name = Path("ipc-3") / "selection.parquet"
    assert (tmp_path / name).read_bytes() == (raced / name).read_bytes()
