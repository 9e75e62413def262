"""Localisation against true boxes: the quality gate and the table of `make quality`.

Owns the measurement: scenes with boxes → rows through the embedded server → one best window per image and rule → pointing
and IoU with bootstrap intervals. Settings come from the repository; nothing is tuned here. *Pointing* is the share of
images whose chosen window has its centre in the true box. Must not know the store or the selection.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.localisation.intervals import interval
from benchmarks.localisation.maps import collect, folder_of
from benchmarks.localisation.pointing import Localisation, localise, localise_maps
from benchmarks.scenes.scenes import Scenes
from benchmarks.scenes.worlds import SPLITS, WORLDS, draw_scenes
from client.contract import Identity
from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.builtin import builtin_repository
from selector.localisation.centring import CONTRAST, NONE
from selector.localisation.choice import setting_of
from selector.localisation.typicality import RULES, reduce_deltas
from selector.localisation.windows import WindowGrid, brightness_z, window_grid


@dataclass(frozen=True)
class Measured:
    """How one rule did, and what it cost. unet_rows: UNet evaluations per image."""

    rule: str
    unet_rows: int
    found: Localisation


def measure(server: str, scenes: Scenes, draws: Sequence[int], maps: Path | None = None) -> list[Measured]:
    """Every rule at every number of draws on every scene, and the repository's own with its windows centred.

    Fewer draws are a prefix of more, of the same answers.

    maps: a folder that keeps the answers by pieces, so that a measurement that was stopped goes on.
    """
    images = scenes.canvases
    kinds = {kind: RULES[kind].references for kind in ("null", "rotating")}
    found = asyncio.run(collect(server, images, scenes.labels, max(draws), kinds, maps))
    grid = canvas_grid(found.identity)
    bright = np.stack([brightness_z(image, grid) for image in images])
    drawn = np.random.default_rng(0).random(bright.shape)
    measured = [
        Measured("random window", 0, localise(drawn, grid, scenes)),
        Measured("brightest window", 0, localise(bright, grid, scenes)),
    ]
    if scenes.images.ndim == 4:
        saturated = np.stack([saturation_z(image, grid) for image in images])
        measured.append(Measured("most saturated window", 0, localise(saturated, grid, scenes)))
    centred: list[Measured] = []
    for name, rule in RULES.items():
        for count in draws:
            given = [found.identity.timestep_weights[draw] for draw in found.identity.taken(count)]
            weights = rule.weights(np.asarray(given, np.float32))
            means = [reduce_deltas(image[:count], weights) for image in found.deltas[rule.reference]]
            still = setting_of(found.identity, rule_name=name, centring=NONE)
            measured.append(Measured(name, 2 * count, localise_maps(means, scenes, still)))
            if name == found.identity.rule:
                moved = localise_maps(means, scenes, replace(still, centring=CONTRAST))
                centred.append(Measured(setting(name, CONTRAST), 2 * count, moved))
    return measured + centred


def refuse_other_classes(identity: Identity, world: str) -> None:
    """Raises ClickException for a repository that was not made for the world's classes."""
    if tuple(identity.classes) != WORLDS[world].class_names:
        raise click.ClickException(
            f"the repository's classes are {', '.join(identity.classes)}; the world {world!r} has "
            f"{', '.join(WORLDS[world].class_names)}: name a repository of these (--repository), or another --world"
        )


def setting(rule: str, centring: str) -> str:
    """The name of a rule with a centring."""
    return rule if centring == NONE else f"{rule}, centred"


def canvas_grid(identity: Identity) -> WindowGrid:
    """The windows of a whole canvas by a repository's own settings."""
    own = setting_of(identity)
    return window_grid(identity.resolution, own.middle_px, own.stride_px)


