"""Without labels against true labels: how often the class is right, what that costs, and what the picks are.

The scenes of `make quality` are scored by `selector run`, once by their labels and once for every budget without them, into
stores that are kept: what was stopped goes on. Settings are the defaults; nothing is chosen here
(docs/decisions/018-unlabelled.md).

    python -m benchmarks.localisation.unlabelled --out runs/results/unlabelled
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.localisation.intervals import with_interval
from benchmarks.localisation.quality import make_test_scenes
from benchmarks.scenes.items import CLASS_NAMES, SOURCE
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.tar import write_tar
from client.embedded.server import EmbeddedServer
from selector.builtin import builtin_repository
from selector.config import ScoreConfig, SelectConfig
from selector.output.folder import SELECTION_FILE
from selector.progress import Progress
from selector.records import Box
from selector.run import run
from selector.scoring.settings import ASSIGN_DRAWS, ASSIGN_MOST
from selector.store.store import Store

IPC = 10
SURE = 0.2
"""The share of images with the least margins that the last accuracy goes without."""
_EDGES = ("top", "left", "height", "width")
_COLUMNS = ["source", "class_id", "status", "assigned_margin", "assigned_unet_rows", *(f"window_{e}" for e in _EDGES)]


@dataclass(frozen=True)
class Truth:
    """Of every scene, by its source: class_id and the box of its item."""

    class_id: Mapping[str, int]
    box: Mapping[str, Box]

    @classmethod
    def of(cls, scenes: Scenes) -> Truth:
        """By the names that `write_tar` gives."""
        sources, seen = [], dict.fromkeys(range(len(CLASS_NAMES)), 0)
        for label in scenes.labels.tolist():
            sources.append(f"{CLASS_NAMES[label]}/{seen[label]:05d}.png")
            seen[label] += 1
        return cls(
            dict(zip(sources, scenes.labels.tolist(), strict=True)), dict(zip(sources, scenes.boxes, strict=True))
        )


def table_row(name: str, images: list[dict[str, Any]], picks: list[dict[str, Any]], truth: Truth) -> str:
    """A row of the table. images: of stage I. picks: of selection.parquet."""
    right = _right(images, truth)
    points = [Box(*(i[f"window_{e}"][0] for e in _EDGES)).points_at(truth.box[i["source"]]) for i in images if _used(i)]
    pure = _right(picks, truth)
    pointed = [Box(*(pick[e] for e in _EDGES)).points_at(truth.box[pick["source"]]) for pick in picks]
    cells = [name, *["—"] * 3, *map(with_interval, (np.array(points), pure, np.array(pointed)))]
    if images[0]["assigned_margin"] is not None:
        margins = np.array([image["assigned_margin"] for image in images])
        sure = right[margins >= np.quantile(margins, SURE)]
        cost = np.mean([image["assigned_unet_rows"] for image in images])
        cells[1:4] = [f"{cost:.1f}", with_interval(right), with_interval(sure)]
    return f"| {' | '.join(cells)} |"


def _used(image: Mapping[str, Any]) -> bool:
    return image["status"] == "ok"


def _right(rows: list[dict[str, Any]], truth: Truth) -> NDArray[np.bool_]:
    return np.array([row["class_id"] == truth.class_id[row["source"]] for row in rows], np.bool_)


HEAD = (
    "| Classes by | UNet rows for the class | accuracy | … of the surer 80 % | pointing, images used | picks of the right class "
    "| picks, pointing |\n|---|---:|---:|---:|---:|---:|---:|"
)


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--scenes", "count", type=int, default=2000, show_default=True, help="Scenes; half of them have decoys.")
@click.option(
    "--budgets", default=f"1:8,2:16,{ASSIGN_DRAWS}:{ASSIGN_MOST}", show_default=True, help="FIRST:MOST draws."
)
@click.option("--min-margin", default=0.0002, show_default=True, help="Of the last row, by the default budget.")
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), default=SOURCE, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder that keeps the stores.")
def main(
    repository: Path, count: int, budgets: str, min_margin: float, split: str, seed: int, source: Path, out: Path
) -> None:
    """Compare assigned classes with true ones and print a Markdown table."""
    scenes, data = make_test_scenes(count, split, seed, source), out / f"{split}-{seed}-{count}.tar"
    if not data.exists():
        write_tar(scenes, data)
    default = f"{ASSIGN_DRAWS}:{ASSIGN_MOST}"
    asked: dict[str, dict[str, Any]] = {"true labels": {}}
    for budget in budgets.split(","):
        first, most = map(int, budget.split(":"))
        name = f"the model, {first} to {most} draws" + (", the default" if budget == default else "")
        asked[name] = {"unlabelled": True, "assign_draws": first, "assign_most": most}
    asked[f"… --min-margin {min_margin:g}"] = {"unlabelled": True, "min_margin": min_margin}
    click.echo(HEAD)
    with EmbeddedServer(repository, threads=1) as server:
        for name, flags in asked.items():
            own = out / "-".join([data.stem, *(f"{key}={value:g}" for key, value in flags.items())])
            given = out / f"{data.stem}-unlabelled=1-assign_draws={ASSIGN_DRAWS}-assign_most={ASSIGN_MOST}"
            if "min_margin" in flags and given.exists() and not own.exists():
                shutil.copytree(given / "store", own / "store")
            scoring = ScoreConfig(data, own / "store", repository, servers=(server.grpc_url,), **flags)
            run(scoring, SelectConfig(IPC, own, on_short="all"), Progress())
            picks = pq.read_table(own / f"ipc-{IPC}" / SELECTION_FILE).to_pylist()
            click.echo(
                table_row(name, Store.open(own / "store").images(*_COLUMNS).to_pylist(), picks, Truth.of(scenes))
            )


if __name__ == "__main__":
    main()
