"""Windows of one size against windows of several, chosen by one rule or several, with and without centring.

Owns this comparison and its tables (docs/decisions/015-windows.md, 027-three-worlds.md). Settings are the repository's but for
what is named; nothing is chosen here. Must not know the store or the selection. Answers are kept in pieces, so that a
measurement that was stopped goes on.

    python -m benchmarks.localisation.scale_table --maps runs/results/scales
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.localisation.intervals import interval, with_interval
from benchmarks.localisation.maps import collect, folder_of
from benchmarks.localisation.pointing import Localisation, boxes_of_maps, localise_boxes
from benchmarks.localisation.quality import refuse_other_classes
from benchmarks.scenes.worlds import SPLITS, WORLDS, Drawn, draw_scenes
from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.builtin import builtin_repository
from selector.localisation.centring import CENTRINGS, NONE
from selector.localisation.choice import WindowSetting, setting_of
from selector.localisation.typicality import RULES, reduce_deltas, rule
from selector.records import Box


def rows(name: str, drawn: Drawn, boxes: dict[str, list[Box]]) -> list[str]:
    """Table rows of one kind of scenes; `boxes` by the name of the windows, the first being what others are compared with."""
    found = {windows: localise_boxes(own, drawn.scenes) for windows, own in boxes.items()}
    first = next(iter(found.values()))
    lines = []
    for windows, one in found.items():
        cells = [name, windows, *_measured(one, drawn.items)]
        if one is first:
            cells += ["", ""]
        else:
            cells += [
                _lead(ours, theirs, drawn.items) for ours, theirs in ((one.hits, first.hits), (one.iou, first.iou))
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _name(setting: WindowSetting, several_rules: bool) -> str:
    size = ", ".join(map(str, setting.sides)) + (" px" if setting.centring == NONE else " px, centred")
    return f"{setting.rule.name}: {size}" if several_rules else size


def _measured(found: Localisation, items: NDArray[np.int64]) -> tuple[str, ...]:
    beside = with_interval(found.hits[found.decoys], items[found.decoys])
    return with_interval(found.hits, items), beside, with_interval(found.iou, items)


def _lead(
    ours: NDArray[np.floating | np.bool_], theirs: NDArray[np.floating | np.bool_], items: NDArray[np.int64]
) -> str:
    apart = ours.astype(np.float64) - theirs
    low, high = interval(apart, items)
    return f"{apart.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def head(first: str) -> str:
    """The head of the table. first: what leads are over."""
    names = f"| items | windows | pointing | pointing, decoys | mean IoU | pointing, lead over {first} | IoU, lead |"
    return f"{names}\n{'|---' * 7}|"


def _fractions(_context: click.Context, _parameter: click.Parameter, values: Sequence[str]) -> list[tuple[float, ...]]:
    return [tuple(float(part) for part in value.split(",")) for value in values]


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--world", type=click.Choice(list(WORLDS)), default="grey", show_default=True, help="Kind of scenes.")
@click.option(
    "--patch-fraction",
    "others",
    multiple=True,
    default=["0.3125,0.4375,0.5625"],
    show_default=True,
    callback=_fractions,
    help="A size of windows, or several, to compare with the repository's own; may be repeated.",
)
@click.option(
    "--rule", "rule_names", multiple=True, type=click.Choice(list(RULES)), help="May be repeated; default: its own."
)
@click.option(
    "--per-class", type=int, default=200, show_default=True, help="Scenes of a class and kind, half with decoys."
)
@click.option("--draws", type=int, default=12, show_default=True)
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True)
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), help="Folder of the world's files; default: its package's.")
@click.option("--maps", type=click.Path(path_type=Path), required=True, help="Folder that keeps answers.")
def main(
    repository: Path,
    world: str,
    others: list[tuple[float, ...]],
    rule_names: tuple[str, ...],
    per_class: int,
    draws: int,
    split: str,
    seed: int,
    source: Path | None,
    maps: Path,
) -> None:
    """Compare windows of one size with windows of several and print a Markdown table.

    One rule: windows of other sizes are compared with the repository's own, once without and once with centring. Several
    rules: all are compared with the first rule's windows of the repository's own size, not centred.
    """
    identity = read_identity(repository)
    refuse_other_classes(identity, world)
    used = [rule(name) for name in rule_names or (identity.rule,)]
    kinds = {each.reference: each.references for each in used}
    given = np.asarray([identity.timestep_weights[draw] for draw in identity.taken(draws)], np.float32)
    click.echo(head("one size" if len(used) == 1 else "the first row"))
    with EmbeddedServer(repository, threads=1) as server:
        for name, variant in WORLDS[world].kinds.items():
            drawn = draw_scenes(world, split, per_class, seed, source, variant)
            scenes = drawn.scenes
            folder = folder_of(maps, identity, f"{variant}-{split}-{seed}-{per_class}", draws)
            found = asyncio.run(collect(server.grpc_url, scenes.canvases, scenes.labels, draws, kinds, folder))
            boxes: dict[str, list[Box]] = {}
            for each in used:
                means = [reduce_deltas(image, each.weights(given)) for image in found.deltas[each.reference]]
                for centring in CENTRINGS:
                    for sizes in ((), *others):
                        chosen = setting_of(identity, rule_name=each.name, fractions=sizes, centring=centring)
                        boxes[_name(chosen, len(used) > 1)] = boxes_of_maps(means, scenes, chosen)
                    if len(used) == 1:
                        click.echo("\n".join(rows(name, drawn, boxes)))
                        boxes = {}
            if boxes:
                click.echo("\n".join(rows(name, drawn, boxes)))


if __name__ == "__main__":
    main()
