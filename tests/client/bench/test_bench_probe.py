"""Differences of counters, and CPU time by process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from client.bench.probe import Counters, cpu_s, process_tree_cpu_s, server_side
from client.wire import ModelStatistics


def counted(name: str, requests: int, rows: int, executions: int, each_ns: int) -> ModelStatistics:
    return ModelStatistics(name, requests, rows, executions, 5 * each_ns, each_ns, each_ns, 2 * each_ns, each_ns)


def test_server_side_times_are_means_over_the_requests_in_between() -> None:
    before = Counters(0.0, {}, {"unet": counted("unet", 10, 100, 10, 1_000_000), "idle": counted("idle", 3, 3, 3, 5)})
    after = Counters(0.0, {}, {"unet": counted("unet", 30, 260, 20, 5_000_000), "idle": counted("idle", 3, 3, 3, 5)})
    (unet,) = server_side(before, after)
    assert (unet.model, unet.requests, unet.rows) == ("unet", 20, 160)
    assert unet.batch == 16
    assert unet.queue_us == pytest.approx(200)  # 4 ms over 20 requests
    assert unet.compute_infer_us == pytest.approx(400)
    assert unet.total_us == pytest.approx(1000)


def test_a_model_loaded_in_between_counts_from_nothing() -> None:
    (late,) = server_side(Counters(0.0), Counters(0.0, {}, {"m": counted("m", 4, 8, 2, 4000)}))
    assert late.queue_us == pytest.approx(1)
    assert late.batch == 4


def test_cpu_seconds_are_differences_by_process() -> None:
    before = Counters(1.0, {"tritonserver": 5.0})
    after = Counters(1.5, {"tritonserver": 5.25, "stub of unet": 2.0})
    assert cpu_s(before, after) == {"client": 0.5, "tritonserver": 0.25, "stub of unet": 2.0}


def test_a_process_tree_holds_the_children_by_name() -> None:
    work = "import time\nwhile time.process_time() < 0.05: pass\nprint('ready', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        alone, tree = process_tree_cpu_s(child.pid), process_tree_cpu_s(os.getpid())
        child.communicate("\n")
    assert sum(alone.values()) >= 0.04
    assert set(alone) <= set(tree)
    assert process_tree_cpu_s(child.pid) == {}  # it is gone
