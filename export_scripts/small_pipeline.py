"""The small class-conditional diffusion pipeline: its diffusers components and its measured scoring profile.

Load with `SmallPipeline.from_pretrained(folder)` and `ScoringProfile.load(folder)`. The U-Net is a plain
`UNet2DConditionModel` called as `unet(latents, timesteps, encoder_hidden_states)`; what it predicts is
`pipeline.scheduler.config.prediction_type` ("epsilon" or "v_prediction").
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import DDPMScheduler, DiffusionPipeline, UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

SCORING_FILE = "scoring.json"
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, Pillow's "L"


class SpaceToDepth(ModelMixin, ConfigMixin):
    """An encoder without weights: `patch_size`² neighbouring pixels become the channels of one cell.

    images (N, 1 or 3, S, S) float in [-1, 1] -> latents (N, C, S / patch_size, S / patch_size), with
    C = patch_size² (`channels="gray"`: luma of three channels) or 3 patch_size² (`channels="rgb"`), shifted
    and scaled so that the training images have roughly unit variance. Inverse: `decode`.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: int = 4,
        channels: str = "gray",
        image_size: int = 64,
        shift: float = 0.0,  # noqa: ARG002 (register_to_config keeps it)
        scaling_factor: float = 1.0,  # noqa: ARG002
    ) -> None:
        super().__init__()
        if channels not in ("gray", "rgb"):
            raise ValueError(f"channels must be 'gray' or 'rgb', not {channels!r}")
        if image_size % patch_size:
            raise ValueError(f"image_size {image_size} is not a multiple of patch_size {patch_size}")
        # A persistent buffer, so that the saved component has a (tiny) weights file like any other.
        self.register_buffer("luma", torch.tensor(LUMA, dtype=torch.float32).reshape(1, 3, 1, 1))

    @property
    def latent_channels(self) -> int:
        return int(self.config.patch_size) ** 2 * (1 if self.config.channels == "gray" else 3)

    @property
    def latent_size(self) -> int:
        return int(self.config.image_size) // int(self.config.patch_size)

    def encode(self, images: Tensor) -> Tensor:
        """images (N, 1 or 3, S, S) float in [-1, 1] -> latents (N, C, h, w)."""
        if self.config.channels == "gray" and images.shape[1] == 3:
            images = (images * self.luma).sum(dim=1, keepdim=True)
        elif self.config.channels == "rgb" and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        cells = functional.pixel_unshuffle(images, int(self.config.patch_size))
        return (cells - self.config.shift) * self.config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """latents (N, C, h, w) -> images (N, 1 or 3, S, S) float, [-1, 1] for latents of real images."""
        cells = latents / self.config.scaling_factor + self.config.shift
        return functional.pixel_shuffle(cells, int(self.config.patch_size))

    def forward(self, images: Tensor) -> Tensor:
        return self.encode(images)


class ClassEmbedding(ModelMixin, ConfigMixin):
    """The prompt table: learned tokens per class. Row 0 is the null prompt, row class_id + 1 the class.

    rows (N,) int64 -> encoder_hidden_states (N, tokens, width); `table` is (n_classes + 1, tokens, width).
    """

    @register_to_config
    def __init__(self, class_names: Sequence[str] = (), tokens: int = 4, width: int = 64) -> None:
        super().__init__()
        if len(set(class_names)) != len(class_names):
            raise ValueError(f"class names repeat: {list(class_names)}")
        self.table = nn.Parameter(torch.randn(len(class_names) + 1, tokens, width))

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.config.class_names)

    def forward(self, rows: Tensor) -> Tensor:
        return self.table[rows]


@dataclass(frozen=True)
class ScoringProfile:
    """How this pipeline is best used, measured on held-out tuning images; `scoring.json` beside the weights.

    t_min, t_max: the band of the schedule that scores use, as fractions of `num_train_timesteps`.
    timestep_weights: one weight per equal slice of that band, low to high, or None for equal weights.
    dift_timestep: integer timestep of the features; dift_block: "mid" or the index of an up-block.
    window_fraction: side of a window over the image's side. rule: name of the best scoring rule.
    brightness_weight: weight of the z-score of window brightness added to the z-score of typicality. centring: how chosen
    windows move, "none" or "contrast". draw_order: all draws of a bank of that size in the order in which they are taken,
    None for the bank's own. auto_draws: how many of them are enough, 0 if nobody asked.
    """

    t_min: float
    t_max: float
    dift_timestep: int
    dift_block: str | int
    window_fraction: float
    rule: str
    timestep_weights: tuple[float, ...] | None = None
    brightness_weight: float = 0.0
    centring: str = "none"
    draw_order: tuple[int, ...] | None = None
    auto_draws: int = 0

    def save(self, folder: str | os.PathLike[str]) -> None:
        text = json.dumps(asdict(self), indent=2) + "\n"
        (Path(folder) / SCORING_FILE).write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ScoringProfile:
        """Raises FileNotFoundError without the file, TypeError when a key is missing or unknown."""
        values = json.loads((Path(folder) / SCORING_FILE).read_text(encoding="utf-8"))
        for name in ("timestep_weights", "draw_order"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)


class SmallPipeline(DiffusionPipeline):
    """vae + class_embedding + unet + scheduler, saved and loaded as any diffusers folder."""

    vae: SpaceToDepth
    class_embedding: ClassEmbedding
    unet: UNet2DConditionModel
    scheduler: DDPMScheduler

    def __init__(
        self, vae: SpaceToDepth, class_embedding: ClassEmbedding, unet: UNet2DConditionModel, scheduler: DDPMScheduler
    ) -> None:
        super().__init__()
        self.register_modules(vae=vae, class_embedding=class_embedding, unet=unet, scheduler=scheduler)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.class_embedding.class_names
