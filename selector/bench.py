"""`selector bench` on the command line: flags in, tables and files out.

Owns writing the files asked for. Must not know how anything is measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
from selector.files import file_errors


def run_bench(servers: tuple[str, ...], repository: Path, as_json: bool, flags: dict[str, Any]) -> None:
    """Measures what the flags ask for, prints tables or one JSON object, and writes files."""
    files = {name: flags.pop(name) for name in ("csv_file", "requests_file", "plot_file")}
    report = run(_config(servers, repository, flags), say=lambda line: click.echo(line, err=True))
    _print(report, as_json)
    for path, text in (
        (files["csv_file"], lambda: outputs.csv_text(report)),
        (files["requests_file"], lambda: "".join(line + "\n" for line in outputs.request_lines(report))),
        (files["plot_file"], lambda: page(report)),
    ):
        _write(path, text)


def _config(servers: tuple[str, ...], repository: Path, flags: dict[str, Any]) -> BenchConfig:
    plan = {name: flags.pop(name) for name in ("window_s", "most_windows", "slo_ms")}
    try:
        return BenchConfig(
            repository=repository,
            servers=servers,
            rates=flags.pop("rates") or (),
            plan=Plan(**plan),
            **flags,
        )
    except ValueError as error:
        raise UsageError(str(error)) from None


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is None:
        return
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(outputs.json_object(report), indent=2))
    else:
        show(report, Console())
