"""A real Prometheus, as compose configures it, scrapes a real server and a real run: what rules and dashboard ask is there."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from tests.deploy.kit import COMPOSE, ELSEWHERE, GPU_METRICS, RULES, metrics_in, panels, program, queries, recorded
from tests.e2e.command import start
from tests.e2e.scenes import some_scenes

pytest.importorskip("helm_python", reason=ELSEWHERE)  # the environment whose program this is
pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

READY_S = 60.0
QUIET = {"sum by (cause) (rate(selector_client_retries_total[5m])) > 0"}
"""Queries that have no answer while nothing goes wrong."""


class Prometheus:
    """The program on a free port of loopback, with a second between scrapes."""

    def __init__(self, folder: Path, triton: str, client: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        config = yaml.safe_load((COMPOSE / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(RULES)]
        servers, clients = config["scrape_configs"]
        servers["static_configs"][0]["targets"] = [triton]
        clients["file_sd_configs"][0]["files"] = [str(folder / "clients.yml")]
        (folder / "clients.yml").write_text(yaml.safe_dump([{"targets": [client]}]))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.log = (folder / "prometheus.log").open("w")
        self.process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={self.address}",
            ],
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )

    def ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.loads(response.read())["data"]

    def answers(self, query: str) -> list[dict[str, Any]]:
        """Samples of a query, now."""
        return list(self.ask("query", query=query)["result"])

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        self.log.close()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has seen a run for a while; the run goes on."""
    program("prometheus")
    folder = tmp_path_factory.mktemp("scrape")
    data = some_scenes(folder / "data", ("bag", "coat", "t-shirt"), 250)
    with EmbeddedServer(builtin_repository(), grpc_port=0, metrics_port=0, threads=1) as server:
        asked = ("--server", server.grpc_url, "--draws", 64, "--shard-size", 16, "--metrics-address", "127.0.0.1:0")
        with start("score", data, "--store", folder / "store", *asked) as run:
            assert run.stderr is not None
            told = next(line for line in run.stderr if line.startswith("metrics of this run: "))
            client = re.findall(r"http://(\S+)/metrics", told)[0]
            prometheus = Prometheus(folder, server.metrics_url.split("/")[2], client)
            try:
                wait_until_all_is_there(prometheus)
                assert run.poll() is None, "the run ended too soon for this test"
                yield prometheus
            finally:
                prometheus.close()
                run.send_signal(signal.SIGTERM)
                run.communicate(timeout=60)


def wait_until_all_is_there(prometheus: Prometheus) -> None:
    """Until rates have two samples, and the rule that is recorded has been."""
    needed = (*recorded(), "rate(nv_inference_count[1m])", "rate(selector_client_rows_total[1m])")
    deadline, missing = time.monotonic() + READY_S, ["everything"]
    while missing and time.monotonic() < deadline:
        time.sleep(1)
        try:
            missing = [query for query in needed if not prometheus.answers(query)]
        except OSError:  # it is starting
            continue
    assert not missing, missing


def test_both_jobs_are_up(scraped: Prometheus) -> None:
    targets = scraped.ask("targets")["activeTargets"]
    assert {(target["labels"]["job"], target["health"]) for target in targets} == {("triton", "up"), ("selector", "up")}


def test_every_metric_that_rules_and_dashboard_name_is_in_the_scrape(scraped: Prometheus) -> None:
    there = set(scraped.ask("label/__name__/values"))
    named = {name for _, query in queries() for name in metrics_in(query)}
    assert len(named) > 25
    assert named - there == GPU_METRICS, "this machine has no GPU, and they alone may be missing"


@pytest.mark.parametrize("title", [panel["title"] for panel in panels()])
def test_every_panel_shows_something(scraped: Prometheus, title: str) -> None:
    for panel in panels():
        if panel["title"] == title:
            for query in (target["expr"] for target in panel["targets"]):
                empty = query in QUIET or bool(metrics_in(query) & GPU_METRICS)
                assert bool(scraped.answers(query)) != empty, query


def test_the_rules_are_evaluated_without_an_error_and_nothing_is_alarmed(scraped: Prometheus) -> None:
    (group,) = scraped.ask("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    firing = {rule["name"] for rule in group["rules"] if rule.get("state") == "firing"}
    assert not firing - {"SelectorStoreFull", "SelectorStoreFilling"}, "how full this disk is, is another matter"


def test_the_backlog_that_servers_are_scaled_by_is_a_number_that_falls(scraped: Prometheus) -> None:
    def left() -> float:
        return float(scraped.answers("sum(selector_rows_left)")[0]["value"][1])

    before, deadline = left(), time.monotonic() + 30
    assert before > 0
    while left() >= before and time.monotonic() < deadline:
        time.sleep(0.5)
    assert left() < before
