"""The torch graphs of the four leaf models: what is computed, per row, from named inputs to named outputs.

Nothing here chunks or splits along the batch: that freezes the batch axis in the exported graph. No random number is
drawn in a graph: noises are constants.

Loss of a row at draw (t, ε), Ho et al., arXiv 2006.11239: ‖ε̂(√ᾱ x + √(1-ᾱ) ε, t, prompt) - ε‖², as a mean per cell or
latent. With p and r the noise predicted under prompt and reference, (r-ε)² - (p-ε)² = (r-p)(r+p-2ε): the product loses
no digits, where the difference of the two squares would.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from export_scripts.graphs.draw_bank import DrawBank
from export_scripts.pipelines.denoiser import Conditions, Denoiser, Place
from export_scripts.pipelines.known_fields import EPSILON, FLOW, PREDICTION_TYPES, SAMPLE, V_PREDICTION


def prediction_target(kind: str, latent: Tensor, eps: Tensor) -> Tensor:
    """What the loss compares a prediction with: ε, or the velocity ε - x of a flow.

    The two differ by a factor of a draw alone, and on ε it would silence the noisy draws, where most of the signal is.
    """
    return eps - latent if kind == FLOW else eps


def noise_prediction(kind: str, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """ε̂ from what the network gives, or a flow's velocity as it is; signal = √ᾱ, noise = √(1-ᾱ).

    v: Salimans and Ho, arXiv 2202.00512.
    """
    if kind in (EPSILON, FLOW):
        return output
    if kind == V_PREDICTION:
        return signal * output + noise * noisy
    if kind == SAMPLE:
        return (noisy - signal * output) / noise
    raise ValueError(f"prediction_type {kind!r} is none of {(*PREDICTION_TYPES, FLOW)}")


class VaeEncoder(nn.Module):
    """IMAGE uint8 [N, S, S, 3] → LATENT float32 [N, C, h, w]. `encoder`: [N, 3, S, S] in [-1, 1] → latents."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        # The cast comes first: TensorRT takes uint8 at the input of a cast alone, and refuses to transpose it.
        pixels = image.to(torch.float32).permute(0, 3, 1, 2)
        return self.encoder(pixels / 127.5 - 1.0).to(torch.float32)


