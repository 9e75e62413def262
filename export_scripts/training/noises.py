"""Draws that say more: noises optimised by gradient, so that few draws agree with the mean over many (after arXiv 2508.11330).

    python -m export_scripts.training.noises PIPELINE DATA

What is raised is the agreement of `selector.calibration.order`: the correlation, over an image's windows, of the mean over the
first draws with the mean over the whole bank. No true position enters. Draws are added in stages; those of earlier stages stay,
so fewer draws are a prefix of more. A noise keeps the length that a Gaussian one has. The result is draws.npz in the pipeline's
folder. Other draws are other scores: an order that stands in scoring.json is taken away (draw_order.py chooses another, best on
other images), and what is exported is a new repository with a new identity.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from client.ranges import SEED, above, whole
from export_scripts.graphs.draw_bank import Band, make_draw_bank
from export_scripts.graphs.draw_maps import draw_maps, latents_of
from export_scripts.graphs.networks import NoisePredictor
from export_scripts.pipelines.first_draws import DRAWS_FILE, FirstDraws
from export_scripts.pipelines.parts import SourcePipeline
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Settings
from export_scripts.small_pipeline import ScoringProfile
from export_scripts.training.draw_order import windows_of
from export_scripts.training.images import batch_indices, read_image_set
from selector.calibration.order import contrasted
from selector.commands.mistakes import run_alone
from selector.commands.parameters import EXISTING, FOLDER, Number, Numbers
from selector.folders.files import check_file, file_errors
from selector.localisation.typicality import rule
from selector.localisation.windows import window_means
from selector.progress import Progress

log = logging.getLogger("noises")
IMAGES = 1600
_AT_ONCE = 64


@dataclass(frozen=True)
class Optimising:
    """stages: how many draws there are after each. steps: of each stage. batch: images of a step."""

    stages: tuple[int, ...] = (2, 4, 8, 12)
    steps: int = 250
    batch: int = 24
    learning_rate: float = 0.03
    seed: int = 0


class Optimiser:
    """Latents of n images, what their windows look like by the whole bank, and the draws so far."""

    def __init__(
        self,
        source: SourcePipeline,
        latents: Tensor,
        class_ids: NDArray[np.int64],
        config: Optimising,
        progress: Progress,
    ) -> None:
        self.source, self.latents, self.class_ids, self.config = source, latents, class_ids, config
        self.rule, draws = rule(source.profile.rule), Settings().draws
        band = Band(source.profile.t_min, source.profile.t_max, source.denoiser.schedule.steps)
        bank = make_draw_bank(draws, band, source.latent)
        self.timesteps, self.noises = bank.timesteps[: config.stages[-1]], bank.noises[: config.stages[-1]].copy()
        self.network = NoisePredictor(source.denoiser, bank).eval()
        self.network.requires_grad_(False)
        references = contrasted(self.rule, class_ids.tolist(), len(source.classes), draws, turning=True)
        with progress.stage("bank", 2 * references.size, "UNet rows") as advance:
            whole_bank = draw_maps(source, bank, latents, class_ids, references, advance).mean(axis=1)
        self.window = _window_matrix(source)
        self.target = _unit(torch.from_numpy(whole_bank).flatten(1) @ self.window)
        self.settled = torch.zeros(len(latents), *source.latent[1:])
        ids, classes, last = range(len(source.classes)), len(source.classes), config.stages[-1]
        self.references = np.stack([self.rule.references(number, classes, last) for number in ids])

    def deltas(self, images: NDArray[np.int64], draw: int, noise: Tensor) -> Tensor:
        """Delta maps of one draw with this noise, [n, h, w]; gradients reach the noise."""
        ids = self.class_ids[images]
        self.network.noises = noise[None].expand(len(self.network.timesteps), *noise.shape)
        table = self.source.table
        reference = table[torch.from_numpy(self.references[ids, draw]).long()]
        index = torch.full((len(images), 1), draw)
        found: Tensor = self.network(self.latents[images], table[torch.from_numpy(ids + 1)], reference, index)[0]
        return found

    def agreement(self, images: NDArray[np.int64], maps: Tensor) -> Tensor:
        """Of the images with these sums of delta maps: [n]."""
        return (_unit(maps.flatten(1) @ self.window) * self.target[torch.from_numpy(images)]).sum(1)

    def run(self) -> Iterator[tuple[FirstDraws, float]]:
        """The draws after each stage, and their agreement on the images that no step takes (an eighth)."""
        held = len(self.latents) // 8
        done = 0
        for last in self.config.stages:
            self._stage(range(done, last), len(self.latents) - held)
            with torch.no_grad():
                for images in _pieces(np.arange(len(self.latents))):
                    for draw in range(done, last):
                        self.settled[images] += self.deltas(images, draw, torch.from_numpy(self.noises[draw]))
                others = np.arange(len(self.latents) - held, len(self.latents))
                found = float(self.agreement(others, self.settled[others]).mean())
            done = last
            yield FirstDraws(self.timesteps[:last].copy(), self.noises[:last].copy()), found

    def _stage(self, draws: Sequence[int], count: int) -> None:
        config, length = self.config, float(np.sqrt(self.noises[0].size))
        noises = [torch.tensor(self.noises[draw], requires_grad=True) for draw in draws]
        optimiser = torch.optim.Adam(noises, config.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
        for step in range(config.steps):
            images = batch_indices(count, min(config.batch, count), step, config.seed + draws[0])
            added = torch.stack([self.deltas(images, draw, noise) for draw, noise in zip(draws, noises, strict=True)])
            loss = 1 - self.agreement(images, self.settled[images] + added.sum(0)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                for noise in noises:
                    noise.mul_(length / noise.norm())
            if (step + 1) % 50 == 0:
                log.info("draws %d to %d, step %d: agreement %.3f", draws[0], draws[-1], step + 1, 1 - float(loss))
        for draw, noise in zip(draws, noises, strict=True):
            self.noises[draw] = noise.detach().numpy()


def _window_matrix(source: SourcePipeline) -> Tensor:
    """[h w, windows]: a delta map times it are its window means."""
    height, width = source.latent[1:]
    cells = np.eye(height * width, dtype=np.float32).reshape(-1, height, width)
    return torch.from_numpy(window_means(cells, windows_of(source)).reshape(height * width, -1))


def _unit(values: Tensor) -> Tensor:
    centred = values - values.mean(1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _pieces(images: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))


@click.command()
@click.argument("pipeline", type=FOLDER)
@click.argument("data", type=EXISTING)
@click.option(
    "--draws", "stages", type=Numbers(whole(1, 65536)), default="2,4,8,12", show_default=True, help="After each stage."
)
@click.option(
    "--steps", type=Number(whole(1, 1_000_000)), default=Optimising.steps, show_default=True, help="Of each stage."
)
@click.option(
    "--batch", type=Number(whole(1, 65536)), default=Optimising.batch, show_default=True, help="Images of a step."
)
@click.option("--learning-rate", type=Number(above(0, 1000)), default=Optimising.learning_rate, show_default=True)
@click.option("--images", type=Number(whole(16, 1_000_000)), default=IMAGES, show_default=True, help="Of the data.")
@click.option("--threads", type=Number(whole(1, 1024)), help="CPU threads; default: torch's.")
@click.option("--seed", type=Number(SEED), default=0, show_default=True)
def main(
    pipeline: Path, data: Path, stages: tuple[int, ...], steps: int, batch: int, learning_rate: float, images: int,
    threads: int | None, seed: int,
) -> None:  # fmt: skip
    """Optimise the first draws of a small PIPELINE on images of DATA, a folder or tar of class folders."""
    if list(stages) != sorted(set(stages)):
        raise click.UsageError(f"--draws must ascend, not {','.join(map(str, stages))}")
    check_file(pipeline / DRAWS_FILE, "PIPELINE")
    if threads:
        torch.set_num_threads(threads)
    source, progress = load_source(pipeline), Progress(line_every_s=30)
    if source.pooled is not None:
        raise click.UsageError(f"{pipeline} takes pooled prompts: its draws can't be optimised yet")
    found = read_image_set(data, source.resolution, source.classes)
    chosen = batch_indices(len(found.labels), min(images, len(found.labels)), 0, seed)
    config = Optimising(stages, steps, batch, learning_rate, seed)
    latents = latents_of(source, found.pixels[chosen])
    optimiser = Optimiser(source, latents, found.labels[chosen], config, progress)
    for draws, agreement in optimiser.run():
        with file_errors(pipeline):
            np.savez(pipeline / DRAWS_FILE, timesteps=draws.timesteps, noises=draws.noises)
        log.info(
            "%d draws agree by %.3f on held-out images: %s", len(draws.timesteps), agreement, pipeline / DRAWS_FILE
        )
    replace(ScoringProfile.load(pipeline), draw_order=None, auto_draws=0).save(pipeline)
    log.info("now choose the order, on other images: python -m export_scripts.training.draw_order %s DATA", pipeline)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    run_alone(main, "noises")
