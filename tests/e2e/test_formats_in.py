"""The same images in every form give the same image ids, typicalities and picks, bit for bit, through the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow.parquet as pq
import pytest

from client.embedded.server import EmbeddedServer
from selector.config import ScoreConfig, SelectConfig
from selector.images.locations import Data, Location
from selector.progress import Progress
from selector.run import run
from tests.e2e.command import manifest, picks, selector
from tests.forms import as_folder, as_shards, as_tar, in_every_form, pictures
from tests.integration.certificates import PROBLEM, make_certificates
from tests.range_server import serving

pytestmark = pytest.mark.server

IPC = 5


@pytest.fixture(scope="module")
def tiny(tiny_repository: Path) -> Iterator[str]:
    """The address of a server of the tiny repository, whose classes are those of tests.forms."""
    with EmbeddedServer(tiny_repository, threads=1) as started:
        yield started.grpc_url


def outcome(out: Path) -> tuple[Any, ...]:
    """Everything that must not depend on the form: all scores, and the picks with their pixels."""
    shards = [pq.read_table(path) for path in sorted((out / "store" / "images").glob("0*.parquet"))]
    where = {"source", "size", "mtime_ns"}
    rows = [{name: value for name, value in row.items() if name not in where} for s in shards for row in s.to_pylist()]
    chosen = [
        {name: value for name, value in row.items() if name not in ("source", "class_folder")}
        for row in picks(out, IPC)
    ]
    pixels = {path.name: path.read_bytes() for path in (out / f"ipc-{IPC}" / "images").rglob("*.png")}
    return sorted(rows, key=lambda row: row["image_id"]), chosen, pixels


def ran(data: Data, out: Path, server: str) -> tuple[Any, ...]:
    scoring = ScoreConfig(data, out / "store", Path(), servers=(server,), workers=1, shard_size=64)
    counts = run(scoring, SelectConfig(IPC, out), Progress(quiet=True))["counts"]
    assert counts["failed"] == counts["passed_over"] == counts["unread"] == 0
    return outcome(out)


def compare(count: int, folder: Path, datasets: ModuleType, server: str) -> None:
    forms: dict[str, Data] = {**in_every_form(folder / "forms", pictures(count, side=20), datasets)}
    with serving(folder / "forms") as web:
        forms["tar over http"] = Location(f"{web.url}/data.tar")
        forms["zip over http"] = Location(f"{web.url}/data.zip")
        forms["shards over http"] = Location(f"{web.url}/json/*.tar")
        forms["parquet over http"] = Location(f"{web.url}/hub/*.parquet")
        expected = ran(forms.pop("folder"), folder / "out" / "folder", server)
        assert len(expected[0]) == count
        assert len(expected[2]) == 3 * IPC
        for name, data in forms.items():
            assert ran(data, folder / "out" / name, server) == expected, name


def test_every_form_gives_the_same_scores_and_picks(datasets: ModuleType, tmp_path: Path, tiny: str) -> None:
    compare(30, tmp_path, datasets, tiny)


@pytest.mark.slow
def test_every_form_gives_the_same_scores_and_picks_of_300_images(
    datasets: ModuleType, tmp_path: Path, tiny: str
) -> None:
    compare(300, tmp_path, datasets, tiny)


@pytest.mark.skipif(bool(PROBLEM), reason=str(PROBLEM))
def test_https_gives_the_same_and_its_certificate_is_checked(
    tmp_path: Path, tiny: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_certificates(tmp_path)
    files = pictures(15, side=20)
    (tmp_path / "web").mkdir()
    as_tar(tmp_path / "web" / "data.tar", files)
    expected = ran(as_folder(tmp_path / "folder", files), tmp_path / "expected", tiny)
    options = ("--ipc", IPC, "--server", tiny, "--workers", 1, "--shard-size", 64)
    with serving(tmp_path / "web", certificate=(made.server, made.server_key)) as web:
        refused = selector("run", f"{web.url}/data.tar", *options, "--out", tmp_path / "refused", code=2)
        assert "data.tar can't be listed" in refused.stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
        selector("run", f"{web.url}/data.tar", *options, "--out", tmp_path / "out")
    assert outcome(tmp_path / "out") == expected


def test_a_later_selection_lists_as_the_store_was_scored_without_the_flags(tmp_path: Path, tiny: str) -> None:
    files = pictures(15, side=20)
    shards = as_shards(tmp_path / "shards", files, "json")
    (tmp_path / "other").mkdir()
    out = tmp_path / "out"
    data = f"{shards}/train-{{00000..00002}}.tar"
    flags = ("--label-key", "label", "--server", tiny, "--out", out, "--on-short", "all")
    told = selector("run", data, "--ipc", IPC, *flags).stderr
    assert "passed over" not in told
    selector("select", "--store", out / "store", "--ipc", 2, "--out", out, "--on-short", "all")
    assert manifest(out, 2)["configuration"]["score"]["labels"] == {"label_key": "label"}
    assert manifest(out, 2)["configuration"]["score"]["data"] == data
    assert {row["source"].partition("#")[0] for row in picks(out, 2)} <= {f"train-0000{n}.tar" for n in range(3)}
    selector("report", "--store", out / "store", "--ipc", 2, "--out", out)


def test_positions_are_said_and_the_output_is_named_after_the_pattern(tmp_path: Path, tiny: str) -> None:
    as_shards(tmp_path / "positions", pictures(9, side=20), "cls")
    told = selector("run", "positions/train-*.tar", "--ipc", 2, "--server", tiny, cwd=tmp_path).stderr
    assert "labels are numbers, taken as positions in the repository's classes: 0 is bee, 1 is cup, 2 is kite" in told
    assert (tmp_path / "runs" / "train" / "ipc-2" / "manifest.json").is_file()
    as_folder(tmp_path / "more", pictures(9, side=20))
    before = sorted(path for path in tmp_path.rglob("*") if "runs" not in path.parts)
    selector("run", "positions/train-*.tar", "--ipc", 1, "--server", tiny, cwd=tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if "runs" not in path.parts) == before


def test_secrets_of_a_url_stand_in_no_file_of_the_output(tmp_path: Path, tiny: str) -> None:
    as_shards(tmp_path / "web" / "json", pictures(9, side=20), "json")
    with serving(tmp_path / "web", key="hush") as web:
        data = f"{web.url}/json/train-{{00000..00001}}.tar?key=hush"
        done = selector("run", data, "--ipc", 2, "--server", tiny, "--out", tmp_path / "out")
        assert "hush" not in done.stdout + done.stderr
        for path in (tmp_path / "out").rglob("*"):
            assert not path.is_file() or b"hush" not in path.read_bytes(), path
        store = ("--store", tmp_path / "out" / "store", "--ipc", 1, "--out", tmp_path / "out")
        assert "not permitted" in selector("select", *store, code=2).stderr
        selector("select", *store, "--data", data)
