"""Does the rule that decides about centring without true boxes (`selector calibrate`) decide as true boxes would?

Asked on scenes as they are, and on grey scenes whose pictures were spoilt: maps are those of the scenes as they were, only what
centring looks at is another picture, so centring does harm while the windows stay good. Pictures and tables
(docs/decisions/032-centring-without-boxes.md) are owned here, the rule is not.

    python -m benchmarks.localisation.centring_rule --maps runs/results/centring
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import click
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchmarks.localisation.intervals import interval
from benchmarks.localisation.maps import collect, folder_of
from benchmarks.localisation.pointing import localise_maps
from benchmarks.scenes.worlds import WORLDS, Drawn, draw_scenes
from client.contract import Identity
from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.builtin import builtin_repository
from selector.calibration.centring import halves, judged_centring
from selector.calibration.sample import Sampled
from selector.localisation.centring import CONTRAST, NONE
from selector.localisation.choice import setting_of
from selector.localisation.typicality import reduce_deltas, rule
from selector.records import Box

RULES = ("null", "rotating")
_BRIGHT = 230

Pictures = NDArray[np.uint8]
Spoilt = Callable[[Pictures, np.random.Generator], Pictures]


def _over(images: Pictures, ground: NDArray[np.floating]) -> Pictures:
    """The brighter of image and ground."""
    return np.maximum(images, np.clip(ground, 0, 255)).astype(np.uint8)


def _sky(images: Pictures, _draw: np.random.Generator) -> Pictures:
    side = images.shape[1]
    return _over(images, np.where(np.arange(side) < side // 3, _BRIGHT, 0)[None, :, None])


def _gradient(images: Pictures, _draw: np.random.Generator) -> Pictures:
    side = images.shape[1]
    return _over(images, (_BRIGHT * (1 - np.arange(side) / side))[None, :, None])


def _stripe(images: Pictures, draw: np.random.Generator) -> Pictures:
    side = images.shape[1]
    starts = draw.integers(0, side - 6, len(images))[:, None, None]
    columns = np.arange(side)[None, None]
    return _over(images, np.where((columns >= starts) & (columns < starts + 6), 255, 0))


def _texture(images: Pictures, draw: np.random.Generator, grain_px: float) -> NDArray[np.floating]:
    noise = gaussian_filter(draw.normal(size=images.shape), (0, grain_px, grain_px))
    textured: NDArray[np.floating] = 127 + 90 * noise / noise.std(axis=(1, 2), keepdims=True)
    return textured


SPOILT: Mapping[str, Spoilt] = MappingProxyType(
    {
        "a bright third above": _sky,
        "a gradient": _gradient,
        "a bright stripe": _stripe,
        "a fine texture": lambda images, draw: _over(images, _texture(images, draw, 2)),
        "a coarse texture": lambda images, draw: _over(images, _texture(images, draw, 8)),
        "a coarse texture alone": lambda images, draw: _over(np.zeros_like(images), _texture(images, draw, 8)),
        "another scene": lambda images, _draw: np.roll(images, len(images) // 2 + 1, axis=0),
    }
)
"""What grey scenes' pictures become, uint8 [n, S, S] each."""


def rows(name: str, drawn: Drawn, maps: Mapping[str, NDArray[np.float32]], identity: Identity) -> list[str]:
    """A row for each rule: what centring does to the overlap with true boxes, and what the rule says. maps: [n, draws, h, w]."""
    scenes, draws = drawn.scenes, next(iter(maps.values())).shape[1]
    given = np.asarray([identity.timestep_weights[draw] for draw in identity.taken(draws)], np.float32)
    whole = Box(0, 0, *scenes.images.shape[1:3])
    turns = [int(np.sum(scenes.labels[:n] == label)) for n, label in enumerate(scenes.labels)]
    order = np.lexsort((scenes.labels, turns))  # one of each class, then the next of each, as a sample of data is
    sampled = [Sampled(int(scenes.labels[n]), scenes.canvases[n], whole) for n in order]
    lines = []
    for used in RULES:
        still = setting_of(identity, rule_name=used, centring=NONE)
        weights = still.rule.weights(given)
        means = [reduce_deltas(deltas, weights) for deltas in maps[still.rule.reference]]
        found = [localise_maps(means, scenes, setting).iou for setting in (still, replace(still, centring=CONTRAST))]
        said = judged_centring(
            [halves(maps[still.rule.reference][n], weights, range(draws)) for n in order], sampled, still
        )
        gain = found[1] - found[0]
        low, high = interval(gain, drawn.items)
        right = (said.chosen == CONTRAST) == (gain.mean() > 0)
        cells = (
            name,
            used,
            f"{found[0].mean():.3f}",
            f"{gain.mean():+.3f} [{low:+.3f}, {high:+.3f}]",
            f"{said.own - said.still:+.3f}",
            f"{said.other - said.still:+.3f}",
            f"{said.lead:+.3f} [{said.low:+.3f}, {said.high:+.3f}]",
            ("yes" if said.chosen == CONTRAST else "no") + ("" if right else " (**wrong**)"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


HEAD = (
    "| scenes | rule | mean IoU | centring adds | halves' overlap: own | another | own less another | centre? |\n"
    + "|---" * 8
    + "|"
)


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--world", type=click.Choice(list(WORLDS)), default="grey", show_default=True)
@click.option("--source", type=click.Path(path_type=Path), help="Folder of the world's files; default: its package's.")
@click.option("--per-class", type=int, default=50, show_default=True)
@click.option("--draws", type=int, default=12, show_default=True)
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--maps", type=click.Path(path_type=Path), required=True, help="Folder that keeps answers.")
def main(repository: Path, world: str, source: Path | None, per_class: int, draws: int, seed: int, maps: Path) -> None:
    """Compare the rule with true boxes and print a Markdown table."""
    identity = read_identity(repository)
    kinds = {rule(name).reference: rule(name).references for name in RULES}
    click.echo(HEAD)
    with EmbeddedServer(repository, threads=1) as server:
        for name, variant in WORLDS[world].kinds.items():
            drawn = draw_scenes(world, "test", per_class, seed, source, variant)
            scenes = drawn.scenes
            folder = folder_of(maps, identity, f"{variant}-test-{seed}-{per_class}", draws)
            answers = asyncio.run(collect(server.grpc_url, scenes.canvases, scenes.labels, draws, kinds, folder))
            click.echo("\n".join(rows(name, drawn, answers.deltas, identity)))
            if world == "grey" and variant == "scenes":
                for spoilt, change in SPOILT.items():
                    other = replace(scenes, images=change(scenes.images, np.random.default_rng(seed)))
                    click.echo(
                        "\n".join(rows(f"{name}, {spoilt}", Drawn(other, drawn.items), answers.deltas, identity))
                    )


if __name__ == "__main__":
    main()