def make_test_scenes(count: int, split: str, seed: int, source: Path) -> Scenes:
    """`count` grey scenes of a split, every second one with a decoy; raises ClickException where the data set is missing."""
    return draw_scenes("grey", split, count // len(WORLDS["grey"].class_names), seed, source).scenes


def saturation_z(image: NDArray[np.uint8], grid: WindowGrid) -> NDArray[np.float32]:
    """Z-scores of the windows' saturation (HSV), of a canvas uint8 [S, S, 3]."""
    saturation = np.asarray(Image.fromarray(image).convert("HSV"))[..., 1:2]
    return brightness_z(np.repeat(saturation, 3, axis=-1), grid)


def summary(measured: list[Measured], items: NDArray[np.int64]) -> list[dict[str, object]]:
    """One row per rule: pointing with intervals, overall and on decoy scenes, and the paired lead over the brightest.

    items: which item each scene shows; intervals resample items.
    """
    brightest = next(m.found for m in measured if m.rule == "brightest window")
    rows: list[dict[str, object]] = []
    for each in measured:
        found = each.found
        lead = found.hits[found.decoys].astype(float) - brightest.hits[found.decoys]
        rows.append(
            {
                "rule": each.rule,
                "unet_rows": each.unet_rows,
                "pointing": found.pointing,
                "pointing_interval": interval(found.hits, items),
                "mean_iou": found.mean_iou,
                "pointing_decoys": found.pointing_decoys,
                "pointing_decoys_interval": interval(found.hits[found.decoys], items[found.decoys]),
                "lead_on_decoys": lead.mean(),
                "lead_on_decoys_interval": interval(lead, items[found.decoys]),
            }
        )
    return rows


def markdown(rows: list[dict[str, object]], default: str) -> str:
    """The rows as a Markdown table; the repository's own setting is marked."""
    lines = [
        "| rule | UNet rows | pointing | mean IoU | pointing, decoys | lead over brightest, decoys |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        name = f"**{row['rule']}**" if row["rule"] == default else row["rule"]
        pointing, decoys, lead = (_with_interval(row, key) for key in ("pointing", "pointing_decoys", "lead_on_decoys"))
        lines.append(f"| {name} | {row['unet_rows']} | {pointing} | {row['mean_iou']:.3f} | {decoys} | {lead} |")
    return "\n".join(lines)


def _with_interval(row: dict[str, object], key: str) -> str:
    low, high = row[f"{key}_interval"]  # type: ignore[misc]
    return f"{row[key]:.3f} [{low:.3f}, {high:.3f}]"


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--scenes", "count", type=int, default=2000, show_default=True, help="Scenes; half of them have decoys.")
@click.option(
    "--draws", default="2,4,12", show_default=True, help="Draws per image, or several: 1,2,4,8; each is two UNet rows."
)
@click.option("--world", type=click.Choice(list(WORLDS)), default="grey", show_default=True, help="Kind of scenes.")
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), help="Folder of the world's files; default: its package's.")
@click.option("--maps", type=click.Path(path_type=Path), help="Folder that keeps answers.")
@click.option("--json", "as_json", is_flag=True)
def main(
    repository: Path,
    count: int,
    draws: str,
    world: str,
    split: str,
    seed: int,
    source: Path | None,
    maps: Path | None,
    as_json: bool,
) -> None:
    """Measures localisation of every scoring rule on scenes with known boxes."""
    identity, counts = read_identity(repository), [int(part) for part in draws.split(",")]
    refuse_other_classes(identity, world)
    per_class = count // len(WORLDS[world].class_names)
    drawn = draw_scenes(world, split, per_class, seed, source)
    scenes = drawn.scenes
    folder = folder_of(maps, identity, f"scenes-{split}-{seed}-{per_class}", max(counts)) if maps else None
    with EmbeddedServer(repository) as server:
        found = measure(server.grpc_url, scenes, counts, folder)
    rows = summary(found, drawn.items)
    if as_json:
        print(json.dumps(rows, indent=2, default=float))
        return
    print(
        f"{len(scenes.images)} scenes of the {split} split, {int(scenes.decoys.sum())} with decoys; intervals: 95 %\n"
    )
    print(markdown(rows, setting(identity.rule, identity.centring)))


if __name__ == "__main__":
    main()
