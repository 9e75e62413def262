"""`selector bench` on the command line: flags in, tables and files out.

Owns reading levels from text and writing the files asked for. Must not know how anything is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from client.bench import outputs
from client.bench.bench import run
from client.bench.config import BenchConfig
from client.bench.measure import Plan
from client.bench.plot import page
from client.bench.report import Report
from client.bench.table import show
from selector.errors import UsageError

Number = TypeVar("Number", int, float)


def run_bench(servers: tuple[str, ...], repository: Path, as_json: bool, flags: dict[str, Any]) -> None:
    """Measures what the flags ask for, writes files, prints tables or one JSON object."""
    files = {name: flags.pop(name) for name in ("csv_file", "requests_file", "plot_file")}
    report = run(_config(servers, repository, flags), say=lambda line: click.echo(line, err=True))
    for path, text in (
        (files["csv_file"], lambda: outputs.csv_text(report)),
        (files["requests_file"], lambda: "".join(line + "\n" for line in outputs.request_lines(report))),
        (files["plot_file"], lambda: page(report)),
    ):
        _write(path, text)
    _print(report, as_json)


def levels(text: str, number: Callable[[str], Number]) -> tuple[Number, ...]:
    """Values by comma, or FIRST:LAST:STEP with both ends; raises UsageError for anything else."""
    try:
        if ":" not in text:
            return tuple(number(part) for part in text.split(","))
        parts = text.split(":") if text.count(":") > 1 else [*text.split(":"), "1"]
        first, last, step = map(number, parts)
    except ValueError:
        raise UsageError(f"levels are numbers by comma or FIRST:LAST:STEP, not {text!r}") from None
    if step <= 0 or last < first:
        raise UsageError(f"levels {text!r} lead nowhere")
    return tuple(_stepped(first, last, step))


def _stepped(first: Number, last: Number, step: Number) -> Iterable[Number]:
    level = first
    while level <= last:
        yield level
        level += step


def _config(servers: tuple[str, ...], repository: Path, flags: dict[str, Any]) -> BenchConfig:
    rates, concurrency = flags.pop("rates"), flags.pop("concurrency")
    plan = {name: flags.pop(name) for name in ("window_s", "most_windows", "slo_ms")}
    try:
        return BenchConfig(
            repository=repository,
            servers=servers,
            concurrency=levels(concurrency, int),
            rates=levels(rates, float) if rates else (),
            plan=Plan(**plan),
            **flags,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(outputs.json_object(report), indent=2))
    else:
        show(report, Console())
