"""Two halves that were scored apart are joined, and are what one process makes of the whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from selector.store.store import Store
from tests.e2e.command import selector
from tests.e2e.scenes import some_scenes
from tests.e2e.test_parts import PAIR, score, spent
from tests.e2e.test_survival import contents, same

pytestmark = pytest.mark.server


def selection(store: Path, data: Path, out: Path) -> bytes:
    selector("select", "--store", store, "--data", data, "--ipc", 3, "--out", out)
    return (out / "ipc-3" / "selection.parquet").read_bytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_scenes(tmp_path_factory.mktemp("scenes") / "data", PAIR, 8)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path, server: str) -> Path:
    """The store of one process."""
    store = tmp_path_factory.mktemp("whole") / "store"
    selector(*score(data, store, server))
    return store


@pytest.mark.parametrize("split", ["by parts", "by folders"])
def test_two_halves_are_the_whole(split: str, data: Path, whole: Path, server: str, tmp_path: Path) -> None:
    halves = [tmp_path / name / "store" for name in ("1", "2")]
    for number, store in enumerate(halves):
        if split == "by parts":
            selector(*score(data, store, server, "--part", f"{number + 1}/2", "--no-steal"))
        else:  # whose shards have the same numbers
            part = tmp_path / f"data {number}"
            shutil.copytree(data / PAIR[number], part / PAIR[number])
            selector(*score(part, store, server))
    merged = tmp_path / "both" / "store"
    done = json.loads(selector("merge", *halves, "--into", merged, "--json").stdout)
    assert (done["images"], done["patches"], done["equal"], done["kept_first"]) == (16, 16, 0, 0)
    if split == "by parts":
        assert done["linked"] == 16
    else:
        assert done["rewritten"] == 8
    assert selection(merged, data, tmp_path / "of the halves") == selection(whole, data, tmp_path / "of the whole")
    before, both = contents(whole), contents(merged)
    if split == "by folders":  # a copy of a file has another time
        for row in (*before[0], *both[0]):
            row["mtime_ns"] = 0
    assert same(before, both)
    assert (tmp_path / "both" / "outcomes.csv").read_bytes() == (whole.parent / "outcomes.csv").read_bytes()
    selector(*score(data, merged, server))
    assert spent(merged) == spent(whole), "nothing is left to score"
    again = selector("merge", halves[0], "--into", merged).stdout
    assert "0 images and 0 patches taken from 1 stores" in again
    assert "16 rows were equal in several" in again


def test_a_half_of_another_configuration_is_refused(data: Path, whole: Path, server: str, tmp_path: Path) -> None:
    other = tmp_path / "store"
    selector(*score(data, other, server, "--part", "1/8", "--no-steal", "--fit", "pad"))
    refused = selector("merge", whole, other, "--into", tmp_path / "both" / "store", code=5)
    assert '\'fit\' is "pad" there and "crop" here' in refused.stderr
    assert not (tmp_path / "both").exists()
    assert Store.exists(other)
