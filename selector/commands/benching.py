"""`selector bench` on the command line.

Owns its flags. Work lies in selector/bench.py and client/bench/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from client.bench.ranges import LOADS, MEASURING
from selector.builtin import builtin_repository
from selector.commands.configuration import look_at_servers, security_of
from selector.commands.options import json_option, number, option, security_options, server_option, together
from selector.commands.parameters import FOLDER, PATH, Levels
from selector.files import check_file
from selector.progress import Progress

bench_options = together(
    option(
        "--model",
        default="noise_loss",
        help="A served model, or scoring-path: a shard of images through stage I and II.",
    ),
    number(
        "--batch-size",
        "batch",
        ranges=LOADS,
        default=0,
        help="Rows of a request (images of a shard); 0: the most it takes.",
    ),
    option(
        "--concurrency",
        type=Levels(LOADS["concurrency"]),
        default="1,2,4",
        help="Requests in flight, levels by comma or as FIRST:LAST:STEP.",
    ),
    option(
        "--rate",
        "rates",
        type=Levels(LOADS["rates"]),
        help="Requests per second, levels by comma, instead of a concurrency.",
    ),
    option(
        "--arrivals",
        type=click.Choice(["constant", "poisson"]),
        default="constant",
        help="How requests of a rate arrive.",
    ),
    number("--latency-limit-ms", "limit_ms", ranges=LOADS, help="Search the highest rate that keeps this latency."),
    number("--percentile", "percent", ranges=LOADS, default=99, help="Percentile that the search holds to the limit."),
    number("--slo-ms", ranges=MEASURING, help="Count as goodput what is answered within so many milliseconds."),
    number(
        "--window", "window_s", ranges=MEASURING, default=2.0, help="Seconds of a window; three must agree within 10 %."
    ),
    number(
        "--max-windows",
        "most_windows",
        ranges=MEASURING,
        default=10,
        help="Windows after which a level is called not stable.",
    ),
    option("--bare", is_flag=True, help="Time ONNX Runtime in this process too, alternating, and print served ÷ bare."),
    number("--rounds", ranges=LOADS, default=5, help="Alternating rounds of --bare."),
    number("--round-seconds", "round_s", ranges=LOADS, default=4.0, help="Seconds of each run in a round of --bare."),
    number(
        "--threads", ranges=LOADS, default=0, help="Threads of each ONNX session, served and bare; 0: one per core."
    ),
    number("--path-draws", "draws", ranges=LOADS, default=12, help="Draws per image of the scoring path."),
    option(
        "--transport",
        type=click.Choice(["auto", "unary", "stream", "shared-memory"]),
        default="auto",
        help="How requests travel; auto chooses by their size and where the server is.",
    ),
    number("--seed", ranges=LOADS, default=0, help="Seed of inputs and arrivals."),
    option("--csv", "csv_file", type=PATH, help="Write the levels with perf_analyzer's column names."),
    option("--requests", "requests_file", type=PATH, help="Write one JSON line per request."),
    option("--plot", "plot_file", type=PATH, help="Write a page that draws latency against load."),
)


@click.command()
@server_option
@security_options
@option("--repository", type=FOLDER, help="Triton repository of the embedded server and of --bare; default: built-in.")
@bench_options
@json_option
def bench(servers: tuple[str, ...] | None, repository: Path | None, as_json: bool, **flags: Any) -> None:
    """Measure latency and throughput of a model or of the scoring path, against the engine alone with --bare."""
    for flag in ("csv", "requests", "plot"):
        if flags[f"{flag}_file"] is not None:
            check_file(flags[f"{flag}_file"], f"--{flag}")
    security = security_of(flags)
    for name in ("tls_ca", "tls_cert", "tls_key", "header_file"):
        del flags[name]
    look_at_servers(servers or (), security, Progress(quiet=as_json))
    from selector.bench import run_bench

    run_bench(servers or (), repository or builtin_repository(), as_json, flags | {"security": security})
