"""What the rules, the dashboard and the two kits name is there, as far as that can be told without their programs."""

from __future__ import annotations

import re

import pytest
import yaml

from client.metrics import prometheus_text
from client.statistics import ReplicaStatistics, Statistics
from tests.deploy.kit import CHART, COMPOSE, GPU_METRICS, ROOT, metrics_in, panels, queries, recorded, rules

OF_A_RUN = {"selector_rows_left", "selector_store_free_bytes"}
OF_PROMETHEUS = {"up"}
OF_TRITON = {
    *("nv_inference_count", "nv_inference_exec_count", "nv_inference_request_success", "nv_inference_request_failure"),
    *("nv_inference_queue_duration_us", "nv_inference_compute_infer_duration_us", "nv_inference_pending_request_count"),
}
"""That these exist is seen in the scrape of a real run: test_scrape.py."""
SAFE = (26, 7)
"""Release of Triton that NVIDIA's bulletins until September 2026 ask for."""


def told_by_a_client() -> set[str]:
    replica = ReplicaStatistics("a:1", "ready", "", 0, 1, 0, 0, 0, 0)
    text = prometheus_text(Statistics(replicas=(replica,)), dict.fromkeys(OF_A_RUN, 0.0))
    return set(re.findall(r"^(\w+)(?:\{.*\})? \S+$", text, re.MULTILINE))


def test_every_metric_that_a_rule_or_the_dashboard_names_is_told_by_somebody() -> None:
    known = told_by_a_client() | OF_PROMETHEUS | OF_TRITON | GPU_METRICS | recorded()
    for where, query in queries():
        assert metrics_in(query) <= known, where
    assert {name for rule in rules() for name in metrics_in(rule["expr"])}.isdisjoint(GPU_METRICS), "rules work without"


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ('sum by (a, b) (rate(x_total{cause!~"y|z"}[5m])) > 0.2 * w', {"x_total", "w"}),
        ("(s:r < 0.5 * avg_over_time(s:r[1h])) and on (i) (left > 0)", {"s:r", "left"}),
        ("free < 5e9 or predict_linear(free[1h], 4 * 3600) < 0", {"free"}),
    ],
)
def test_names_are_found_in_queries(query: str, names: set[str]) -> None:
    assert metrics_in(query) == names


def test_panels_lie_beside_each_other_and_every_one_asks_something() -> None:
    cells = [
        (panel["gridPos"]["x"] + dx, panel["gridPos"]["y"] + dy)
        for panel in panels()
        for dx in range(panel["gridPos"]["w"])
        for dy in range(panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "two panels overlap"
    assert max(x for x, _ in cells) < 24
    assert all(panel["targets"] for panel in panels())


def test_kits_and_pages_name_one_image_which_has_no_known_hole() -> None:
    image = yaml.safe_load((CHART / "values.yaml").read_text())["image"]
    whole = f"{image['repository']}:{image['tag']}"
    compose = yaml.safe_load((COMPOSE / "compose.yaml").read_text())
    assert compose["services"]["triton"]["image"] == whole
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == image["tag"].removesuffix("-py3")
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {tag for page in pages for tag in re.findall(rf"{image['repository']}:(\S+-py3)", page.read_text())}
    assert named == {image["tag"]}
    year, month = map(int, image["tag"].removesuffix("-py3").split("."))
    assert (year, month) >= SAFE


def test_every_alert_says_what_it_means_and_what_to_do_and_is_on_the_page() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for alert in (rule for rule in rules() if "alert" in rule):
        assert {"summary", "action"} <= set(alert["annotations"]), alert["alert"]
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert f"`{alert['alert']}`" in page
