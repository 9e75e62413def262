"""A report on a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.bench.bare import Comparison
from client.bench.measure import Level
from client.bench.report import Report
from client.bench.samples import PERCENTILES

LEAST_WIDTH = 124
"""A narrower terminal, or none, must not cut numbers off."""


def show(report: Report, console: Console) -> None:
    """Prints the report."""
    console.width = max(LEAST_WIDTH, console.width)
    console.print(Group(*_parts(report)))


def _parts(report: Report) -> list[RenderableType]:
    where = "embedded" if report.embedded else ", ".join(report.config.servers)
    load = " → ".join(f"{value:.1f}" for value in report.machine_load)
    parts: list[RenderableType] = [
        Text(
            f"{report.config.model}, {report.request_rows} rows a request; {report.server} {report.server_version} ({where}), "
            f"{report.cores} cores, load average {load}"
        ),
        Text("\nas the client sees it: latency in ms, CPU as a share of one core"),
        _clients_view(report),
    ]
    if any(report.whole_model(level) for level in report.levels):
        parts.append(Text("as the server counts it: ms per request; batch: rows per run of the engine"))
        parts.append(_servers_view(report))
    parts += [Text(f"not stable at {level.load:g}: {level.verdict.reason}") for level in report.levels if _shaky(level)]
    parts += [
        Text(f"{level.failed} requests failed at {level.load:g}; the first: {level.first_error}")
        for level in report.levels
        if level.failed
    ]
    if report.retries:
        causes = ", ".join(f"{count} × {cause}" for cause, count in report.retries.items())
        parts.append(Text(f"the client sent again: {causes}"))
    if report.config.limit_ms is not None:
        parts.append(_search_line(report, report.config.limit_ms))
    if report.comparison is not None:
        parts += _comparison(report.comparison)
    return parts


def _clients_view(report: Report) -> Table:
    table = _table()
    goodput = report.config.measuring.slo_ms is not None
    heads = (report.levels[0].mode, "rows/s", "requests/s", "mean", *(f"p{p}" for p in PERCENTILES), "late p99")
    for head in (*heads, "client CPU", *(("goodput/s",) if goodput else ()), "stable (intervals)"):
        table.add_column(head, justify="right")
    for level in report.levels:
        table.add_row(
            f"{level.load:g}",
            f"{level.rows_per_s:.1f}",
            f"{level.requests_per_s:.1f}",
            f"{level.latency.mean_ms:.2f}",
            *(f"{level.latency.at(p):.2f}" for p in PERCENTILES),
            f"{level.lag_p99_ms:.2f}",
            f"{100 * level.cpu_s['client'] / level.seconds:.1f} %",
            *((f"{level.goodput:.1f}",) if level.goodput is not None else ()),
            f"{'no' if _shaky(level) else 'yes'} ({level.intervals})",
        )
    return table


def _servers_view(report: Report) -> Table:
    table = _table()
    heads = ("queue", "compute input", "compute infer", "compute output", "all of it", "outside", "batch")
    for head in (report.levels[0].mode, *heads):
        table.add_column(head, justify="right")
    for level in report.levels:
        side = report.whole_model(level)
        if side is not None:
            spans = (side.queue_us, side.compute_input_us, side.compute_infer_us, side.compute_output_us, side.total_us)
            outside_ms = max(0.0, level.latency.mean_ms - side.total_us / 1e3)
            cells = (*(f"{span / 1e3:.2f}" for span in spans), f"{outside_ms:.2f}", f"{side.batch:.1f}")
            table.add_row(f"{level.load:g}", *cells)
    return table


def _search_line(report: Report, limit_ms: float) -> Text:
    percentile = f"p{report.config.percent}"
    if not report.kept_rate:
        return Text(f"no rate kept {percentile} within {limit_ms:g} ms")
    rows = report.kept_rate * report.request_rows
    shaky = any(level.load == report.kept_rate and _shaky(level) for level in report.levels)
    found = f"{percentile} ≤ {limit_ms:g} ms up to {report.kept_rate:.2f} requests/s = {rows:.1f} rows/s"
    return Text(found + (", though that level was not stable" if shaky else ""))


def _comparison(comparison: Comparison) -> list[RenderableType]:
    table = _table()
    for head in ("round", "served", "bare", "served ÷ bare"):
        table.add_column(head, justify="right")
    for number, each in enumerate(comparison.rounds, start=1):
        table.add_row(str(number), f"{each.served:.1f}", f"{each.bare:.1f}", f"{each.ratio:.3f}")
    ratios = sorted(each.ratio for each in comparison.rounds)
    return [
        Text(
            f"served against ONNX Runtime in process ({comparison.engine}), alternating; rows/s at "
            f"concurrency {comparison.concurrency}, {comparison.request_rows} rows a request"
        ),
        table,
        Text(f"served ÷ bare: median {comparison.median:.3f}, {ratios[0]:.3f} to {ratios[-1]:.3f}", style="bold"),
        Text(f"CPU ms per row, medians: {_cpu_text(comparison)}"),
        Text("ways of the bare engine tried, rows/s: " + ", ".join(f"{e} {rate:.0f}" for e, rate in comparison.tried)),
    ]


def _cpu_text(comparison: Comparison) -> str:
    def middle(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    names = comparison.rounds[0].served_cpu_ms
    served = {name: middle([each.served_cpu_ms.get(name, 0.0) for each in comparison.rounds]) for name in names}
    shares = ", ".join(f"{name} {ms:.3f}" for name, ms in served.items() if ms >= 0.0005)
    bare = middle([each.bare_cpu_ms for each in comparison.rounds])
    return f"bare {bare:.3f}; served {sum(served.values()):.3f} = {shares}"


def _shaky(level: Level) -> bool:
    return not level.verdict.stable


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)
