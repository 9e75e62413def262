"""`selector bench` on the command line.

Owns its flags. Work lies in selector/bench.py and client/bench/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from selector.builtin import builtin_repository
from selector.commands.configuration import security_of, servers_of
from selector.commands.options import EXISTING, PATH, json_option, option, security_options, together

bench_options = together(
    option(
        "--model",
        default="noise_loss",
        help="A served model, or scoring-path: a shard of images through stage I and II.",
    ),
    option(
        "--batch-size",
        "batch",
        type=int,
        default=0,
        help="Rows of a request (images of a shard); 0: the most it takes.",
    ),
    option("--concurrency", default="1,2,4", help="Requests in flight, levels by comma or as FIRST:LAST:STEP."),
    option("--rate", "rates", help="Requests per second, levels by comma, instead of a concurrency."),
    option(
        "--arrivals",
        type=click.Choice(["constant", "poisson"]),
        default="constant",
        help="How requests of a rate arrive.",
    ),
    option("--latency-limit-ms", "limit_ms", type=float, help="Search the highest rate that keeps this latency."),
    option("--percentile", "percent", type=int, default=99, help="Percentile that the search holds to the limit."),
    option("--slo-ms", type=float, help="Count as goodput what is answered within so many milliseconds."),
    option("--window", "window_s", type=float, default=2.0, help="Seconds of a window; three must agree within 10 %."),
    option(
        "--max-windows", "most_windows", type=int, default=10, help="Windows after which a level is called not stable."
    ),
    option("--bare", is_flag=True, help="Time ONNX Runtime in this process too, alternating, and print served ÷ bare."),
    option("--rounds", type=int, default=5, help="Alternating rounds of --bare."),
    option("--round-seconds", "round_s", type=float, default=4.0, help="Seconds of each run in a round of --bare."),
    option("--threads", type=int, default=0, help="Threads of each ONNX session, served and bare; 0: one per core."),
    option("--path-draws", "draws", type=int, default=12, help="Draws per image of the scoring path."),
    option(
        "--transport",
        type=click.Choice(["auto", "unary", "stream", "shared-memory"]),
        default="auto",
        help="How requests travel; auto chooses by their size and where the server is.",
    ),
    option("--seed", type=int, default=0, help="Seed of inputs and arrivals."),
    option("--csv", "csv_file", type=PATH, help="Write the levels with perf_analyzer's column names."),
    option("--requests", "requests_file", type=PATH, help="Write one JSON line per request."),
    option("--plot", "plot_file", type=PATH, help="Write a page that draws latency against load."),
)


@click.command()
@option("--server", "servers", help="HOST:PORT[,HOST:PORT…] of running Triton servers; default: the embedded one.")
@security_options
@option(
    "--repository", type=EXISTING, help="Triton repository of the embedded server and of --bare; default: built-in."
)
@bench_options
@json_option
def bench(servers: str | None, repository: Path | None, as_json: bool, **flags: Any) -> None:
    """Measure latency and throughput of a model or of the scoring path, against the engine alone with --bare."""
    from selector.bench import run_bench

    security = security_of(flags)
    for name in ("tls_ca", "tls_cert", "tls_key", "header_file"):
        del flags[name]
    run_bench(servers_of(servers), repository or builtin_repository(), as_json, flags | {"security": security})
