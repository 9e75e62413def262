"""The loss as its definition says, slowly: what the exported noise predictor is held against.

Noise is added by the diffusers scheduler, the UNet runs once per condition, and the squared errors are subtracted in
float64. Shares nothing with graphs.NoisePredictor but the bank and the parametrisation, so a swapped condition, a wrong
schedule or a wrong draw in the fused graph shows. Must not know ONNX or Triton.
"""

from __future__ import annotations

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from export_scripts.draw_bank import DrawBank
from export_scripts.graphs import noise_prediction


class PlainLoss:
    """Callable with NoisePredictor's inputs and outputs (see there)."""

    def __init__(self, unet: UNet2DConditionModel, bank: DrawBank, scheduler: DDPMScheduler) -> None:
        self._unet, self._bank, self._scheduler = unet, bank, scheduler

    def __call__(self, latent: Tensor, cond: Tensor, reference: Tensor, draw: Tensor) -> tuple[Tensor, ...]:
        index = draw[:, 0].numpy()
        timesteps, eps = torch.from_numpy(self._bank.timesteps[index]), torch.from_numpy(self._bank.noises[index])
        noisy = self._scheduler.add_noise(latent, eps, timesteps)
        prompt_map, reference_map = (
            (self._noise(noisy, timesteps, tokens).double() - eps.double()).square() for tokens in (cond, reference)
        )
        delta = (reference_map - prompt_map).mean(dim=1)
        losses = (errors.mean(dim=(1, 2, 3)).unsqueeze(1) for errors in (prompt_map, reference_map))
        return tuple(output.float() for output in (delta, *losses))

    def _noise(self, noisy: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        output = self._unet(noisy, timesteps, encoder_hidden_states=tokens).sample
        alpha = self._scheduler.alphas_cumprod[timesteps].reshape(-1, 1, 1, 1)
        return noise_prediction(self._scheduler.config.prediction_type, output, noisy, alpha.sqrt(), (1 - alpha).sqrt())
