"""What stays in float32 in a float16 network, and what float16 can't hold."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from export_scripts.errors import HalfOverflow
from export_scripts.graphs.half import check_half_range, half_copy
from tests.tiny_text_pipeline import tiny_unet, tiny_vae


def test_a_half_copy_keeps_norms_in_float32_and_leaves_the_original_alone() -> None:
    unet = tiny_unet()
    copied = half_copy(unet)
    norms = [m for m in copied.modules() if isinstance(m, nn.GroupNorm | nn.LayerNorm)]
    assert norms
    assert all(p.dtype == torch.float32 for norm in norms for p in norm.parameters())
    others = {p.dtype for m in copied.modules() if isinstance(m, nn.Conv2d | nn.Linear) for p in m.parameters()}
    assert others == {torch.float16}
    assert {p.dtype for p in unet.parameters()} == {torch.float32}


def test_norms_survive_values_whose_squares_float16_can_not_hold() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1))
    values = 3000 * torch.randn(2, 4, 8, 8)
    got = half_copy(layers)(values.half())
    torch.testing.assert_close(got.float(), layers(values.half().float()), rtol=0, atol=5e-3)


@pytest.mark.parametrize("upcast", [False, True])
def test_attention_asked_for_in_float32_computes_in_float32(upcast: bool) -> None:
    """As Stable Diffusion 2.1 asks for: what the attention function sees is float32."""
    seen: set[torch.dtype] = set()
    original = nn.functional.scaled_dot_product_attention

    def watch(query: torch.Tensor, *rest: torch.Tensor, **named: object) -> torch.Tensor:
        seen.add(query.dtype)
        return original(query, *rest, **named)

    copied = half_copy(tiny_unet(upcast_attention=upcast))
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(nn.functional, "scaled_dot_product_attention", watch)
        output = copied(torch.randn(1, 4, 16, 16).half(), 5, torch.randn(1, 3, 8).half()).sample
    assert seen == {torch.float32 if upcast else torch.float16}
    assert output.dtype == torch.float16


def test_a_half_copy_computes_what_the_original_computes() -> None:
    torch.manual_seed(0)
    unet, latent, cond = tiny_unet(upcast_attention=True), torch.randn(1, 4, 16, 16).half(), torch.randn(1, 3, 8).half()
    with torch.no_grad():
        full, half = unet(latent.float(), 5, cond.float()).sample, half_copy(unet)(latent, 5, cond).sample
    assert float((full - half).abs().max() / full.abs().max()) < 5e-3


def test_a_vae_whose_activations_overflow_float16_is_refused_by_the_layer_s_name() -> None:
    """What is known of SDXL's VAE: right in float32, NaN in float16."""
    torch.manual_seed(0)
    vae = tiny_vae(force_upcast=False)
    with torch.no_grad():
        vae.encoder.conv_in.weight *= 1e6
    with pytest.raises(
        HalfOverflow, match=r"vae_encoder: conv_in reaches .* export it in fp32 \(for a VAE, set force_upcast"
    ):
        check_half_range("vae_encoder", vae.encoder, lambda: vae.encoder(torch.rand(1, 3, 16, 16)))


def test_values_that_fit_are_measured() -> None:
    layer = nn.Identity()
    assert check_half_range("small", layer, lambda: layer(torch.tensor([-3.0, 2.0]))) == 3.0


def test_a_value_that_is_no_number_does_not_fit() -> None:
    layer = nn.Identity()
    with pytest.raises(HalfOverflow):
        check_half_range("nan", layer, lambda: layer(torch.tensor([float("nan")])))
