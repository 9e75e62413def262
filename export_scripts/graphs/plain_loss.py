"""The loss as its definition says, slowly: what the exported noise predictor is held against.

Noise is added by the diffusers scheduler, the network runs once per condition, and the squared errors are subtracted in
float64. Only the bank, the call and the parametrisation are shared with NoisePredictor, so a swapped condition, a wrong schedule
or a wrong draw in the fused graph shows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from export_scripts.graphs.draw_bank import DrawBank
from export_scripts.graphs.networks import noise_prediction
from export_scripts.pipelines.denoiser import Denoiser


class PlainLoss:
    """Callable with NoisePredictor's inputs and outputs, pooled conditions included (see there); float32 throughout."""

    def __init__(self, denoiser: Denoiser, bank: DrawBank) -> None:
        self._denoiser, self._bank, self._scheduler = denoiser, bank, denoiser.schedule.scheduler

    def __call__(self, latent: Tensor, *conditions_and_draw: Tensor) -> tuple[Tensor, ...]:
        *conditions, draw = conditions_and_draw
        half = len(conditions) // 2
        index = draw[:, 0].numpy()
        timesteps, eps = torch.from_numpy(self._bank.timesteps[index]), torch.from_numpy(self._bank.noises[index])
        noisy = self._scheduler.add_noise(latent, eps, timesteps)
        prompt_map, reference_map = (
            (self._noise(noisy, timesteps, *condition).double() - eps.double()).square()
            for condition in (conditions[:half], conditions[half:])
        )
        delta = (reference_map - prompt_map).mean(dim=1)
        losses = (errors.mean(dim=(1, 2, 3)).unsqueeze(1) for errors in (prompt_map, reference_map))
        return tuple(output.float() for output in (delta, *losses))

    def _noise(self, noisy: Tensor, timesteps: Tensor, *condition: Tensor) -> Tensor:
        denoiser = self._denoiser
        output = denoiser.call(denoiser.network, noisy, timesteps, tuple(c.float() for c in condition))
        if denoiser.learned_sigma:  # split in halves, as samplers do
            output, _variance = output.chunk(2, dim=1)
        alpha = self._scheduler.alphas_cumprod[timesteps].reshape(-1, 1, 1, 1)
        return noise_prediction(self._scheduler.config.prediction_type, output, noisy, alpha.sqrt(), (1 - alpha).sqrt())
