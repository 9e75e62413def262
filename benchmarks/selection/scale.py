"""How long commands take at ImageNet's size, as whole commands: selections of a synthetic store, and the start of a run.

Owns these measurements. Must not know how data and store are made (scale_data.py). Seconds are those of the whole process,
memory is its largest resident set, both as the kernel counts them (what /usr/bin/time shows). An earlier commit may be measured
beside it, on the same store: `--before TREE`, a checkout of it.

    python -m benchmarks.selection.scale select --folder runs/scale/full
    python -m benchmarks.selection.scale start --folder runs/scale
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.scenes.items import CLASS_NAMES
from benchmarks.selection.scale_data import (
    IMAGENET_CLASSES,
    IMAGENET_IMAGES,
    Size,
    class_name,
    write_folders,
    write_shards,
    write_store,
    write_tar,
)
from selector.errors import SelectorError

_TREE = Path(__file__).parents[2]
_REPEATS = 3
_ROWS = re.compile(r"^selector_client_(?:in_flight|rows_total) (\d+)", re.MULTILINE)


def command(tree: Path, *arguments: str) -> tuple[float, float]:
    """Seconds and MB of `selector ...` of a tree; raises SelectorError if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "selector", *arguments],
        cwd=tree,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SelectorError(f"selector {' '.join(arguments)} in {tree} ended with {os.waitstatus_to_exitcode(status)}")
    return seconds, used.ru_maxrss / 1000


def selections(tree: Path, store: Path, out: Path, budgets: Sequence[int]) -> dict[str, Any]:
    """The first selection after scoring, and the median of further ones: seconds and MB of whole commands."""
    first, *further = [
        command(tree, "select", "--store", str(store), "--ipc", str(ipc), "--out", str(out)) for ipc in budgets
    ]
    seconds, megabytes = zip(*further, strict=True)
    return {
        "first_seconds": round(first[0], 1),
        "first_mb": round(first[1]),
        "further_seconds": round(statistics.median(seconds), 2),
        "further_mb": round(max(megabytes)),
    }


def per_image(store: Path, images: int) -> dict[str, float]:
    """What a store holds for every image, in bytes on disk: what would grow with twelve million."""
    files = {"listing": ["listing.parquet"], "summaries": ["images/summary.parquet", "patches/summary.parquet"]}
    found = {name: sum((store / path).stat().st_size for path in paths) for name, paths in files.items()}
    found["orders"] = sum(path.stat().st_size for path in (store / "orders").glob("order-*"))
    return {name: round(count / images, 1) for name, count in found.items()}


def first_row(arguments: Sequence[str], patience_s: float = 600) -> float:
    """Seconds from the start of `selector ...` until a server was sent the first row; the command is ended then."""
    environment = {**os.environ, "PYTHONPATH": str(_TREE)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "selector", *arguments, "--metrics-address", "0"],
        cwd=_TREE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        url = next(match[1] for line in process.stderr if (match := re.search(r"metrics of this run: (\S+)", line)))
        while time.perf_counter() - started < patience_s:
            with urllib.request.urlopen(url) as answer:
                if any(int(count) for count in _ROWS.findall(answer.read().decode())):
                    return time.perf_counter() - started
            time.sleep(0.02)
    except StopIteration:
        raise SelectorError(f"selector {' '.join(arguments)} ended before a row was sent") from None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
    raise SelectorError(f"no row was sent in {patience_s} s")


@click.group()
def main() -> None:
    """Measure whole commands at ImageNet's size."""


_folder = click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="Where data and store are made."
)
_classes = click.option(
    "--classes", default=IMAGENET_CLASSES, show_default=True, help="Classes; of ImageNet's images a share."
)


@main.command()
@_folder
@_classes
@click.option("--shards/--tar", default=True, show_default=True, help="A tar for every class, or one of all.")
@click.option("--width", default=640, show_default=True, help="Numbers of a feature.")
@click.option(
    "--before", type=click.Path(path_type=Path, exists=True), help="Checkout of an earlier commit to compare."
)
def select(folder: Path, classes: int, shards: bool, width: int, before: Path | None) -> None:
    """Selections from a store, and what it holds for every image."""
    size = Size(classes, IMAGENET_IMAGES * classes // IMAGENET_CLASSES, width)
    data, store = folder / ("shards" if shards else "data.tar"), folder / "store"
    if not data.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_shards(data, size) if shards else write_tar(data, size, range(classes))
    if not (store / "data.json").exists():
        write_store(store, data, size)
    budgets = [10, *range(11, 11 + _REPEATS)]
    found: dict[str, Any] = {"images": size.images, "classes": classes, "width": width}
    found |= selections(_TREE, store, folder / "out", budgets)
    if before is not None:
        found["before"] = selections(before.resolve(), store, folder / "before", budgets)
        found["times_faster"] = round(found["before"]["further_seconds"] / found["further_seconds"], 1)
        found["share_of_memory"] = round(found["further_mb"] / found["before"]["further_mb"], 2)
    found["bytes_per_image"] = per_image(store, size.images)
    click.echo(json.dumps(found, indent=1))


@main.command()
@_folder
@_classes
def start(folder: Path, classes: int) -> None:
    """The start of a run on as many files in folders: until a server is sent the first row, twice."""
    size = Size(classes, IMAGENET_IMAGES * classes // IMAGENET_CLASSES, 0)
    data, store, names = folder / "folders", folder / "start", folder / "names.tsv"
    if not data.exists():
        write_folders(data, size)
    shutil.rmtree(store, ignore_errors=True)
    lines = [f"{class_name(number)}\t{CLASS_NAMES[number % len(CLASS_NAMES)]}\n" for number in range(classes)]
    names.write_text("".join(lines))
    arguments = ["score", str(data), "--store", str(store), "--class-names", str(names)]
    seconds = [round(first_row(arguments), 1) for _ in range(2)]
    click.echo(json.dumps({"images": size.images, "first_seconds": seconds[0], "second_seconds": seconds[1]}, indent=1))


if __name__ == "__main__":
    main()
