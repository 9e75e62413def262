"""Sana's linear attention, for graphs: a division by a sum that may be 0 is guarded by a maximum.

diffusers adds 1e-15 to the sum. The exporter's optimiser takes that for a 0 and drops it, and 0 / 0 is no number. The sum is
one of products that are not negative, so the maximum is the same guard.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import SanaMultiscaleLinearAttention
from torch import Tensor, nn
from torch.nn import functional

LEAST = 1e-15


def guard(network: nn.Module) -> None:
    """Puts the guarded attention in place of diffusers' own, in an autoencoder's encoder or a transformer's blocks."""
    for module in network.modules():
        if isinstance(module, SanaMultiscaleLinearAttention):
            module.__class__ = GuardedMultiscale
    for block in getattr(network, "transformer_blocks", ()):
        block.attn1.set_processor(GuardedLinear())


class GuardedMultiscale(SanaMultiscaleLinearAttention):
    """The autoencoder's attention over several scales."""

    def apply_linear_attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attended(query, key, value)

    def apply_quadratic_attention(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        scores = torch.matmul(key.transpose(-1, -2), query).to(torch.float32)
        scores = scores / scores.sum(dim=2, keepdim=True).clamp(min=LEAST)
        return torch.matmul(value, scores.to(value.dtype))


class GuardedLinear:
    """The processor of the transformer's attention over image tokens."""

    def __call__(self, attention: Any, hidden_states: Tensor, **_: Any) -> Tensor:
        query, key = attention.to_q(hidden_states), attention.to_k(hidden_states)
        query = query if attention.norm_q is None else attention.norm_q(query)
        key = key if attention.norm_k is None else attention.norm_k(key)
        # [N, T, D] → [N, heads, D of a head, T], in float32
        parts = (functional.relu(query), functional.relu(key), attention.to_v(hidden_states))
        heads = (p.to(torch.float32).transpose(1, 2).unflatten(1, (attention.heads, -1)) for p in parts)
        mixed = attended(*heads).flatten(1, 2).transpose(1, 2).to(hidden_states.dtype)
        output: Tensor = attention.to_out[0](mixed)
        return output


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Values [N, heads, D, T] weighted by products of keys and queries that are not negative, without the T × T of them."""
    value = functional.pad(value, (0, 0, 0, 1), value=1.0)
    sums = torch.matmul(torch.matmul(value, key.transpose(-1, -2)), query).to(torch.float32)
    return sums[:, :, :-1] / sums[:, :, -1:].clamp(min=LEAST)
