"""CSV, JSON, JSON lines, terminal and page, from a report whose numbers are known."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from rich.console import Console

from client.bench.outputs import csv_text, json_object, request_lines
from client.bench.plot import page
from client.bench.report import Report
from client.bench.table import show
from tests.client.bench.levels import level, report

# The header that perf_analyzer's documentation shows for `-f FILE` (measurements_metrics.md of the Triton client).
PERF_ANALYZER = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,"
    "Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency"
)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def printed(shown: Report) -> str:
    console = Console(file=io.StringIO(), width=200)
    show(shown, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_csv_begins_with_perf_analyzers_columns() -> None:
    assert csv_text(report(level(1))).startswith(PERF_ANALYZER + ",Avg latency,")


def test_the_csv_of_rates_names_them_as_perf_analyzer_does() -> None:
    assert csv_text(report(level(2.5, mode="rate"))).startswith("Request Rate,Inferences/Second,")


def test_the_csv_counts_in_microseconds_and_rows_and_ascends_in_throughput() -> None:
    found = rows(csv_text(report(level(2, answered=90), level(1))))
    assert [row["Concurrency"] for row in found] == ["1", "2"]
    first = found[0]
    assert float(first["Inferences/Second"]) == pytest.approx(160)
    assert float(first["Requests/Second"]) == pytest.approx(10)
    assert first["p99 latency"] == "140000"
    assert first["Avg latency"] == "110000"
    assert first["Stable"] == "yes"


def test_an_ensembles_queue_is_its_steps_queues_and_its_batch_that_of_the_leaf_that_computes_longest() -> None:
    first = rows(csv_text(report(level(1))))[0]
    assert first["Server Queue"] == str(2 + 8 + 20_000)
    assert first["Server Compute Infer"] == "70000"
    assert first["Achieved Batch"] == "12.50"


def test_the_csvs_parts_of_the_latency_add_up_to_it() -> None:
    first = rows(csv_text(report(level(1))))[0]
    parts = ("Client Send", "Network+Server Send/Recv", "Server Queue", "Client Recv")
    compute = ("Server Compute Input", "Server Compute Infer", "Server Compute Output")
    assert sum(int(first[name]) for name in parts + compute) == int(first["Avg latency"])


def test_the_json_is_json_and_holds_no_secret() -> None:
    text = json.dumps(json_object(report(level(1), level(2))))
    found = json.loads(text)
    assert "secret" not in text
    assert found["levels"][0]["rows_per_s"] == pytest.approx(160)
    assert found["levels"][1]["latency"]["percentiles_ms"]["p95"] == 130
    assert found["levels"][0]["goodput_per_s"] == 5
    assert found["served_over_bare"]["median"] == pytest.approx(0.95)
    assert [each["ratio"] for each in found["served_over_bare"]["rounds"]] == pytest.approx([0.95, 0.98, 0.9])


def test_every_request_is_a_line_with_its_three_moments() -> None:
    found = [json.loads(line) for line in request_lines(report(level(1)))]
    assert [one["intended_s"] for one in found] == pytest.approx([0.0, 0.1])
    assert [one["latency_ms"] for one in found] == pytest.approx([500, 650])
    assert [one["error"] for one in found] == ["", "UNAVAILABLE"]


def test_the_terminal_says_what_was_not_stable_and_what_served_over_bare_is() -> None:
    text = printed(report(level(1), level(2, stable=False)))
    assert "not stable at 2: throughput differs by 30 % over the last 3 intervals" in text
    assert "served ÷ bare: median 0.950, 0.900 to 0.980" in text
    assert "load average 0.5 → 1.5" in text
    for number in ("160.0", "100.00", "140.00", "20.01", "70.00", "12.5"):
        assert number in text


def test_retries_are_named_since_they_hide_in_latencies() -> None:
    text = printed(replace(report(level(1)), retries={"queue full": 7}))
    assert "the client sent again: 7 × queue full" in text


def test_a_failed_request_is_named_on_the_terminal() -> None:
    text = printed(report(replace(level(1), failed=3, first_error="UNAVAILABLE from 127.0.0.1:1: gone")))
    assert "3 requests failed at 1; the first: UNAVAILABLE from 127.0.0.1:1: gone" in text


def test_the_page_is_self_contained_and_draws_every_level_three_times() -> None:
    text = page(report(level(1), level(2, p50=200.0), level(4, p50=400.0, stable=False)))
    assert "http" not in text
    assert "<script" not in text
    drawing = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + len("</svg>")])
    marks = list(drawing.iter("circle"))
    assert len(marks) == 9
    assert sum(mark.get("fill") == "var(--surface)" for mark in marks) == 3  # the level that was not stable
    heights = [float(mark.get("cy", "nan")) for mark in marks[:3]]
    assert heights == sorted(heights, reverse=True)  # latency grows, so the marks rise
    # p50 of 100, 200 and 400 ms: equal pixels per millisecond.
    assert (heights[0] - heights[2]) / (heights[0] - heights[1]) == pytest.approx(3, rel=0.01)
