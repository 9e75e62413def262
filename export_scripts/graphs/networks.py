"""The torch graphs of the four leaf models: what is computed, per row, from named inputs to named outputs.

Nothing here chunks or splits along the batch: that freezes the batch axis in the exported graph. No random number is
drawn in a graph: noises are constants.

Loss of a row at draw (t, ε), Ho et al., arXiv 2006.11239: ‖ε̂(√ᾱ x + √(1-ᾱ) ε, t, prompt) - ε‖², as a mean per cell or
latent. With p and r the noise predicted under prompt and reference, (r-ε)² - (p-ε)² = (r-p)(r+p-2ε): the product loses
no digits, where the difference of the two squares would.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from export_scripts.graphs.draw_bank import DrawBank
from export_scripts.pipelines.known_fields import EPSILON, PREDICTION_TYPES, SAMPLE, V_PREDICTION


def noise_prediction(kind: str, output: Tensor, noisy: Tensor, signal: Tensor, noise: Tensor) -> Tensor:
    """ε̂ from what the UNet gives; signal = √ᾱ, noise = √(1-ᾱ). v: Salimans and Ho, arXiv 2202.00512."""
    if kind == EPSILON:
        return output
    if kind == V_PREDICTION:
        return signal * output + noise * noisy
    if kind == SAMPLE:
        return (noisy - signal * output) / noise
    raise ValueError(f"prediction_type {kind!r} is none of {PREDICTION_TYPES}")


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
        self.register_buffer("table", table.detach().clone())
        self.register_buffer("pooled", None if pooled is None else pooled.detach().clone())

    def forward(self, prompt_id: Tensor, reference_id: Tensor) -> tuple[Tensor, ...]:
        tables = (self.table,) if self.pooled is None else (self.table, self.pooled)
        ids = (prompt_id.squeeze(1), reference_id.squeeze(1))
        return tuple(torch.index_select(table, 0, index) for index in ids for table in tables)


class NoisePredictor(nn.Module):
    """LATENT [N, C, h, w], COND, REFERENCE [N, L, D], DRAW int32 [N, 1] → DELTA [N, h, w], LOSS_PROMPT and
    LOSS_REFERENCE [N, 1], all float32. DELTA is the reference's loss minus the prompt's, a mean over channels.

    The UNet may be in float16; everything around it is float32. time_ids: [1, 6], see SourcePipeline, or None.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        bank: DrawBank,
        alphas_cumprod: Tensor,
        prediction_type: str,
        time_ids: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.prediction_type = prediction_type
        timesteps = torch.from_numpy(bank.timesteps)
        alpha = alphas_cumprod[timesteps].to(torch.float32).reshape(-1, 1, 1, 1)
        self.register_buffer("timesteps", timesteps)
        self.register_buffer("noises", torch.from_numpy(bank.noises))
        self.register_buffer("signal_scales", alpha.sqrt())
        self.register_buffer("noise_scales", (1 - alpha).sqrt())
        self.register_buffer("time_ids", time_ids)

    def forward(self, latent: Tensor, cond: Tensor, reference: Tensor, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.losses(latent, torch.cat((cond, reference)), None, draw)

    def losses(
        self, latent: Tensor, tokens: Tensor, pooled: Tensor | None, draw: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """tokens, pooled: [2 N, …], the prompts of all rows and then their references."""
        rows, index = latent.shape[0], draw.squeeze(1)
        timesteps, eps = self.timesteps.index_select(0, index), self.noises.index_select(0, index)
        signal, noise = self.signal_scales.index_select(0, index), self.noise_scales.index_select(0, index)
        noisy = signal * latent + noise * eps
        output = self.unet(
            torch.cat((noisy, noisy)).to(weights_dtype(self.unet)),
            torch.cat((timesteps, timesteps)),
            tokens,
            added_cond_kwargs=added_conditions(pooled, self.time_ids),
        ).sample.to(torch.float32)
        eps_p = noise_prediction(self.prediction_type, output[:rows], noisy, signal, noise)
        eps_r = noise_prediction(self.prediction_type, output[rows:], noisy, signal, noise)
        delta = _channel_mean((eps_r - eps_p) * (eps_r + eps_p - 2 * eps))
        return delta, _mean_square(eps_p - eps), _mean_square(eps_r - eps)


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
        return self.losses(latent, torch.cat((cond, reference)), torch.cat((cond_pooled, reference_pooled)), draw)


class DiftExtractor(nn.Module):
    """LATENT [N, C, h, w], COND [N, L, D] → FEATURE float32 [N, F]: diffusion features (Tang et al., arXiv 2306.03881).

    Noise is added at one timestep, the UNet runs up to `block` ("mid", or the index of an up-block), whose output is
    averaged over space and L2-normalised. `noise`: float32 [C, h, w], the same for every row. time_ids: as above.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        alphas_cumprod: Tensor,
        timestep: int,
        block: str | int,
        noise: Tensor,
        time_ids: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.unet = unet
        self.up_blocks = 0 if block == "mid" else int(block) + 1
        alpha = alphas_cumprod[timestep].to(torch.float32)
        self.signal_scale = float(alpha.sqrt())
        self.register_buffer("scaled_noise", (1 - alpha).sqrt() * noise)
        self.register_buffer("timestep", torch.tensor([timestep], dtype=torch.int64))
        self.register_buffer("time_ids", time_ids)

    def forward(self, latent: Tensor, cond: Tensor) -> Tensor:
        return self.features(latent, cond, None)

    def features(self, latent: Tensor, cond: Tensor, pooled: Tensor | None) -> Tensor:
        """The forward pass with or without a pooled condition [N, P]."""
        noisy = (self.signal_scale * latent + self.scaled_noise).to(weights_dtype(self.unet))
        timesteps = self.timestep.expand(latent.shape[0])
        added = added_conditions(pooled, self.time_ids)
        hidden = partial_unet(self.unet, noisy, timesteps, cond, self.up_blocks, added)
        return functional.normalize(hidden.to(torch.float32).mean(dim=(2, 3)), dim=1)


class PooledDiftExtractor(DiftExtractor):
    """DiftExtractor with a second condition: COND_POOLED [N, P]."""

    def forward(self, latent: Tensor, cond: Tensor, cond_pooled: Tensor) -> Tensor:
        return self.features(latent, cond, cond_pooled)


def partial_unet(
    unet: UNet2DConditionModel,
    noisy: Tensor,
    timesteps: Tensor,
    cond: Tensor,
    up_blocks: int,
    added: dict[str, Tensor] | None = None,
) -> Tensor:
    """The UNet's hidden states [N, F, h', w'] after the mid block and its first `up_blocks` up-blocks.

    The submodules are called in the order of UNet2DConditionModel.forward; what comes after them is not computed, so
    an exported graph does not hold it. Latents must be divisible by the UNet's downsampling.
    """
    added = added or {}
    embedding = unet.time_embedding(unet.get_time_embed(sample=noisy, timestep=timesteps))
    addition = unet.get_aug_embed(emb=embedding, encoder_hidden_states=cond, added_cond_kwargs=added)
    embedding = embedding if addition is None else embedding + addition
    cond = unet.process_encoder_hidden_states(encoder_hidden_states=cond, added_cond_kwargs=added)
    hidden = unet.conv_in(noisy)
    residuals: tuple[Tensor, ...] = (hidden,)
    for block in unet.down_blocks:
        hidden, outputs = block(hidden_states=hidden, temb=embedding, **_attended(block, cond))
        residuals += outputs
    hidden = unet.mid_block(hidden, embedding, **_attended(unet.mid_block, cond))
    for block in unet.up_blocks[:up_blocks]:
        own, residuals = residuals[-len(block.resnets) :], residuals[: -len(block.resnets)]
        hidden = block(hidden_states=hidden, temb=embedding, res_hidden_states_tuple=own, **_attended(block, cond))
    return hidden


def added_conditions(pooled: Tensor | None, time_ids: Tensor | None) -> dict[str, Tensor]:
    """What diffusers' UNet takes as `added_cond_kwargs`: pooled [N, P] and time ids [1, 6] for every row, or nothing."""
    if pooled is None or time_ids is None:
        return {}
    # In float32, as the time embedding that diffusers joins to it is: the exporter would not promote a float16 one.
    return {"text_embeds": pooled.to(torch.float32), "time_ids": time_ids.expand(pooled.shape[0], -1)}


def weights_dtype(unet: UNet2DConditionModel) -> torch.dtype:
    """float32, or float16 for a half copy (half.py), whose norms stay in float32."""
    return unet.conv_in.weight.dtype


def _attended(block: nn.Module, cond: Tensor) -> dict[str, Tensor]:
    return {"encoder_hidden_states": cond} if getattr(block, "has_cross_attention", False) else {}


def _mean_square(error: Tensor) -> Tensor:
    return error.square().mean(dim=(1, 2, 3)).unsqueeze(1)


def _channel_mean(errors: Tensor) -> Tensor:
    """[N, C, h, w] → [N, h, w], as a mean over the last axis of a matrix [N * h * w, C].

    As a mean over axis 1, ONNX Runtime adds up a lone row in another order than the same row in company, so a score
    would depend (by 6e-8) on how rows were batched. A transposition alone does not help: it is optimised away.
    """
    channels, height, width = errors.shape[1:]
    return errors.permute(0, 2, 3, 1).reshape(-1, channels).mean(dim=1).reshape(-1, height, width)