class PromptEmbedding(nn.Module):
    """PROMPT_ID, REFERENCE_ID int32 [N, 1] → COND, REFERENCE [N, L, D]: rows of a table [n + 1, L, D].

    With a second table [n + 1, P]: COND, COND_POOLED [N, P], REFERENCE, REFERENCE_POOLED.
    """

    def __init__(self, table: Tensor, pooled: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("table", table.detach())  # not copied: it may be gigabytes
        self.register_buffer("pooled", None if pooled is None else pooled.detach())

    def forward(self, prompt_id: Tensor, reference_id: Tensor) -> tuple[Tensor, ...]:
        tables = (self.table,) if self.pooled is None else (self.table, self.pooled)
        ids = (prompt_id.squeeze(1), reference_id.squeeze(1))
        return tuple(torch.index_select(table, 0, index) for index in ids for table in tables)


class NoisePredictor(nn.Module):
    """LATENT [N, C, h, w], COND, REFERENCE [N, L, D], DRAW int32 [N, 1] → DELTA [N, h, w], LOSS_PROMPT and
    LOSS_REFERENCE [N, 1], all float32. DELTA is the reference's loss minus the prompt's, a mean over channels.

    The network may be in float16; everything around it is float32.
    """

    def __init__(self, denoiser: Denoiser, bank: DrawBank) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.unet = denoiser.network  # whatever its kind: the attribute's name is in the committed graphs
        timesteps, schedule = torch.from_numpy(bank.timesteps), denoiser.schedule
        self.register_buffer("timesteps", schedule.told[timesteps])
        self.register_buffer("noises", torch.from_numpy(bank.noises))
        self.register_buffer("signal_scales", schedule.signal[timesteps].reshape(-1, 1, 1, 1))
        self.register_buffer("noise_scales", schedule.noise[timesteps].reshape(-1, 1, 1, 1))

    def forward(self, latent: Tensor, cond: Tensor, reference: Tensor, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.losses(latent, (torch.cat((cond, reference)),), draw)

    def losses(self, latent: Tensor, conditions: Conditions, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """conditions: [2 N, …], the prompts of all rows and then their references."""
        rows, index = latent.shape[0], draw.squeeze(1)
        timesteps, eps = self.timesteps.index_select(0, index), self.noises.index_select(0, index)
        signal, noise = self.signal_scales.index_select(0, index), self.noise_scales.index_select(0, index)
        noisy = signal * latent + noise * eps
        output = self.denoiser.predict(torch.cat((noisy, noisy)), torch.cat((timesteps, timesteps)), conditions)
        prediction = self.denoiser.schedule.prediction
        eps_p = noise_prediction(prediction, output[:rows], noisy, signal, noise)
        eps_r = noise_prediction(prediction, output[rows:], noisy, signal, noise)
        target = prediction_target(prediction, latent, eps)
        delta = _channel_mean((eps_r - eps_p) * (eps_r + eps_p - 2 * target))
        return delta, _mean_square(eps_p - target), _mean_square(eps_r - target)


class PooledNoisePredictor(NoisePredictor):
    """NoisePredictor with a second condition of each row: COND_POOLED, REFERENCE_POOLED [N, P]."""

    def forward(
        self,
        latent: Tensor,
        cond: Tensor,
        cond_pooled: Tensor,
        reference: Tensor,
        reference_pooled: Tensor,
        draw: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        pooled = torch.cat((cond_pooled, reference_pooled))
        return self.losses(latent, (torch.cat((cond, reference)), pooled), draw)


class DiftExtractor(nn.Module):
    """LATENT [N, C, h, w], COND [N, L, D] → FEATURE float32 [N, F]: diffusion features (Tang et al., arXiv 2306.03881).

    Noise is added at one timestep, the network runs up to `place`; what is read there is averaged over space and
    L2-normalised. `noise`: float32 [C, h, w], the same for every row.
    """

    def __init__(self, denoiser: Denoiser, timestep: int, place: Place, noise: Tensor) -> None:
        super().__init__()
        self.denoiser, self.place = denoiser, place
        self.unet = denoiser.network
        self.signal_scale = float(denoiser.schedule.signal[timestep])
        self.register_buffer("scaled_noise", denoiser.schedule.noise[timestep] * noise)
        self.register_buffer("timestep", denoiser.schedule.told[timestep : timestep + 1].clone())

    def forward(self, latent: Tensor, cond: Tensor) -> Tensor:
        return self.features(latent, (cond,))

    def features(self, latent: Tensor, conditions: Conditions) -> Tensor:
        """The forward pass with conditions of any number."""
        noisy, timesteps = self.signal_scale * latent + self.scaled_noise, self.timestep.expand(latent.shape[0])
        read = self.denoiser.taps.read(self.unet, noisy, timesteps, conditions, self.place)
        return functional.normalize(read, dim=1)


class PooledDiftExtractor(DiftExtractor):
    """DiftExtractor with a second condition: COND_POOLED [N, P]."""

    def forward(self, latent: Tensor, cond: Tensor, cond_pooled: Tensor) -> Tensor:
        return self.features(latent, (cond, cond_pooled))


def _mean_square(error: Tensor) -> Tensor:
    return error.square().mean(dim=(1, 2, 3)).unsqueeze(1)


def _channel_mean(errors: Tensor) -> Tensor:
    """[N, C, h, w] → [N, h, w], as a mean over the last axis of a matrix [N * h * w, C].

    As a mean over axis 1, ONNX Runtime adds up a lone row in another order than the same row in company, so a score
    would depend (by 6e-8) on how rows were batched. A transposition alone does not help: it is optimised away.
    """
    channels, height, width = errors.shape[1:]
    return errors.permute(0, 2, 3, 1).reshape(-1, channels).mean(dim=1).reshape(-1, height, width)
