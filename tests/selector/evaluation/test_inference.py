"""Folded networks: the same answers as the network that was trained, which itself stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from selector.evaluation.architectures import build
from selector.evaluation.inference import Inference, folded


def trained(name: str) -> nn.Module:
    """A network whose normalisation has seen something, in training mode."""
    network = build(name, 5, 16, seed=1).train()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _ in range(5):
            network(3.0 + 2.0 * torch.randn(8, 3, 16, 16, generator=draw))
    return network


@pytest.mark.parametrize("name", ["convnet", "resnet18-w16", "vit-w96"])
def test_a_network_made_ready_answers_as_in_evaluation_mode_and_is_left_alone(name: str) -> None:
    network = trained(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = 3.0 + torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    said = Inference(network, "fp32")(images)
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    wanted = network.eval()(images)
    torch.testing.assert_close(said, wanted, rtol=1e-4, atol=1e-4)
    assert not said.requires_grad
    half = Inference(network, "bf16")(images)
    assert half.dtype == torch.float32
    assert (half - wanted).abs().max() < 0.05 * wanted.abs().max() + 0.05


def test_folding_leaves_no_normalisation_behind_a_convolution() -> None:
    for name, left in (("convnet", 0), ("resnet18-w16", 0)):
        kinds = [type(module) for module in folded(trained(name)).modules()]
        assert kinds.count(nn.BatchNorm2d) == left
        assert kinds.count(nn.Identity) >= 3
