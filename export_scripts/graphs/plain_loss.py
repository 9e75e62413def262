"""The loss as its definition says, slowly: what the exported noise predictor is held against.

Noise is added by the diffusers scheduler, the network runs once per condition, and the squared errors are subtracted in
float64. Only the bank, the call and the parametrisation are shared with NoisePredictor, so a swapped condition, a wrong schedule
or a wrong draw in the fused graph shows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from export_scripts.graphs.draw_bank import DrawBank
from export_scripts.graphs.networks import noise_prediction, prediction_target
from export_scripts.pipelines.denoiser import Denoiser


class PlainLoss:
    """Callable with NoisePredictor's inputs and outputs, pooled conditions included (see there); float32 throughout."""

    def __init__(self, denoiser: Denoiser, bank: DrawBank) -> None:
        self._denoiser, self._bank, self._schedule = denoiser, bank, denoiser.schedule

    def __call__(self, latent: Tensor, *conditions_and_draw: Tensor) -> tuple[Tensor, ...]:
        *conditions, draw = conditions_and_draw
        half = len(conditions) // 2
        index = draw[:, 0].numpy()
        timesteps, eps = torch.from_numpy(self._bank.timesteps[index]), torch.from_numpy(self._bank.noises[index])
        noisy = self._schedule.add_noise(latent, eps, timesteps)
        target = prediction_target(self._schedule.prediction, latent, eps)
        prompt_map, reference_map = (
            (self._noise(noisy, timesteps, *condition).double() - target.double()).square()
            for condition in (conditions[:half], conditions[half:])
        )
        delta = (reference_map - prompt_map).mean(dim=1)
        losses = (errors.mean(dim=(1, 2, 3)).unsqueeze(1) for errors in (prompt_map, reference_map))
        return tuple(output.float() for output in (delta, *losses))

    def _noise(self, noisy: Tensor, timesteps: Tensor, *condition: Tensor) -> Tensor:
        denoiser = self._denoiser
        told = self._schedule.told[timesteps]
        output = denoiser.call(denoiser.network, noisy, told, tuple(c.float() for c in condition))
        if denoiser.learned_sigma:  # split in halves, as samplers do
            output, _variance = output.chunk(2, dim=1)
        one, nothing = torch.ones(len(noisy), 1, 1, 1), torch.zeros(len(noisy), 1, 1, 1)
        signal, noise = (self._schedule.add_noise(*parts, timesteps) for parts in ((one, nothing), (nothing, one)))
        return noise_prediction(self._schedule.prediction, output, noisy, signal, noise)
