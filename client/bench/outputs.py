"""A report as files: CSV with perf_analyzer's column names, one JSON object, one JSON line per request.

Pure but for the writing. Times in the CSV are whole microseconds, as perf_analyzer's are.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from client.bench.measure import Level
from client.bench.report import Report
from client.bench.samples import PERCENTILES
from client.wire import Security

PERF_ANALYZER_COLUMNS = (
    "Inferences/Second",
    "Client Send",
    "Network+Server Send/Recv",
    "Server Queue",
    "Server Compute Input",
    "Server Compute Infer",
    "Server Compute Output",
    "Client Recv",
    *(f"p{percent} latency" for percent in PERCENTILES),
    "Avg latency",
)
"""After the column of the load, which is "Concurrency" or "Request Rate". Client Send and Client Recv are 0: packing and
unpacking happen while other requests run, and are part of Network+Server Send/Recv."""
OWN_COLUMNS = ("Requests/Second", "Goodput/Second", "Achieved Batch", "Client CPU Seconds", "Failed", "Stable")


def csv_text(report: Report) -> str:
    """One line per level in ascending throughput, perf_analyzer's columns first."""
    load = "Concurrency" if report.levels[0].mode == "concurrency" else "Request Rate"
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((load, *PERF_ANALYZER_COLUMNS, *OWN_COLUMNS))
    for level in sorted(report.levels, key=lambda level: level.rows_per_s):
        writer.writerow(_csv_row(report, level))
    return text.getvalue()


def _csv_row(report: Report, level: Level) -> list[object]:
    side = report.whole_model(level)
    latency_us = level.latency.mean_ms * 1e3
    spans = (
        () if side is None else (side.queue_us, side.compute_input_us, side.compute_infer_us, side.compute_output_us)
    )
    network = (
        [round(max(0.0, latency_us - sum(spans))), *map(round, spans)] if spans else [round(latency_us), *[""] * 4]
    )
    return [
        f"{level.load:g}",
        f"{level.rows_per_s:.3f}",
        0,
        *network,
        0,
        *(round(level.latency.at(percent) * 1e3) for percent in PERCENTILES),
        round(latency_us),
        f"{level.requests_per_s:.3f}",
        "" if level.goodput is None else f"{level.goodput:.3f}",
        "" if side is None else f"{side.batch:.2f}",
        f"{level.cpu_s['client']:.3f}",
        level.failed,
        "yes" if level.verdict.stable else "no",
    ]


def json_object(report: Report) -> dict[str, Any]:
    """The report as JSON values; requests are left to the JSON lines."""
    config = asdict(replace(report.config, security=Security())) | {"repository": str(report.config.repository)}
    config["said"] = str(report.config.said) if report.config.said else None
    del config["security"]  # secrets stay where they are
    found: dict[str, Any] = {
        "config": config,
        "request_rows": report.request_rows,
        "server_version": report.server_version,
        "embedded": report.embedded,
        "cores": report.cores,
        "machine_load": list(report.machine_load),
        "retries": dict(report.retries),
        "levels": [_json_level(report, level) for level in report.levels],
    }
    if report.config.limit_ms is not None:
        found["kept_requests_per_s"] = report.kept_rate
    if report.comparison is not None:
        comparison = report.comparison
        rounds = [asdict(each) | {"ratio": each.ratio} for each in comparison.rounds]
        found["served_over_bare"] = asdict(comparison) | {"median": comparison.median, "rounds": rounds}
    return found


def _json_level(report: Report, level: Level) -> dict[str, Any]:
    values = asdict(replace(level, trace=()))
    del values["trace"]
    values["latency"]["percentiles_ms"] = {f"p{p}": ms for p, ms in level.latency.percentiles_ms}
    side = report.whole_model(level)
    return values | {
        "rows_per_s": level.rows_per_s,
        "requests_per_s": level.requests_per_s,
        "goodput_per_s": values.pop("goodput"),
        "server": None if side is None else asdict(side),
    }


def request_lines(report: Report) -> Iterator[str]:
    """One JSON object per request of every level; moments in seconds since the level's first request was due."""
    for level in report.levels:
        start = min((sample.intended_s for sample in level.trace), default=0.0)
        for sample in level.trace:
            yield json.dumps(
                {
                    "mode": level.mode,
                    "load": level.load,
                    "rows": level.request_rows,
                    "intended_s": round(sample.intended_s - start, 6),
                    "sent_s": round(sample.sent_s - start, 6),
                    "done_s": round(sample.done_s - start, 6),
                    "latency_ms": round(sample.latency_s * 1e3, 3),
                    "error": sample.error,
                }
            )
