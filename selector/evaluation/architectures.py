"""Students' and teachers' networks in plain torch, by name.

All take float32 [n, 3, S, S] for any S of at least 16 that is a multiple of 4, except where a network says otherwise,
and return logits [n, classes].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import nn

from selector.errors import UsageError


def convnet(classes: int, side_px: int, width: int, depth: int = 3, stride: int = 1) -> nn.Module:
    """ConvNet-3 as in dataset distillation: blocks of 3 × 3 convolution, normalisation, ReLU and 2 × 2 average pooling.

    Batch normalisation, as RDED's students have it. stride: of the first convolution; with 2, a side of 64 px costs what
    one of 32 px costs without.
    """
    layers: list[nn.Module] = []
    channels, side = 3, side_px // stride
    for block in range(depth):
        convolution = nn.Conv2d(channels, width, 3, 1 if block else stride, 1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.AvgPool2d(2)]
        channels, side = width, side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * side * side, classes))


class ResidualBlock(nn.Module):  # type: ignore[misc]
    """Two 3 × 3 convolutions and a shortcut (He et al. 2016, the basic block)."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[n, before, h, w] → [n, width, h / stride, w / stride]."""
        return torch.relu(self.body(images) + self.shortcut(images))


def resnet18(classes: int, side_px: int, width: int) -> nn.Module:  # noqa: ARG001
    """ResNet-18 with a small stem: one 3 × 3 convolution, no pooling; widths 1, 2, 4 and 8 times `width`."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for stage in range(4):
        own = width * 2**stage
        layers += [ResidualBlock(before, own, 1 if stage == 0 else 2), ResidualBlock(own, own, 1)]
        before = own
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes))


class VisionTransformer(nn.Module):  # type: ignore[misc]
    """A ViT with patches of `patch` px, learned positions and a class token (Dosovitskiy et al. 2021).

    Pixels beyond the last whole patch are not seen.
    """

    def __init__(self, classes: int, side_px: int, width: int, depth: int, heads: int, patch: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.randn(1, (side_px // patch) ** 2 + 1, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """[n, 3, side_px, side_px] → [n, classes]."""
        patches = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), patches], dim=1) + self.place
        return self.head(self.body(tokens)[:, 0])


ARCHITECTURES: Mapping[str, Callable[[int, int], nn.Module]] = MappingProxyType(
    {
        "convnet": partial(convnet, width=32),
        "convnet-s2": partial(convnet, width=32, stride=2),
        "convnet-w64": partial(convnet, width=64),
        "convnet-w64-s2": partial(convnet, width=64, stride=2),
        "convnet-w128": partial(convnet, width=128),
        "resnet18": partial(resnet18, width=64),
        "resnet18-w16": partial(resnet18, width=16),
        "resnet18-w8": partial(resnet18, width=8),
        "vit-tiny": partial(VisionTransformer, width=192, depth=12, heads=3),
        "vit-w96": partial(VisionTransformer, width=96, depth=6, heads=3),
        "vit-w64-p7": partial(VisionTransformer, width=64, depth=4, heads=4, patch=7),
    }
)
"""Name → (classes, side_px) → network. The narrower ResNet-18 and ViT are what one CPU core can train."""


def build(name: str, classes: int, side_px: int, seed: int) -> nn.Module:
    """A network with weights drawn from the seed; torch's global generator is left as it was."""
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown architecture {name!r}; there are: {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ARCHITECTURES[name](classes, side_px)
    return network.to(memory_format=torch.channels_last)
