"""Windows of one size against windows of several, on scenes whose items are all of one size and on scenes of mixed ones.

Owns this comparison and its table (docs/decisions/015-windows.md). Settings are the repository's; nothing is chosen here. Must
not know the store or the selection. Answers are kept in pieces, so that a measurement that was stopped goes on.

    python -m benchmarks.localisation.scale_table --maps runs/results/scales
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.localisation.maps import collect
from benchmarks.localisation.pointing import Localisation, boxes_of_maps, localise_boxes
from benchmarks.localisation.quality import interval, with_interval
from benchmarks.scenes.generator import make_scenes
from benchmarks.scenes.items import SOURCE, read_items
from benchmarks.scenes.scenes import Scenes
from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.builtin import builtin_repository
from selector.localisation.centring import CENTRINGS, NONE
from selector.localisation.choice import WindowSetting, setting_of
from selector.localisation.typicality import reduce_deltas, rule
from selector.records import Box

VARIANTS = {"one size": "scenes", "mixed sizes": "mixed-items"}


def rows(name: str, scenes: Scenes, boxes: dict[str, list[Box]]) -> list[str]:
    """Table rows of one kind of scenes; `boxes` by the name of the windows, the first being what others are compared with."""
    found = {windows: localise_boxes(own, scenes) for windows, own in boxes.items()}
    first = next(iter(found.values()))
    lines = []
    for windows, one in found.items():
        cells = [name, windows, *_measured(one)]
        cells += ["", ""] if one is first else [_lead(one.hits, first.hits), _lead(one.iou, first.iou)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _name(setting: WindowSetting) -> str:
    return ", ".join(map(str, setting.sides)) + (" px" if setting.centring == NONE else " px, centred")


def _measured(found: Localisation) -> tuple[str, ...]:
    decoys = found.hits[found.decoys]
    return tuple(with_interval(values) for values in (found.hits, decoys, found.iou))


def _lead(ours: NDArray[np.floating | np.bool_], theirs: NDArray[np.floating | np.bool_]) -> str:
    apart = ours.astype(np.float64) - theirs
    low, high = interval(apart)
    return f"{apart.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


HEAD = (
    "| items | windows | pointing | pointing, decoys | mean IoU | pointing, lead over one size | IoU, lead |\n"
    "|---|---|---|---|---|---|---|"
)


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--patch-fraction", default="0.3125,0.4375,0.5625", show_default=True, help="The several sizes.")
@click.option(
    "--per-class", type=int, default=200, show_default=True, help="Scenes of a class and kind, half with decoys."
)
@click.option("--draws", type=int, default=12, show_default=True)
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("--items", "item_range", default="0:", show_default=True, help="START:STOP, items of the split to use.")
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), default=SOURCE, show_default=True)
@click.option("--maps", type=click.Path(path_type=Path), required=True, help="Folder that keeps answers.")
def main(
    repository: Path,
    patch_fraction: str,
    per_class: int,
    draws: int,
    split: str,
    item_range: str,
    seed: int,
    source: Path,
    maps: Path,
) -> None:
    """Compare windows of one size with windows of several and print a Markdown table."""
    identity = read_identity(repository)
    several = tuple(float(part) for part in patch_fraction.split(","))
    used = rule(identity.rule)
    weights = used.weights(np.asarray(identity.timestep_weights[:draws], np.float32))
    start, _, stop = item_range.partition(":")
    items = read_items(split, source)
    items = items.between(int(start or 0), int(stop or len(items.labels)))
    click.echo(HEAD)
    with EmbeddedServer(repository, threads=1) as server:
        for name, variant in VARIANTS.items():
            scenes = make_scenes(items, per_class, seed, variant)
            images = scenes.canvases
            folder = maps / f"{identity.pipeline}-{variant}-{split}-{seed}-{per_class}-{draws}"
            kinds = {used.reference: used.references}
            found = asyncio.run(collect(server.grpc_url, images, scenes.labels, draws, kinds, folder))
            means = [reduce_deltas(image, weights) for image in found.deltas[used.reference]]
            for centring in CENTRINGS:
                settings = [setting_of(identity, fractions=each, centring=centring) for each in ((), several)]
                boxes = {_name(setting): boxes_of_maps(means, scenes, setting) for setting in settings}
                click.echo("\n".join(rows(name, scenes, boxes)))


if __name__ == "__main__":
    main()
