"""The frontier of localisation over UNet rows: every rule at several numbers of draws, for one or several pipelines.

Owns the tables and the figure. Must not know how scores come about (quality.py measures). Scenes are those
of `make quality`; pieces of answers are kept, so that the measurement goes on where it was stopped.

    python -m benchmarks.localisation.frontier --pipeline "seed 1=model_repository" --maps runs/results/frontier
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.localisation.intervals import interval
from benchmarks.localisation.quality import Measured, make_test_scenes, measure
from benchmarks.scenes.items import SOURCE
from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.builtin import builtin_repository
from selector.curves import Curve, drawn


def tables(measured: Mapping[str, Sequence[Measured]]) -> str:
    """Pointing overall and with decoys, one table per pipeline and view; rows are rules, columns UNet rows."""
    parts = []
    for name, found in measured.items():
        for view in ("all scenes", "scenes with a decoy"):
            parts.append(f"Pointing, {name}, {view}:\n\n{_table(found, decoys=view != 'all scenes')}")
    return "\n\n".join(parts)


def _table(found: Sequence[Measured], decoys: bool) -> str:
    counts = sorted({one.unet_rows for one in found} - {0})
    lines = [f"| Rule | {' | '.join(f'{count} rows' for count in counts)} |", "|---" * (1 + len(counts)) + "|"]
    for rule in dict.fromkeys(one.rule for one in found):
        own = {one.unet_rows: _cell(_hits(one, decoys)) for one in found if one.rule == rule}
        lines.append(f"| {rule} | {' | '.join(own.get(count, own.get(0, '')) for count in counts)} |")
    return "\n".join(lines)


def _hits(one: Measured, decoys: bool) -> NDArray[np.bool_]:
    return one.found.hits[one.found.decoys] if decoys else one.found.hits


def _cell(hits: NDArray[np.bool_]) -> str:
    low, high = interval(hits)
    return f"{hits.mean():.3f} [{low:.3f}, {high:.3f}]".replace("0.", ".")


def figure(measured: Mapping[str, Sequence[Measured]], title: str) -> str:
    """Pointing on scenes with a decoy over UNet rows as an SVG document; bands are 95 % bootstrap intervals.

    Of one pipeline every rule is drawn, of several the null rule and the default one, centred.
    """
    curves = []
    for name, found in measured.items():
        for rule in dict.fromkeys(one.rule for one in found if one.unet_rows):
            if len(measured) > 1 and not (rule == "null" or rule.endswith(", centred")):
                continue
            own = [(one.unet_rows, _hits(one, True)) for one in found if one.rule == rule and one.unet_rows]
            low, high = zip(*(interval(hits) for _, hits in own), strict=True)
            rows, means = [rows for rows, _ in own], [float(hits.mean()) for _, hits in own]
            curves.append(Curve(f"{rule}\n{name}" if len(measured) > 1 else rule, rows, means, low, high))
    return drawn(curves, title, "UNet rows")


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.rpartition("=")
    return name or Path(path).name, Path(path)


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, help="NAME=REPOSITORY; several for several training seeds.")
@click.option("--scenes", "count", type=int, default=2000, show_default=True, help="Scenes; half of them have decoys.")
@click.option("--draws", default="1,2,4,8,12,16,32,64", show_default=True, help="Draws per image.")
@click.option("--rule", "rules", multiple=True, help="Only these rules in the tables, such as null; default: all.")
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), default=SOURCE, show_default=True)
@click.option("--maps", type=click.Path(path_type=Path), required=True, help="Folder of answers, one below it a model.")
@click.option("--figure", "drawing", type=click.Path(path_type=Path), help="Write a figure (SVG).")
def main(
    pipelines: tuple[str, ...],
    count: int,
    draws: str,
    rules: tuple[str, ...],
    split: str,
    seed: int,
    source: Path,
    maps: Path,
    drawing: Path | None,
) -> None:
    """Measure localisation over UNet rows and print Markdown tables."""
    scenes = make_test_scenes(count, split, seed, source)
    counts = [int(part) for part in draws.split(",")]
    found: dict[str, list[Measured]] = {}
    for text in pipelines or (f"built-in={builtin_repository()}",):
        name, repository = _named(text)
        folder = maps / f"{read_identity(repository).pipeline}-{split}-{seed}-{count}-{max(counts)}"
        click.echo(f"{name}: {2 * 2 * count * max(counts)} UNet rows, kept in {folder}", file=sys.stderr)
        with EmbeddedServer(repository, threads=1) as server:
            made = measure(server.grpc_url, scenes, counts, folder)
            found[name] = [one for one in made if not rules or one.rule in rules]
    click.echo(f"{len(scenes.images)} scenes of the {split} split, {int(scenes.decoys.sum())} with a decoy.\n")
    click.echo(tables(found))
    if drawing:
        drawing.write_text(figure(found, "Pointing on scenes with a decoy"))


if __name__ == "__main__":
    main()
