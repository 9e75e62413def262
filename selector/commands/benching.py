"""`selector bench` on the command line. Work lies in client/bench/."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from client.bench.ranges import LOADS, MEASURING
from selector.builtin import builtin_repository
from selector.commands.configuration import look_at_servers, security_of
from selector.commands.options import (
    device_option,
    json_option,
    number,
    option,
    security_options,
    server_option,
    together,
)
from selector.commands.parameters import FOLDER, PATH, Levels
from selector.errors import UsageError
from selector.folders.files import check_file, file_errors
from selector.progress import Progress

if TYPE_CHECKING:
    from client.bench.config import BenchConfig

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
        "--window",
        "interval_s",
        ranges=MEASURING,
        default=2.0,
        help="Seconds of an interval; three must agree within 10 %.",
    ),
    number(
        "--max-windows",
        "most_intervals",
        ranges=MEASURING,
        default=10,
        help="Intervals after which a level is called not stable.",
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
@option(
    "--repository",
    type=FOLDER,
    help="Triton repository of the embedded server and of --bare, default: built-in; with --server: what that is said to serve.",
)
@device_option
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
    from client.bench import outputs
    from client.bench.bench import run
    from client.bench.plot import page
    from client.bench.table import show

    files = {name: flags.pop(name) for name in ("csv_file", "requests_file", "plot_file")}
    flags |= {"security": security, "said": repository if servers else None}
    config = _config(servers or (), repository or builtin_repository(), flags)
    report = run(config, say=lambda line: click.echo(line, err=True))
    if as_json:
        click.echo(json.dumps(outputs.json_object(report), indent=2))
    else:
        show(report, Console())
    for path, text in (
        (files["csv_file"], outputs.csv_text),
        (files["requests_file"], lambda of: "".join(line + "\n" for line in outputs.request_lines(of))),
        (files["plot_file"], page),
    ):
        if path is not None:
            with file_errors(path):  # written in place: it may be a pipe
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text(report), encoding="utf-8")


def _config(servers: tuple[str, ...], repository: Path, flags: dict[str, Any]) -> BenchConfig:
    from client.bench.config import BenchConfig
    from client.bench.measure import Measuring

    measuring = {name: flags.pop(name) for name in ("interval_s", "most_intervals", "slo_ms")}
    rates = flags.pop("rates") or ()
    try:
        return BenchConfig(
            repository=repository, servers=servers, rates=rates, measuring=Measuring(**measuring), **flags
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
