"""How many draws tell the classes of images without labels apart, and which: offline from the losses of all classes.

On scenes of the train split that no table is tested on: defaults are chosen here (docs/decisions/018-unlabelled.md). What is
simulated is what `selector score --unlabelled` does (selector/scoring/assignment.py). Losses are kept by pieces, so a
measurement that was stopped goes on.

    python -m benchmarks.localisation.budgets --losses runs/results/class-losses
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes.generator import make_scenes
from benchmarks.scenes.items import SOURCE, read_items
from benchmarks.scenes.scenes import pixels_hash
from client import ClientConfig, ScoringClient, encode_row, loss_row
from client.embedded.server import EmbeddedServer
from client.errors import ServerError
from client.repository import read_identity
from client.rows import Failure, Row
from selector.builtin import builtin_repository
from selector.scoring.assignment import AssignmentBudget, Standing, evaluations

BUDGETS = ("1:1", "4:4", "16:16", "32:32", "1:8", "2:16", "2:32", "4:16", "4:32", "4:48", "8:32", "8:48")
OPTIMISED = 12
"""Draws at the beginning of the built-in bank that are made for pointing."""
_PIECE, _PATIENCE_S = 20, 3600.0


async def collect(server: str, images: NDArray[np.uint8], folder: Path) -> NDArray[np.float32]:
    """The loss of every class by every draw of the bank, float32 [n, draws, classes]. images: uint8 [n, S, S, 3]."""
    async with ScoringClient(ClientConfig((server,), deadline_s=_PATIENCE_S, attempt_s=_PATIENCE_S)) as client:
        for start in range(0, len(images), _PIECE):
            path = folder / f"{start:06d}.npy"
            if not path.exists():
                piece = await _losses(client, images[start : start + _PIECE])
                np.save(path.with_suffix(".tmp.npy"), piece)
                path.with_suffix(".tmp.npy").replace(path)
                print(f"losses: {start + len(piece)}/{len(images)} images", file=sys.stderr)
    return np.concatenate([np.load(folder / f"{start:06d}.npy") for start in range(0, len(images), _PIECE)])


async def _losses(client: ScoringClient, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    classes, draws = len(client.identity.classes), client.identity.draws
    latents: dict[int, NDArray[np.float32]] = {}
    async for outcome in client.score(encode_row(i, image) for i, image in enumerate(images)):
        if isinstance(outcome, Failure):
            raise ServerError(outcome.reason)
        latents[cast(int, outcome.key)] = outcome.outputs["LATENT"]

    def rows() -> Iterator[Row]:
        for i, latent in latents.items():
            for draw in range(draws):
                for first in range(0, classes, 2):
                    yield loss_row((i, draw, first), latent, first + 1, min(first + 2, classes), draw)

    found = np.empty((len(images), draws, classes + classes % 2), np.float32)
    async for outcome in client.score(rows()):
        if isinstance(outcome, Failure):
            raise ServerError(outcome.reason)
        i, draw, first = cast(tuple[int, int, int], outcome.key)
        found[i, draw, first : first + 2] = [outcome.outputs[f"LOSS_{which}"][0] for which in ("PROMPT", "REFERENCE")]
    return found[..., :classes]


def assigned(losses: NDArray[np.float32], budget: AssignmentBudget) -> tuple[int, int, float]:
    """The class of an image, the UNet evaluations for it, and its margin. losses: float32 [draws, classes]."""
    standing, spent = Standing.of(losses.shape[1]), 0
    while (on := standing.going_on(budget)) is not None:
        numbers = list(budget.numbers[on.draws : budget.after(on.draws)])
        spent += len(numbers) * evaluations(len(on.classes))
        standing = on.with_draws(losses[np.ix_(numbers, on.classes)].astype(np.float64))
    class_id, margin, _ = standing.nearest()
    return class_id, spent, margin


def table(
    losses: NDArray[np.float32], labels: NDArray[np.int64], orders: Mapping[str, Sequence[int]], budgets: Sequence[str]
) -> str:
    """A Markdown table: a row for every budget; a cell has accuracy, and UNet rows an image."""
    lines = [f"| Draws | {' | '.join(orders)} |", "|---" * (1 + len(orders)) + "|"]
    for budget in budgets:
        first, most = map(int, budget.split(":"))
        cells = [f"{first} to {most}" if most > first else f"{most}, all classes"]
        for order in orders.values():
            made = [assigned(image, AssignmentBudget(first, tuple(order[:most]))) for image in losses]
            right = np.mean([class_id == label for (class_id, *_), label in zip(made, labels, strict=True)])
            cells.append(f"{right:.3f} ({np.mean([spent for _, spent, _ in made]):.0f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


@click.command()
@click.option("--repository", type=click.Path(path_type=Path, exists=True), default=builtin_repository())
@click.option("--per-class", default=40, show_default=True, help="Scenes of a class.")
@click.option("--seed", default=713, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), default=SOURCE, show_default=True)
@click.option("--losses", "kept", type=click.Path(path_type=Path), required=True, help="Folder that keeps losses.")
def main(repository: Path, per_class: int, seed: int, source: Path, kept: Path) -> None:
    """Compare budgets and draws on scenes of the train split and print a Markdown table."""
    scenes = make_scenes(read_items("train", source).between(55_000, 60_000), per_class, seed)
    identity = read_identity(repository)
    folder = kept / f"{identity.pipeline[:16]}-{pixels_hash(scenes)}"
    folder.mkdir(parents=True, exist_ok=True)
    with EmbeddedServer(repository, threads=1) as server:
        losses = asyncio.run(collect(server.grpc_url, scenes.canvases, folder))
    taken = identity.taken(identity.draws)
    orders = {
        "from the end": taken[::-1],
        f"behind the first {OPTIMISED}": taken[OPTIMISED:] + taken[:OPTIMISED],
        "from the beginning": taken,
    }
    click.echo(table(losses, scenes.labels, orders, BUDGETS))


if __name__ == "__main__":
    main()
