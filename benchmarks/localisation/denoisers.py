"""Small pipelines side by side, such as a UNet and a DiT: what an evaluation costs, how well it predicts, and how well it points.

Everything is computed in eager torch by the graph that is exported, on the scenes of `make quality` and the same draws of the
random bank, so that the pipelines can be compared image by image. The settings of one pipeline serve all; nothing is tuned here.

    python -m benchmarks.localisation.denoisers --pipeline UNet=FOLDER --pipeline DiT=FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.localisation.intervals import with_interval
from benchmarks.localisation.pointing import Localisation, localise_maps
from benchmarks.localisation.quality import make_test_scenes
from benchmarks.scenes.items import CLASS_NAMES, SOURCE
from benchmarks.scenes.scenes import Scenes
from export_scripts.builtin import PIPELINE
from export_scripts.graphs.draw_bank import Band, DrawBank, make_draw_bank, spread_weights
from export_scripts.graphs.draw_maps import draw_maps, latents_of
from export_scripts.graphs.networks import NoisePredictor
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Settings
from export_scripts.small_pipeline import ScoringProfile
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import reduce_deltas, rule
from selector.progress import Progress

CLASS_DRAWS = 4
"""Draws by which every class is asked for."""
_ROWS = 64


@dataclass(frozen=True)
class Measured:
    """parameters: of the network and its prompts, equal ones once. operations: multiply-adds of an evaluation. losses: float32
    [n, classes + 1], of v, by no class and by each class, means over draws, of every fifth scene. pointing: by UNet rows."""

    parameters: int
    operations: int
    losses: NDArray[np.float32]
    labels: NDArray[np.int64]
    pointing: dict[int, Localisation]

    @property
    def own(self) -> NDArray[np.float32]:
        """[n]: by the true class."""
        found: NDArray[np.float32] = self.losses[np.arange(len(self.labels)), self.labels + 1]
        return found

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n]: whether the class of the least loss is the true one."""
        found: NDArray[np.bool_] = self.losses[:, 1:].argmin(axis=1) == self.labels
        return found


def measure(
    source: SourcePipeline, scenes: Scenes, draws: Sequence[int], progress: Progress, folder: Path | None = None
) -> Measured:
    """draws: numbers of them by which pointing is measured. folder: where answers are kept, by pipeline, settings and scenes."""
    profile, bank = source.profile, bank_of(source)
    labels = np.array([source.classes.index(name) for name in CLASS_NAMES])[scenes.labels]
    few = np.arange(len(labels)) % 5 == 0
    asked = (source.digest, profile, max(draws), hashlib.blake2b(scenes.images.tobytes()).hexdigest())
    kept = (
        None if folder is None else folder / f"{hashlib.blake2b(repr(asked).encode(), digest_size=8).hexdigest()}.npz"
    )
    if kept is not None and kept.exists():
        with np.load(kept) as found:
            losses, maps = found["losses"], found["maps"]
    else:
        latents, used, classes = latents_of(source, scenes.images[:, None]), rule(profile.rule), len(source.classes)
        with progress.stage("losses of classes", int(few.sum()) * CLASS_DRAWS, "draws") as advance:
            losses = class_losses(source, bank, latents[torch.from_numpy(few)], CLASS_DRAWS, advance)
        references = np.stack([used.references(each, classes, max(draws)) for each in range(classes)])[labels]
        with progress.stage("delta maps", 2 * references.size, "UNet rows") as advance:
            maps = draw_maps(source, bank, latents, labels, references, advance)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(kept, losses=losses, maps=maps)
    weights = rule(profile.rule).weights(np.asarray(spread_weights(bank, profile.timestep_weights), np.float32))
    side, stride = round(profile.window_fraction * source.resolution), source.resolution // 16
    setting = WindowSetting(rule(profile.rule), profile.brightness_weight, (side,), stride, profile.centring)
    pointing = {}
    for count in draws:
        means = [reduce_deltas(one[:count], weights[:count]) for one in maps]
        pointing[2 * count] = localise_maps(means, scenes, setting)
    return Measured(parameters(source), operations(source), losses, labels[few], pointing)


def bank_of(source: SourcePipeline) -> DrawBank:
    """The random bank, also of a pipeline that brings draws of its own."""
    band = Band(source.profile.t_min, source.profile.t_max, source.denoiser.schedule.steps)
    return make_draw_bank(Settings().draws, band, source.latent)


