"""Features of a transformer's tokens, after DiTF (arXiv 2505.18584): averaged, without channels of massive activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Assumed: a channel whose mean magnitude is so many times that of the median channel holds massive activations.
MASSIVE = 10.0


def massive_of(hidden: Tensor) -> tuple[int, ...]:
    """The channels of massive activations in tokens [N, T, D]; they are the same few for all images and tokens."""
    magnitude = hidden.abs().mean(dim=(0, 1))
    return tuple(int(channel) for channel in (magnitude > MASSIVE * magnitude.median()).nonzero()[:, 0])


def token_mean(tokens: Tensor, dropped: tuple[int, ...]) -> Tensor:
    """Tokens [N, T, D] averaged over T; the channels `dropped` are 0."""
    # Over the last axis of a matrix: over axis 1, ONNX Runtime adds up a lone row in another order than one in company.
    mean = tokens.transpose(1, 2).reshape(-1, tokens.shape[1]).mean(dim=1).reshape(-1, tokens.shape[2])
    if not dropped:
        return mean
    return mean * torch.tensor([float(channel not in dropped) for channel in range(mean.shape[1])])


def modulated(block: nn.Module, hidden: Tensor, modulation: Tensor) -> Tensor:
    """What the attention of a block of PixArt or Sana is given: tokens [N, T, D] after its adaptive layer norm.

    modulation: [N, 6 D], shared by all blocks; each adds a table of its own. Shift and scale come first.
    """
    table = block.scale_shift_table[None] + modulation.reshape(hidden.shape[0], 6, -1)
    normalised: Tensor = block.norm1(hidden) * (1 + table[:, 1:2]) + table[:, 0:1]
    return normalised
