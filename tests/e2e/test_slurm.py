"""The Slurm script of docs/clusters.md on a real Slurm: tasks are cancelled, the node is drained, the same line comes again.

3,000 scenes: `TEST_SLURM_SCENES=3000 python -m pytest -m slow -s --timeout 7200 tests/e2e/test_slurm.py`.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest

from selector.builtin import builtin_repository, builtin_scenes
from tests.e2e.command import environment, selector
from tests.e2e.slurm import PATH, Slurm, until, why_no_slurm
from tests.e2e.test_parts import spent
from tests.e2e.test_survival import contents, same

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(7200)]

ROOT = Path(__file__).parents[2]
SCENES = int(os.environ.get("TEST_SLURM_SCENES", "250"))
SETTINGS = ("--limit-per-class", SCENES // 10, "--draws", 2, "--shard-size", max(4, SCENES // 60), "--workers", 1)
LONG_S = 60 + 2.0 * SCENES


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    """32 CPUs by its own account, so that four tasks of the page's script run side by side."""
    if why := why_no_slurm():
        pytest.skip(why)
    return Slurm(tmp_path / "slurm", cpus=32)


def script_of_the_page(folder: Path, store: Path, *models: object) -> Path:
    """The page's script with these places, and without the line that asks for a GPU. models: --server or --repository."""
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```sh\n(#!/bin/bash\n.*?)```", page, flags=re.DOTALL)
    for there, here in (
        ("#SBATCH --gres=gpu:1\n", ""),
        ("/data/imagenet", str(builtin_scenes())),
        ("/shared/store", str(store)),
        ("--repository /shared/repository", " ".join(map(str, (*models, *SETTINGS)))),
    ):
        assert text.count(there) == 1, there
        text = text.replace(there, here)
    script = folder / "score.sh"
    script.write_text(text)
    return script


def command_on_path(folder: Path) -> dict[str, str]:
    """The environment in which `selector` is this tree's."""
    folder.mkdir()
    (folder / "selector").write_text(f'#!/bin/sh\nexec {sys.executable} -m selector.cli "$@"\n')
    (folder / "selector").chmod(0o755)
    return environment() | {"PATH": f"{folder}:{PATH}"}


def commits(store: Path) -> int:
    return len(list((store / "images").glob("*.parquet")))


def test_an_array_whose_tasks_are_cancelled_and_whose_node_is_drained_ends_as_one_process(
    slurm: Slurm, server: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    selector("score", builtin_scenes(), "--store", tmp_path / "one" / "store", *SETTINGS, "--server", server)
    alone_s = time.monotonic() - began
    store, whole = tmp_path / "store", commits(tmp_path / "one" / "store")
    script, where = script_of_the_page(tmp_path, store, "--server", server), command_on_path(tmp_path / "bin")
    line = (script, "--array=1-4", f"--output={tmp_path}/%A-%a.out")
    began = time.monotonic()
    with slurm:
        job = slurm.submit(*line, environment=where)
        until(lambda: commits(store) >= 2, "the first commits", LONG_S)
        slurm.run("scancel", f"{job}_1")
        until(lambda: f"{job}_1" not in slurm.tasks(job), "the end of the first task", LONG_S)
        slurm.drain()
        slurm.run("scancel", f"{job}_2")
        again = slurm.submit(*line, environment=where)
        cancelled = commits(store)
        assert 2 <= cancelled < whole
        assert slurm.tasks(again, "RUNNING") == [], "on a drained node nothing begins"
        assert set(slurm.tasks(job, "RUNNING")) <= {f"{job}_2", f"{job}_3", f"{job}_4"}
        slurm.resume()
        until(lambda: not slurm.tasks(job) and not slurm.tasks(again), "the ends of both arrays", LONG_S)
        ends = {task: slurm.state(task) for task in (f"{one}_{i}" for one in (job, again) for i in range(1, 5))}
    told = {path.stem: path.read_text() for path in sorted(tmp_path.glob("*-*.out"))}
    said, worked = "".join(told.values()), [task for task, text in told.items() if " UNet rows in " in text]
    assert [ends[f"{job}_{i}"] for i in (1, 2)] == ["CANCELLED", "CANCELLED"], said
    assert {state for task, state in ends.items() if task not in (f"{job}_1", f"{job}_2")} == {"COMPLETED"}, said
    assert all(f"part {i}/4" in said for i in range(1, 5)), said
    counts = json.loads(selector("status", "--store", store, "--json").stdout)["images"]
    assert (counts["done"], counts["described"]) == (SCENES, SCENES)
    assert same(contents(store), contents(tmp_path / "one" / "store"))
    for where_from in (store, tmp_path / "one" / "store"):
        selector("select", "--store", where_from, "--ipc", 5, "--out", where_from.parent / "out")
    one, many = (folder / "out" / "ipc-5" / "selection.parquet" for folder in (tmp_path / "one", tmp_path))
    assert one.read_bytes() == many.read_bytes()
    rows = spent(store), spent(tmp_path / "one" / "store")
    print(
        f"{SCENES} scenes, {whole} shards: one process {alone_s:.0f} s; both arrays {time.monotonic() - began:.0f} s, "
        f"{cancelled} shards were there when two tasks had been cancelled and the node drained; tasks that did work and ended "
        f"by themselves: {', '.join(worked)}; they noted {rows[0]} UNet rows, one process {rows[1]}"
    )


def test_tasks_without_a_server_start_one_each(slurm: Slurm, server: str, tmp_path: Path) -> None:
    selector("score", builtin_scenes(), "--store", tmp_path / "one" / "store", *SETTINGS, "--server", server)
    store = tmp_path / "store"
    script = script_of_the_page(tmp_path, store, "--repository", builtin_repository())
    with slurm:
        job = slurm.submit(
            script, "--array=1-2", f"--output={tmp_path}/%A-%a.out", environment=command_on_path(tmp_path / "bin")
        )
        until(lambda: not slurm.tasks(job), "the end of the array", LONG_S)
        ends = {slurm.state(f"{job}_{i}") for i in (1, 2)}
    said = [path.read_text() for path in sorted(tmp_path.glob("*-*.out"))]
    assert ends == {"COMPLETED"}, said
    assert all("embedded Triton" in text for text in said), said
    assert len(list(store.glob("server.log*"))) == 2
    assert same(contents(store), contents(tmp_path / "one" / "store"))
    assert list((store / "work").iterdir()) == []
