"""A full-size model on the way of a GPU user, on this machine: does it end with picks, and what does every step take?

    python -m benchmarks.export.rehearsal sd15 --precision fp16 --out runs/rehearsals/sd15

Owns the steps and their table: random weights of the published architecture, `selector export` with gates at reduced
resolution and a TensorRT-RTX preflight, then `selector run` on a handful of images of two classes, served by the embedded server.
Needs no download and no GPU. Scores of random weights mean nothing. Every step is a process of its own, so that peaks of memory
are its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import psutil
from PIL import Image

from benchmarks.export.architectures import ARCHITECTURES, MODELS, Architecture
from benchmarks.export.tables import files_table, steps_table
from benchmarks.export.watch import Watched, watch
from client import contract
from export_scripts.pipelines.known_fields import PIPELINES
from export_scripts.settings import FP16, PRECISIONS

CLASSES = ("tench", "English springer")
IMAGES, DRAWS, IPC = 3, 2, 1
ROWS = 8  # of a request on the GPU
SEED = 0
# Measured: a rehearsal of sd15 peaks at 4.8 times its UNet's float32 weights in fp16; in fp32, before golden rows, at 3.4 times.
PEAK_OF_WEIGHTS = {"fp32": 3.4, "fp16": 4.8}
DISK_OF_WEIGHTS = 5  # pipeline, the gates' copy, two graphs and two engines


class Stopped(click.ClickException):
    """Why a rehearsal can't go on here."""


def memory_needed(architecture: Architecture, precision: str) -> int:
    """Bytes that the export takes at its peak, estimated by the denoiser's parameters."""
    return round(PEAK_OF_WEIGHTS[precision] * 4 * architecture.parameters())


def obstacle(name: str, architecture: Architecture, precision: str, folder: Path) -> str | None:
    """Why the model stops before its export on this machine, with the numbers; None if nothing is in the way."""
    if architecture.kind not in PIPELINES:
        return f"{name} stops before its export: selector export does not read a {architecture.kind} yet"
    count = architecture.parameters()
    memory, disk = psutil.virtual_memory().available, shutil.disk_usage(folder).free
    for what, needed, free in (
        ("memory", memory_needed(architecture, precision), memory),
        ("disk", DISK_OF_WEIGHTS * 4 * count, disk),
    ):
        if needed > free:
            takes = f"{needed / 1e9:.0f} GB of {what} ({count / 1e6:,.0f} M parameters in {precision})"
            return f"{name} stops before its export: it takes about {takes}, and {free / 1e9:.0f} are free"
    return None


def write_images(folder: Path, names: Sequence[str], side: int) -> None:
    """A few images of coloured noise for every class, as class folders."""
    rng = np.random.default_rng(SEED)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(IMAGES):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
            coarse.resize((side * 5 // 4, side), Image.Resampling.BICUBIC).save(folder / name / f"{number}.png")


def done_by(what: str, module: str, *arguments: object) -> Watched:
    """Runs a Python module to its end, and watches the stubs that serve leaves. Raises Stopped if it fails."""
    done = watch([sys.executable, "-m", module, *map(str, arguments)], contract.LEAVES)
    if done.code:
        raise Stopped(f"{what} ended with code {done.code}; its reason stands above")
    return done


def rehearse(name: str, folder: Path, precision: str, capabilities: str) -> str:
    """All steps; returns their table in Markdown. Raises Stopped where one fails."""
    architecture = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    if told := obstacle(name, architecture, precision, folder):
        raise Stopped(told)
    pipeline, classes, images, out = (folder / part for part in ("pipeline", "classes.txt", "images", "out"))
    repository = folder / "repository"
    for earlier in (repository, images, out):
        shutil.rmtree(earlier, ignore_errors=True)
    listed = [str(label) for label in range(1000)] if architecture.labels else CLASSES
    classes.write_text("".join(f"{line}\n" for line in listed), encoding="utf-8")
    write_images(images, listed[:2], architecture.resolution)

    written = done_by("writing the pipeline", "benchmarks.export.architectures", name, pipeline)
    exporting = ("--classes", classes, "--out", repository, "--precision", precision, "--max-batch", ROWS, "--json")
    gates = ("--gate-resolution", architecture.gate_resolution, "--no-served-gate")
    engines = ("--runtime", "tensorrt-rtx", "--compute-capability", capabilities)
    exported = done_by("the export", "export_scripts.command", pipeline, *exporting, *gates, *engines)
    budget = ("--ipc", IPC, "--draws", DRAWS, "--json")
    ran = done_by("the run", "selector.cli", "run", images, "--repository", repository, "--out", out, *budget)

    manifest = json.loads((out / f"ipc-{IPC}" / "manifest.json").read_text())
    if manifest["counts"]["picked"] != 2 * IPC:
        raise Stopped(f"the run ended with {manifest['counts']}, not with {IPC} picks of each of two classes")
    head = (
        f"{architecture.parameters() / 1e6:,.0f} M parameters, {precision}, {architecture.resolution} px; {_machine()}."
    )
    return "\n\n".join((head, steps_table(written, exported, ran, manifest), files_table(repository)))


def models_table(precision: str) -> str:
    """A row for every model: what its export takes, and whether it goes here."""
    rows = [f"| MODEL | Parameters: M | Memory in {precision}: GB | On {_machine()} |", "|---|---|---|---|"]
    for name, architecture in ARCHITECTURES.items():
        told = obstacle(name, architecture, precision, Path()) or "goes"
        needed = f"{memory_needed(architecture, precision) / 1e9:.0f}"
        rows.append(f"| {name} | {architecture.parameters() / 1e6:,.0f} | {needed} | {told.removeprefix(f'{name} ')} |")
    return "\n".join(rows)


def _machine() -> str:
    cores, memory = len(os.sched_getaffinity(0)), psutil.virtual_memory().total / 1e9
    return f"{cores} cores and {memory:.0f} GB of memory, no GPU"


@click.command()
@click.argument("name", metavar="MODEL", type=click.Choice(tuple(MODELS)), required=False)
@click.option("--precision", type=click.Choice(PRECISIONS), default=FP16, show_default=True)
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="Where everything goes.  [default: runs/rehearsals/MODEL]"
)
@click.option(
    "--compute-capability", "capabilities", default="8.9", show_default=True, help="GPUs of preflighted engines."
)
def main(name: str | None, precision: str, folder: Path | None, capabilities: str) -> None:
    """Rehearse MODEL at full size, and print its table; without a MODEL: what each one takes."""
    if name is None:
        print(models_table(precision))
        return
    table = rehearse(name, folder or Path("runs/rehearsals") / name, precision, capabilities)
    print(table, flush=True)


if __name__ == "__main__":
    main()
