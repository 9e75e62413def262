"""Students' networks: shapes, seeds and that each can learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from selector.errors import UsageError
from selector.evaluation.architectures import ARCHITECTURES, build


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("side_px", [28, 32])
def test_every_architecture_gives_logits_and_gradients_to_every_weight(name: str, side_px: int) -> None:
    network = build(name, 7, side_px, seed=0)
    logits = network(torch.randn(2, 3, side_px, side_px))
    assert logits.shape == (2, 7)
    functional.cross_entropy(logits, torch.tensor([1, 5])).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_widths_are_those_of_the_papers() -> None:
    """ResNet-18 with CIFAR's stem has 11.17 M weights for ten classes, ViT-tiny 5.4 M."""
    size = {name: sum(w.numel() for w in build(name, 10, 32, 0).parameters()) for name in ("resnet18", "vit-tiny")}
    assert size["resnet18"] == 11_173_962
    assert 5.3e6 < size["vit-tiny"] < 5.5e6


def test_the_seed_decides_the_weights_and_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (build("convnet", 3, 28, seed).state_dict()["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_architecture_names_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="convnet"):
        build("alexnet", 3, 28, 0)
