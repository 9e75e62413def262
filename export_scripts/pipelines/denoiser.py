"""What a denoiser is, as one record: a kind's own file fills it, and everything behind it reads it.

A kind (`unet.py`, `dit.py`, `flux.py`) is one file beside this one. Graphs, references, gates and checks ask the record and
never the class of its network, so another kind changes nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from export_scripts.pipelines.known_fields import FLOW

Conditions = tuple[Tensor, ...]
"""A prompt of every row: its tokens [N, L, D] and, where the kind has them, its pooled ones [N, P]."""
Place = str | int
"""Where features are read, such as "mid" or a block's index."""

NOISE_BAND = (0.34393, 3.33438)
"""Noise over signal at 0.1 and 0.7 of Stable Diffusion's schedule, the band of diff-mining's script: assumed."""

WHOLE = ("",)
"""The name that a network has among its own modules."""


class Call(Protocol):
    """Runs the whole network on latents [N, C, h, w] and what it is told of timesteps [N], as diffusers' own pipeline calls it.

    What comes back is the network's output, in its own type.
    """

    def __call__(self, network: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, /) -> Tensor: ...


class Tap(Protocol):
    """Runs the network up to a place: what is read there, averaged over space, float32 [N, F].

    What comes behind the place is not computed, so that an exported graph does not hold it.
    """

    def __call__(
        self, network: nn.Module, noisy: Tensor, timesteps: Tensor, conditions: Conditions, place: Place, /
    ) -> Tensor: ...


@dataclass(frozen=True)
class Schedule:
    """Noising as in training: x_t = signal[t] x + noise[t] ε; both float32 [steps], from little noise to much.

    told: what the network is told at each t, int64 or float32 [steps]. prediction: what it gives, epsilon, v_prediction,
    sample, or flow (ε - x). scheduler: diffusers' own of the same noise levels. add_noise: how that one noises, (x, ε, t) →
    x_t; references use it in place of the scales.
    """

    signal: Tensor
    noise: Tensor
    told: Tensor
    prediction: str
    scheduler: Any
    add_noise: Callable[[Tensor, Tensor, Tensor], Tensor]

    @property
    def steps(self) -> int:
        """How many timesteps it has."""
        return len(self.signal)


@dataclass(frozen=True)
class PromptShape:
    """What the network takes beside latents and timesteps. width: D of a prompt's tokens. tokens: L, or None for any
    number. pooled: P, 0 for none. masked: whether a mask is the last of the D columns (masked.py)."""

    width: int
    tokens: int | None = None
    pooled: int = 0
    masked: bool = False


@dataclass(frozen=True)
class LatentShape:
    """channels: C. gives: channels of the output: C, or twice that with a learned sigma. multiple: of what number of cells
    a side must be. greatest: how many cells a side may have, None for any number. The encoder
    shifts and scales (parts.KlEncoder)."""

    channels: int
    gives: int
    multiple: int
    greatest: int | None = None


@dataclass(frozen=True)
class Taps:
    """Where features can be read. widths: channels at each place. told: the places in words. massive: channels that are 0
    at a place, if any, since their values would drown the others. again: the same for features of another timestep, where
    those channels depend on it."""

    read: Tap
    widths: Mapping[Place, int]
    told: str
    massive: Mapping[Place, tuple[int, ...]] = field(default_factory=dict)
    again: Callable[[int], Taps] | None = None


class BlockFeatures(Protocol):
    """How features are read at a transformer's blocks, by the number of a block."""

    @property
    def massive(self) -> Mapping[Place, tuple[int, ...]]:
        """As in Taps."""

    @property
    def read(self) -> Tap:
        """As in Taps."""


def block_taps(features: Callable[[int], BlockFeatures], blocks: int, width: int, timestep: int) -> Taps:
    """Taps at each of so many blocks. features: those of a timestep."""
    made = features(timestep)
    places = f"the blocks 0 to {blocks - 1}"
    again = partial(block_taps, features, blocks, width)
    return Taps(made.read, dict.fromkeys(range(blocks), width), places, made.massive, again)


@dataclass(frozen=True)
class Denoiser:
    """All that is known of one network that predicts noise.

    kind: its name in messages. learned_sigma: whether the prediction is the first half of the output's channels, and a
    variance the second. half: names of the modules that run in float16 when it is asked for, WHOLE for all of it and None
    where there is no recipe; outside of them the network stays in float32 (graphs/half.py). no_null: why nothing is predicted
    without a prompt, empty where something is; then classes are contrasted with each other alone.
    """

    kind: str
    network: nn.Module
    call: Call
    schedule: Schedule
    prompt: PromptShape
    latents: LatentShape
    taps: Taps
    learned_sigma: bool = False
    half: tuple[str, ...] | None = WHOLE
    no_null: str = ""

    def predict(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """What the schedule's `prediction` names, float32 [N, C, h, w]."""
        output = self.call(self.network, noisy, timesteps, conditions)
        return (output[:, : self.latents.channels] if self.learned_sigma else output).to(torch.float32)


def default_band(schedule: Schedule) -> tuple[float, float]:
    """The scored band where nobody measured one, as fractions of the schedule: of the same noise for every kind."""
    ratio = (schedule.noise / schedule.signal).contiguous()
    low, high = (int(torch.searchsorted(ratio, level)) / schedule.steps for level in NOISE_BAND)
    return low, high


def beta_schedule(scheduler: DDPMScheduler) -> Schedule:
    """√ᾱ and √(1-ᾱ) of a scheduler of betas."""
    alpha = scheduler.alphas_cumprod.to(torch.float32)
    told, prediction = torch.arange(len(alpha)), str(scheduler.config.prediction_type)
    return Schedule(alpha.sqrt(), (1 - alpha).sqrt(), told, prediction, scheduler, scheduler.add_noise)


def flow_schedule(scheduler: FlowMatchEulerDiscreteScheduler) -> Schedule:
    """1 - σ and σ of a scheduler of flow matching; its network is told σ in thousandths, shifted as in the configuration."""
    sigma, told = scheduler.sigmas.flip(0).to(torch.float32), scheduler.timesteps.flip(0).to(torch.float32)

    def add_noise(x: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        noisy: Tensor = scheduler.scale_noise(x, told[timesteps], noise)
        return noisy

    return Schedule(1 - sigma, sigma, told, FLOW, scheduler, add_noise)
