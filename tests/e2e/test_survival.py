"""kill -9 during scoring, of the selector and of the server: nothing is lost, nothing is wrong, nothing is left over."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from selector.store.store import Store
from tests.e2e.command import manifest, picks, selector, start, triton_processes
from tests.selector.store_reader import read_images

pytestmark = pytest.mark.server

SETTINGS = ("--ipc", 3, "--limit-per-class", 12, "--shard-size", 8)
DEADLINE_S = 60.0


def contents(store: Path) -> tuple[list[dict[str, Any]], np.ndarray, list[Any]]:
    """Everything a store holds, in an order that does not depend on its shards."""
    opened = Store.open(store)
    opened.verify()
    images, maps = read_images(opened)
    rows = images.drop_columns(["shard"]).to_pylist()
    order = sorted(range(len(rows)), key=lambda i: rows[i]["source"])
    patches = opened.read_patches()
    columns = [np.asarray(column).tolist() for column in vars(patches).values()]
    return [rows[i] for i in order], np.stack([maps[i] for i in order]), columns


def wait_for(condition: Callable[[], object], what: str) -> Any:
    """Polls until the condition holds something."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if found := condition():
            return found
        os.sched_yield()
    raise AssertionError(f"waited {DEADLINE_S} s for {what}")


def commits(out: Path) -> int:
    return len(list((out / "store" / "images").glob("*.parquet")))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    selector("run", *SETTINGS, "--out", out)
    return out


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_killed_selector_goes_on_where_it_was_and_leaves_no_process(
    undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    moment = int(np.random.default_rng(seed).integers(1, 12))
    with start("run", *SETTINGS, "--out", tmp_path) as process:
        wait_for(lambda: commits(tmp_path) >= moment, f"{moment} commits")
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=DEADLINE_S)
        assert not alive
    selector("run", *SETTINGS, "--out", tmp_path)
    assert same(contents(tmp_path / "store"), contents(undisturbed / "store"))
    assert picks(tmp_path, 3) == picks(undisturbed, 3)


def test_a_server_killed_three_times_is_replaced_and_the_run_completes(undisturbed: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    killed: set[int] = set()
    with start("run", *SETTINGS, "--out", tmp_path) as process:
        for moment in sorted(int(m) for m in rng.choice(np.arange(1, 13), 3, replace=False)):
            wait_for(lambda at=moment: commits(tmp_path) >= at, f"{moment} commits")
            fresh = wait_for(
                lambda: [p for p in triton_processes(process.pid) if p.pid not in killed], "a fresh server"
            )
            killed.add(fresh[0].pid)
            fresh[0].kill()
        assert process.wait(timeout=DEADLINE_S) == 0, process.stderr and process.stderr.read()
    assert len(killed) == 3
    assert same(contents(tmp_path / "store"), contents(undisturbed / "store"))
    assert manifest(tmp_path, 3)["server_restarts"] == 3


def same(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return a[0] == b[0] and np.array_equal(a[1], b[1]) and a[2] == b[2]
