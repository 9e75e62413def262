"""One training run: model, average, optimiser and step, with exact checkpoints.

Batches, noise and zooms are functions of (seed, step), so a resumed run equals an uninterrupted one. The exponential
moving average of the weights is what ships.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from torch import Tensor

from export_scripts.training.architectures import Architecture, build
from export_scripts.training.images import ImageSet, batch_indices, zoom
from export_scripts.training.model import (
    ModelConfig,
    NoiseConfig,
    denoising_loss,
    latent_statistics,
    sample_timesteps,
)
from selector.folders.files import write_bytes

CHECKPOINT_FILE = "checkpoint.pt"


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
    model: Architecture = field(default_factory=ModelConfig)
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
        channels = "gray" if self.pixels.shape[1] == 1 else "rgb"
        torch.manual_seed(config.seed)  # the initial weights
        vae, self.scheduler, model = build(config.model, images.class_names, channels, *latent_statistics(sample))
        self.vae, self.model = vae.to(device), model.to(device).train()
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
        schedule = int(self.scheduler.config.num_train_timesteps)
        timesteps, in_band = sample_timesteps(config.noise, config.batch, schedule, generator)
        share = torch.where(in_band, config.noise.zoom_share_in_band, config.noise.zoom_share_outside)
        zoomed = torch.rand(config.batch, generator=generator) < share
        images = zoom(self.pixels[chosen].float() / 127.5 - 1, zoomed, config.least_crop, generator)
        dropped = torch.rand(config.batch, generator=generator) < config.noise.drop_share
        rows = torch.where(dropped, 0, self.labels[chosen] + 1)
        latents = self.vae.encode(images.to(self.device))
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        return latents, rows.to(self.device), timesteps.to(self.device), noise

    def _one_step(self) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        latents, rows, timesteps, noise = self.batch(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16):
            loss = denoising_loss(self.model, self.scheduler, latents, rows, timesteps, noise)
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
        content = io.BytesIO()  # torch itself would say of a full disk that it failed, and not why
        torch.save(state, content)
        write_bytes(folder / CHECKPOINT_FILE, content.getbuffer())

    def restore(self, folder: Path) -> None:
        """Continue from `save`. Raises ValueError when the checkpoint is of another configuration or data."""
        state = torch.load(folder / CHECKPOINT_FILE, map_location=self.device, weights_only=True)
        if state["identity"] != self.config.identity or state["class_names"] != list(self.images.class_names):
            raise ValueError(f"{folder / CHECKPOINT_FILE} was made with other settings or classes; use --fresh")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])

    def averaged_pipeline(self) -> DiffusionPipeline:
        """The pipeline with the averaged weights, in evaluation mode."""
        return self.average.pipeline(self.vae, self.scheduler)
