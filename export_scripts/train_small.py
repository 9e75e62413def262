"""Train a small class-conditional diffusion pipeline on any folder (or tar) of class folders.

Owns the command, the loop, its checkpoints and the exponential moving average that is shipped. Batches, noise
and zooms are functions of (seed, step), so a resumed run equals an uninterrupted one.

    python -m export_scripts.train_small DATA --out PIPELINE
"""

from __future__ import annotations

import copy
import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
import torch
from torch import Tensor

from export_scripts.small_pipeline import ScoringProfile, SmallPipeline
from export_scripts.training_images import ImageSet, batch_indices, read_image_set, zoom
from export_scripts.training_model import (
    Denoiser,
    ModelConfig,
    NoiseConfig,
    build_pipeline,
    denoising_loss,
    latent_statistics,
    sample_timesteps,
)

CHECKPOINT_FILE = "checkpoint.pt"
log = logging.getLogger("train_small")


@dataclass(frozen=True)
class TrainConfig:
    """What a checkpoint must agree on, but for `steps`, which may be changed when resuming."""

    steps: int = 20_000
    batch: int = 64
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    decay_share: float = 0.3  # the learning rate is constant, then falls to 0 over this last share of the steps
    ema_decay: float = 0.999
    weight_decay: float = 0.01
    least_crop: float = 0.4
    seed: int = 0
    bf16: bool = False
    model: ModelConfig = field(default_factory=ModelConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)

    def learning_rate_at(self, step: int) -> float:
        decay_steps = max(1, round(self.decay_share * self.steps))
        return self.learning_rate * min(1.0, (step + 1) / self.warmup_steps, (self.steps - step) / decay_steps)

    @property
    def identity(self) -> str:
        return json.dumps({k: v for k, v in asdict(self).items() if k not in ("steps", "bf16")}, sort_keys=True)