def class_losses(
    source: SourcePipeline, bank: DrawBank, latents: Tensor, draws: int, advance: Callable[[int], None] = lambda _: None
) -> NDArray[np.float32]:
    """float32 [n, classes + 1]: the mean squared error of v by every row of the prompt table, over the first `draws` draws."""
    predictor, count = NoisePredictor(source.denoiser, bank).eval(), len(source.table)
    pairs = [(row, min(row + 1, count - 1)) for row in range(0, count, 2)]
    found = np.zeros((len(latents), draws, count), np.float32)
    with torch.no_grad():
        for number in range(draws):
            told = torch.full((_ROWS, 1), number)
            for start in range(0, len(latents), _ROWS):
                part = latents[start : start + _ROWS]
                for prompt, reference in pairs:
                    tokens = (source.table[row].expand(len(part), -1, -1) for row in (prompt, reference))
                    _, *losses = predictor(part, *tokens, told[: len(part)])
                    for row, loss in zip((prompt, reference), losses, strict=True):
                        found[start : start + len(part), number, row] = loss[:, 0].numpy()
                advance(len(part))
    # A loss of ε is that of v times ᾱ, where v is predicted: on v all draws weigh alike.
    signal = source.denoiser.schedule.signal[torch.from_numpy(bank.timesteps[:draws])].numpy()
    mean: NDArray[np.float32] = (found / np.square(signal)[None, :, None]).mean(axis=1)
    return mean


def parameters(source: SourcePipeline) -> int:
    """Equal tensors count once: a saved DiT repeats its embedding in every block."""
    weights = {(tuple(w.shape), w.detach().numpy().tobytes()) for w in source.denoiser.network.parameters()}
    return sum(int(np.prod(shape)) for shape, _ in weights) + source.table.numel()


def operations(source: SourcePipeline) -> int:
    """Multiply-adds of one evaluation."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        source.denoiser.predict(torch.zeros(1, *source.latent), source.denoiser.schedule.told[:1], (source.table[:1],))
    return counter.get_total_flops() // 2


def table(measured: dict[str, Measured]) -> str:
    """Markdown: quantities by pipelines; of two pipelines a last column has the paired difference, second less first."""
    found = list(measured.values())
    rows: list[tuple[str, list[str], list[NDArray]]] = [
        ("parameters", [f"{one.parameters / 1e6:.2f} M" for one in found], []),
        ("multiply-adds of a UNet row", [f"{one.operations / 1e6:.0f} M" for one in found], []),
        ("loss of v, own class", [], [one.own for one in found]),
        ("loss of v, no class", [], [one.losses[:, 0] for one in found]),
        ("… less own class", [], [one.losses[:, 0] - one.own for one in found]),
        (f"class of the least loss is right, {CLASS_DRAWS} draws", [], [one.right.astype(float) for one in found]),
    ]
    for count in found[0].pointing:
        hits = [one.pointing[count].hits.astype(float) for one in found]
        rows.append((f"pointing, {count} rows", [], hits))
        beside = [h[one.pointing[count].decoys] for h, one in zip(hits, found, strict=True)]
        rows.append((f"pointing, {count} rows, decoys", [], beside))
    two = len(found) == 2
    lines = [f"| | {' | '.join(measured)}{' | difference' if two else ''} |", "|---" * (1 + len(found) + two) + "|"]
    for name, cells, values in rows:
        cells = cells or [with_interval(each) for each in values]
        lead = [with_interval(values[1] - values[0]) if values else ""] if two else []
        lines.append(f"| {name} | {' | '.join(cells + lead)} |")
    return "\n".join(lines)


def _named(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    named = {}
    for text in values:
        name, _, path = text.rpartition("=")
        named[name or Path(path).name] = Path(path)
    return named


@click.command()
@click.option("--pipeline", "pipelines", multiple=True, required=True, callback=_named, help="NAME=FOLDER, a pipeline.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path, exists=True),
    default=PIPELINE,
    help="A pipeline whose scoring.json serves all.",
)
@click.option("--scenes", "count", type=int, default=2000, show_default=True, help="Scenes; half of them have decoys.")
@click.option("--draws", default="2,4,12", show_default=True, help="Draws per image; each is two UNet rows.")
@click.option("--maps", type=click.Path(path_type=Path), help="Folder that keeps answers.")
@click.option("--split", type=click.Choice(["train", "test"]), default="test", show_default=True)
@click.option("--seed", type=int, default=2026, show_default=True)
@click.option("--source", type=click.Path(path_type=Path), default=SOURCE, show_default=True)
def main(
    pipelines: dict[str, Path],
    settings: Path,
    count: int,
    draws: str,
    maps: Path | None,
    split: str,
    seed: int,
    source: Path,
) -> None:
    """Compare small pipelines on scenes with known boxes and print a Markdown table."""
    scenes = make_test_scenes(count, split, seed, source)
    profile, measured, counts = ScoringProfile.load(settings), {}, [int(part) for part in draws.split(",")]
    for name, folder in pipelines.items():
        print(name, file=sys.stderr)
        pipeline = replace(load_source(folder), profile=profile)
        if sorted(pipeline.classes) != sorted(CLASS_NAMES):
            raise click.ClickException(f"{folder} is of other classes than these scenes: {', '.join(pipeline.classes)}")
        measured[name] = measure(pipeline, scenes, counts, Progress(line_every_s=30), maps)
    click.echo(
        f"{len(scenes.images)} scenes of the {split} split, {int(scenes.decoys.sum())} with a decoy; losses and classes of every "
        "fifth. Intervals: 95 %.\n"
    )
    click.echo(table(measured))


if __name__ == "__main__":
    main()
