"""Whether as many rows as ImageNet has images leave memory, files and sockets where they were: parts against one real server.

    python -m benchmarks.clusters.soak --folder runs/soak --rows 1281167 > runs/results/soak.md

Owns this measurement. Images are small PNGs in a tar for every class (scale_data.py), the server's models compute next to nothing
(stub.py), so that rows are many: those of every draw, one of the encoder and one of the features for each image. Every process is
looked at all the time: resident memory, open files and sockets. A process passes whose memory after the first tenth of all
commits rises by less than a twentieth.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import click
import psutil

from benchmarks.clusters.stub import DRAWS, write_stub
from benchmarks.selection.scale_data import IMAGENET_CLASSES, IMAGENET_IMAGES, Size, class_name, write_shards
from client.embedded.server import EmbeddedServer

_SHARD = 256
_PIECES = 20
"""Memory at the tenth and at the end is the median of a twentieth of what was seen after the tenth."""


@dataclass(frozen=True)
class Sample:
    """One process at one moment. share: of all commits that were made. open: files, sockets and pipes."""

    name: str
    pid: int
    share: float
    seconds: float
    megabytes: float
    open: int
    sockets: int


class Watch:
    """Samples of the processes below some, by name, and of how far the store is."""

    def __init__(self, roots: dict[str, int], store: Path, commits: int) -> None:
        self.samples: list[Sample] = []
        self._roots, self._store, self._commits = roots, store, commits
        self._began = time.monotonic()

    def look(self) -> float:
        """Adds one sample of every process; returns the share of commits."""
        share = sum(1 for folder in ("images", "patches") for _ in (self._store / folder).glob("0*.parquet"))
        for name, pid in self._roots.items():
            with suppress(psutil.NoSuchProcess):
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    self._add(name, process, share / self._commits)
        return share / self._commits

    def _add(self, name: str, process: psutil.Process, share: float) -> None:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied), process.oneshot():
            self.samples.append(
                Sample(
                    f"{name}: {_role(process.cmdline())}",
                    process.pid,
                    share,
                    time.monotonic() - self._began,
                    process.memory_info().rss / 1e6,
                    process.num_fds(),
                    len(process.net_connections()),
                )
            )


def _role(words: Sequence[str]) -> str:
    """What a process is, by its command line."""
    text = " ".join(words)
    for sign, role in (
        (
            "triton_python_backend_stub",
            "model " + next((w.split("/")[-3] for w in words if w.endswith("model.py")), ""),
        ),
        ("bin/tritonserver", "tritonserver"),
        ("supervisor.py", "supervisor"),
        ("forkserver", "decoder or its parent"),
        ("resource_tracker", "tracker"),
        ("selector", "selector"),
    ):
        if sign in text:
            return role
    return text[:40]


def table(samples: Sequence[Sample]) -> str:
    """One line for every process that was there from the first tenth to the end."""
    of: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        of[sample.name, sample.pid].append(sample)
    lines = [
        "| Process | MB at a tenth | MB at the end | Largest after the tenth | Open files, then | Sockets, then |",
        "|---|---|---|---|---|---|",
    ]
    for (name, _), seen in sorted(of.items()):
        after = [one for one in seen if one.share >= 0.1]
        if not after or seen[0].share >= 0.1 or after[-1].share < 0.9:
            continue
        few = max(1, len(after) // _PIECES)
        tenth, end = after[:few], after[-few:]
        mb = [statistics.median(one.megabytes for one in part) for part in (tenth, end)]
        most = max(one.megabytes for one in seen if one.share >= 0.1)
        open_files, sockets = (
            " → ".join(str(round(statistics.median(getattr(one, field) for one in part))) for part in (tenth, end))
            for field in ("open", "sockets")
        )
        rise = f"{100 * (mb[1] / mb[0] - 1):+.1f} %"
        lines.append(f"| {name} | {mb[0]:.0f} | {mb[1]:.0f} ({rise}) | {most:.0f} | {open_files} | {sockets} |")
    return "\n".join(lines)


def soak(folder: Path, size: Size, parts: int, pause_s: float, note: Callable[[str], None]) -> Watch:
    """Scores all images by so many parts; the store must not be there."""
    data, store = folder / "shards", folder / "store"
    names = tuple(class_name(number) for number in range(size.classes))
    if not data.exists():
        write_shards(data, size)
    if not (folder / "stub").exists():
        write_stub(folder / "stub", names, max_batch=64)
    with EmbeddedServer(folder / "stub", threads=1) as server:
        asked = ("score", str(data), "--store", str(store), "--draws", str(DRAWS), "--workers", "1", "--json")
        command = [sys.executable, "-m", "selector", *asked, "--shard-size", str(_SHARD), "--server", server.grpc_url]
        running = [
            subprocess.Popen([*command, "--part", f"{part + 1}/{parts}"], stdout=subprocess.DEVNULL)
            for part in range(parts)
        ]
        roots = {f"part {part + 1}": process.pid for part, process in enumerate(running)}
        supervisor = psutil.Process(server.pid).parent()
        assert supervisor is not None
        watch = Watch({**roots, "server": supervisor.pid}, store, 2 * -(-size.images // _SHARD))
        told = 0.0
        while any(process.poll() is None for process in running):
            share = watch.look()
            if share >= told + 0.05:
                told = share
                note(f"{share:.0%} of the commits after {watch.samples[-1].seconds:.0f} s")
            time.sleep(pause_s)
        ended = [process.returncode for process in running]
    note(f"parts ended with {ended}; left in work/: {len(list((store / 'work').iterdir()))} files")
    return watch


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where data and store are made.")
@click.option("--rows", default=IMAGENET_IMAGES, show_default=True)
@click.option("--parts", default=2, show_default=True)
@click.option("--pause-s", default=2.0, show_default=True, help="Between two looks.")
def main(folder: Path, rows: int, parts: int, pause_s: float) -> None:
    """Score many small images and watch every process."""
    folder.mkdir(parents=True, exist_ok=True)
    images = -(-rows // (DRAWS + 2))
    click.echo(f"{rows:,} rows of {images:,} images", err=True)
    watch = soak(folder, Size(IMAGENET_CLASSES, images, 0), parts, pause_s, lambda line: click.echo(line, err=True))
    with (folder / "samples.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample.__dataclass_fields__)
        writer.writerows(vars(one).values() for one in watch.samples)
    click.echo(table(watch.samples))


if __name__ == "__main__":
    main()