class Trainer:
    """Model, average, optimiser and step of one run. `steps()` advances; `save`/`restore` are exact."""

    def __init__(self, config: TrainConfig, images: ImageSet, device: torch.device) -> None:
        self.config, self.images, self.device = config, images, device
        self.pixels = torch.from_numpy(images.pixels)
        self.labels = torch.from_numpy(images.labels)
        sample = self.pixels[:: max(1, len(self.pixels) // 4096)].float() / 127.5 - 1
        torch.manual_seed(config.seed)  # the initial weights
        channels = "gray" if self.pixels.shape[1] == 1 else "rgb"
        self.pipeline = build_pipeline(config.model, images.class_names, channels, *latent_statistics(sample))
        self.pipeline.to(device)
        self.model = Denoiser(self.pipeline.unet, self.pipeline.class_embedding).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
        )
        self.step = 0

    def steps(self) -> Iterator[float]:
        """Train until `config.steps`, yielding each step's loss after `self.step` has advanced."""
        while self.step < self.config.steps:
            loss = self._one_step()
            self.step += 1
            yield loss

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """latents, prompt rows, timesteps and noise of one step, on the device."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        chosen = torch.from_numpy(batch_indices(len(self.labels), config.batch, step, config.seed))
        schedule = int(self.pipeline.scheduler.config.num_train_timesteps)
        timesteps, in_band = sample_timesteps(config.noise, config.batch, schedule, generator)
        share = torch.where(in_band, config.noise.zoom_share_in_band, config.noise.zoom_share_outside)
        zoomed = torch.rand(config.batch, generator=generator) < share
        images = zoom(self.pixels[chosen].float() / 127.5 - 1, zoomed, config.least_crop, generator)
        dropped = torch.rand(config.batch, generator=generator) < config.noise.drop_share
        rows = torch.where(dropped, 0, self.labels[chosen] + 1)
        latents = self.pipeline.vae.encode(images.to(self.device))
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        return latents, rows.to(self.device), timesteps.to(self.device), noise

    def _one_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        latents, rows, timesteps, noise = self.batch(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16):
            loss = denoising_loss(self.model, self.pipeline.scheduler, latents, rows, timesteps, noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, current in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(current, 1 - decay)
        return float(loss.detach())

    def save(self, folder: Path) -> None:
        """Write the checkpoint under a temporary name, then rename."""
        state = {
            "identity": self.config.identity,
            "class_names": list(self.images.class_names),
            "step": self.step,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        part = folder / (CHECKPOINT_FILE + ".part")
        torch.save(state, part)
        part.replace(folder / CHECKPOINT_FILE)

    def restore(self, folder: Path) -> None:
        """Continue from `save`. Raises ValueError when the checkpoint is of another configuration or data."""
        state = torch.load(folder / CHECKPOINT_FILE, map_location=self.device, weights_only=True)
        if state["identity"] != self.config.identity or state["class_names"] != list(self.images.class_names):
            raise ValueError(f"{folder / CHECKPOINT_FILE} was made with other settings or classes; use --fresh")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def averaged_pipeline(self) -> SmallPipeline:
        """The pipeline with the averaged weights, in evaluation mode."""
        return SmallPipeline(
            self.pipeline.vae, self.average.class_embedding, self.average.unet, self.pipeline.scheduler
        )


def default_profile(config: TrainConfig) -> ScoringProfile:
    """Settings for a pipeline nobody has measured: the trained band, features from the middle of the U-Net."""
    low, high = config.noise.band
    return ScoringProfile(low, high, 250, "mid", 28 / 64, "rotating")


def write_pipeline(trainer: Trainer, folder: Path) -> None:
    """The averaged pipeline as a diffusers folder; the finished folder appears at once."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    trainer.averaged_pipeline().save_pretrained(part)
    profile = ScoringProfile.load(folder) if (folder / "scoring.json").exists() else default_profile(trainer.config)
    profile.save(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


@contextmanager
def progress(total: int, start: int) -> Iterator[Callable[[int, float], None]]:
    """A rich bar on a terminal, else a plain line every 30 seconds; called with (step, mean loss)."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[loss]}"), TimeRemainingColumn())
        with Progress("training", *columns, console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=total, completed=start, loss="")
            yield lambda step, loss: bar.update(task, completed=step, loss=f"loss {loss:.4f}")
        return
    began = last = time.monotonic()

    def line(step: int, loss: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 30 or step == total:
            last = now
            rate = (step - start) / max(now - began, 1e-9)
            left_s = (total - step) / max(rate, 1e-9)
            print(f"step {step}/{total} loss {loss:.4f} {rate:.2f}/s {left_s / 60:.1f} min left", file=sys.stderr)

    yield line


def train(trainer: Trainer, out: Path, checkpoint_every: int) -> None:
    """Run to the end; a checkpoint every `checkpoint_every` steps and a pipeline with it."""
    work = out.with_name(out.name + ".training")
    work.mkdir(parents=True, exist_ok=True)
    mean = 0.0
    with progress(trainer.config.steps, trainer.step) as report:
        for loss in trainer.steps():
            mean = loss if not mean else 0.99 * mean + 0.01 * loss
            report(trainer.step, mean)
            if trainer.step % checkpoint_every == 0 or trainer.step == trainer.config.steps:
                trainer.save(work)
                write_pipeline(trainer, out)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


@click.command()
@click.argument("source", metavar="DATA", type=click.Path(exists=True, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Pipeline folder.")
@click.option("--classes", type=click.File(), help="Class names in order, one a line; default: sorted folders.")
@click.option("--steps", type=click.IntRange(min=1), default=TrainConfig.steps, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=TrainConfig.batch, show_default=True)
@click.option("--learning-rate", type=float, default=TrainConfig.learning_rate, show_default=True)
@click.option("--image-size", type=int, default=64, show_default=True)
@click.option("--patch-size", type=int, default=ModelConfig.patch_size, show_default=True)
@click.option("--channels", default=",".join(map(str, ModelConfig.block_channels)), show_default=True)
@click.option("--attention", default="", help="Levels with attention besides the middle, e.g. 1,2.")
@click.option("--layers", type=int, default=ModelConfig.layers_per_block, show_default=True)
@click.option("--prediction", type=click.Choice(["v_prediction", "epsilon"]), default=ModelConfig.prediction_type)
@click.option("--band", nargs=2, type=float, default=NoiseConfig.band, show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--bf16/--fp32", default=False, help="bfloat16 autocast (faster with AVX512-BF16, AMX or CUDA).")
@click.option("--threads", type=int, help="CPU threads; default: torch's.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--checkpoint-every", type=click.IntRange(min=1), default=1000, show_default=True, help="Steps.")
@click.option("--resume/--fresh", default=True, help="Continue from a checkpoint beside OUT, or start again.")
def main(
    source: Path, out: Path, classes: click.utils.LazyFile | None, device: str, threads: int | None,
    resume: bool, checkpoint_every: int, image_size: int, patch_size: int, channels: str, attention: str,
    layers: int, prediction: str, band: tuple[float, float], steps: int, batch: int, learning_rate: float,
    bf16: bool, seed: int,
) -> None:  # fmt: skip
    """Train a small pipeline on DATA, a folder or tar of class folders, and write it in the diffusers format."""
    if threads:
        torch.set_num_threads(threads)
    order = [line.strip() for line in classes if line.strip()] if classes is not None else None
    try:
        images = read_image_set(source, image_size, order)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    model = ModelConfig(
        image_size, patch_size, _numbers(channels), _numbers(attention), layers, prediction_type=prediction
    )
    config = TrainConfig(steps, batch, learning_rate, seed=seed, bf16=bf16, model=model, noise=NoiseConfig(band=band))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(config, images, torch.device(device))
    checkpoint = out.with_name(out.name + ".training") / CHECKPOINT_FILE
    if resume and checkpoint.exists():
        try:
            trainer.restore(checkpoint.parent)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    parameters = sum(weight.numel() for weight in trainer.model.parameters())
    log.info(
        "%d images, %d classes, %d parameters, %s", len(images.labels), len(images.class_names), parameters, device
    )
    train(trainer, out, checkpoint_every)
    click.echo(f"{trainer.step} steps: {out}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main()
