"""Levels and reports with known numbers, for the tests of outputs."""

from __future__ import annotations

from pathlib import Path

from client.bench.bare import Comparison, Engine, Round
from client.bench.config import BenchConfig
from client.bench.measure import Level, Measuring
from client.bench.probe import ServerSide
from client.bench.report import Report
from client.bench.samples import Latency, Sample
from client.bench.stability import Verdict
from client.wire.security import Security


def side(
    model: str, *, requests: int = 60, batch: float = 16.0, queue_us: float = 0.0, infer_us: float = 0.0
) -> ServerSide:
    """A model's part; 100 µs of compute input and 50 µs of output."""
    total_us = queue_us + infer_us + 150
    return ServerSide(model, requests, 16 * requests, batch, total_us, queue_us, 100.0, infer_us, 50.0)


def level(
    load: float, *, mode: str = "concurrency", answered: int = 60, p50: float = 100.0, stable: bool = True
) -> Level:
    """60 answered requests of 16 rows in 6 s unless told otherwise; an ensemble of two leaves behind them."""
    return Level(
        mode=mode,
        load=load,
        request_rows=16,
        verdict=Verdict(stable, "" if stable else "throughput differs by 30 % over the last 3 intervals"),
        intervals=3,
        seconds=6.0,
        answered=answered,
        failed=0,
        first_error="",
        latency=Latency(p50 + 10, ((50, p50), (90, p50 + 20), (95, p50 + 30), (99, p50 + 40)), p50 + 50),
        lag_p99_ms=0.25,
        goodput=answered / 12,
        cpu_s={"client": 0.5, "tritonserver": 0.25},
        servers=(
            side("noise_loss", queue_us=2.0, infer_us=70_000, batch=16.0),
            side("prompt_embedding", queue_us=8.0, infer_us=90, batch=16.0),
            side("unet_noise_predictor", queue_us=20_000, infer_us=69_910, batch=12.5),
        ),
        trace=(Sample(5.0, 5.25, 5.5), Sample(5.1, 5.25, 5.75, "UNAVAILABLE")),
    )


def report(*levels: Level) -> Report:
    """Of noise_loss, with a comparison of three rounds."""
    return Report(
        config=BenchConfig(
            Path("repository"), measuring=Measuring(slo_ms=200.0), security=Security(headers=(("key", "secret"),))
        ),
        leaves=("prompt_embedding", "unet_noise_predictor"),
        request_rows=16,
        server="tritonserver",
        server_version="2.51.0",
        embedded=True,
        cores=2,
        machine_load=(0.5, 1.5),
        levels=levels,
        comparison=Comparison(
            2, 16, Engine(1, 2, spinning=False), tuple(Round(s, 200.0, {"client": 0.1}, 4.0) for s in (190, 196, 180))
        ),
    )
