"""Scoring on a real Ray cluster, of two nodes on this machine (`make test-ray`)."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.selection.scale_data import Size, write_shards, write_store
from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from selector.store.store import Store
from tests.e2e.command import environment, picks, selector, start
from tests.e2e.scenes import some_scenes
from tests.e2e.test_survival import contents, same, wait_for

ray = pytest.importorskip("ray", reason="Ray has an environment of its own: make test-ray")
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

IMAGES = 100
SETTINGS = ("--draws", 2, "--shard-size", 4, "--workers", 1)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with EmbeddedServer(builtin_repository(), threads=1) as started:
        yield started.grpc_url


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return some_scenes(tmp_path_factory.mktemp("scenes") / "data", ("bag", "t-shirt"), IMAGES)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path, server: str) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    selector("run", data, "--ipc", 5, *SETTINGS, "--server", server, "--out", out)
    return out


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes; processes on them find the code."""
    from ray.cluster_utils import Cluster

    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def commits(store: Path) -> int:
    return len(list((store / "images").glob("*.parquet")))


def test_a_lost_node_and_a_killed_driver_cost_no_image(
    cluster: Any, data: Path, undisturbed: Path, server: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    store = out / "store"
    command = ("run", data, "--ipc", 5, *SETTINGS, "--server", server, "--out", out, "--ray", cluster.address)
    with start(*command) as driver:
        wait_for(lambda: commits(store) >= 5, "commits")
        cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
        seen = commits(store)
        wait_for(lambda: commits(store) >= seen + 5, "commits by the node that is left")
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert commits(store) < 2 * IMAGES // 4, "the driver was killed too late"
    selector(*command)
    assert same(contents(store), contents(undisturbed / "store"))
    assert picks(out, 5) == picks(undisturbed, 5)


def test_a_cluster_of_its_own_is_as_good(data: Path, undisturbed: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = selector(
        "score", data, *SETTINGS, "--store", store, "--server", server, "--ray", "local", "--ray-workers", 2
    )
    assert "2 processes on 1 nodes of a Ray cluster" in done.stderr
    assert same(contents(store), contents(undisturbed / "store"))
    assert len(Store.open(store).read_history()) == 2


def test_an_error_of_a_process_is_the_commands(data: Path, server: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    selector("score", data, *SETTINGS, "--limit-per-class", 2, "--store", store, "--server", server)
    told = selector(
        "score", data, *SETTINGS, "--fit", "pad", "--store", store, "--server", server, "--ray", "local", code=5
    )
    assert "'fit' is" in told.stderr


def test_a_cluster_that_is_not_there_is_named(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    for command in (
        ("score", data, "--store", tmp_path / "store"),
        ("select", "--store", undisturbed / "store", "--ipc", 1, "--out", tmp_path / "out"),
    ):
        refused = selector(*command, "--ray", "127.0.0.1:1", code=1)
        assert "--ray 127.0.0.1:1: no cluster answers" in refused.stderr


def test_processes_without_a_server_start_one_of_their_own(
    cluster: Any, data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """One a node, and each process of Ray is given one CPU."""
    store = tmp_path / "store"
    done = selector("score", data, *SETTINGS, "--store", store, "--ray", cluster.address, timeout_s=600)
    assert "2 processes on 2 nodes of a Ray cluster" in done.stderr
    assert same(contents(store), contents(undisturbed / "store"))
    assert len(list(store.glob("server.log*"))) == 2


def test_classes_that_a_cluster_orders_are_picked_as_those_ordered_here(cluster: Any, tmp_path: Path) -> None:
    size = Size(classes=12, images=12 * 1_200, width=32)
    write_shards(tmp_path / "data", size)
    write_store(tmp_path / "store", tmp_path / "data", size)
    shutil.copytree(tmp_path / "store", tmp_path / "other")
    command = ("select", "--ipc", 5, "--order", "clusters")
    selector(*command, "--store", tmp_path / "store", "--out", tmp_path / "here")
    selector(*command, "--store", "other", "--out", "there", "--ray", cluster.address, cwd=tmp_path)
    assert picks(tmp_path / "there", 5) == picks(tmp_path / "here", 5)
    orders = [sorted(path.name for path in (tmp_path / name / "orders").glob("order-*")) for name in ("store", "other")]
    assert orders[0] == orders[1]
    assert len(orders[0]) == 12
