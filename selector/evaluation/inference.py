"""A trained network made ready for inference: batch normalisation folded into convolutions, bfloat16 where asked.

On a CPU with bfloat16 products a folded ConvNet answers in half the time; docs/decisions/009-students.md has the
numbers.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Inference:
    """A network that takes and gives float32, computes in `precision` and keeps no gradients. The original is left alone."""

    def __init__(self, network: nn.Module, precision: str) -> None:
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        ready = folded(network).to(self._dtype)
        self._network = ready.to(memory_format=torch.channels_last)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Float32 [n, 3, S, S] → float32 [n, classes]."""
        with torch.no_grad():
            logits: torch.Tensor = self._network(images.to(self._dtype)).float()
        return logits


def folded(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode in which every normalisation right after a convolution is part of that convolution."""
    ready = copy.deepcopy(network).eval()
    for block in [module for module in ready.modules() if isinstance(module, nn.Sequential)]:
        for place in range(len(block) - 1):
            first, second = block[place], block[place + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                block[place], block[place + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return ready
