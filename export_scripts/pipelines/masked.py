"""Prompts of which some tokens are padding: a mask is the last column of a prompt's tokens, 1 for a word and 0 for padding.

So a mask can't be parted from its tokens, and a masked prompt [N, L, D + 1] travels as any other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def with_mask(tokens: Tensor, mask: Tensor) -> Tensor:
    """Tokens [N, L, D] and their mask [N, L] as one tensor [N, L, D + 1]."""
    return torch.cat((tokens, mask.to(tokens.dtype).unsqueeze(2)), dim=2)


def without_mask(prompts: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens [N, L, D] of masked prompts and their mask [N, L], float32 of exact ones and zeros. latents: N of them.

    Gates feed any numbers: of these, tokens near the greatest are kept, so that no prompt is all padding.
    """
    # The exporter must see that N is that of the latents, by whose number diffusers folds prompts.
    prompts = prompts.to(torch.float32).expand(latents.shape[0], -1, -1)
    tokens, mask = prompts[:, :, :-1], prompts[:, :, -1]
    return tokens, (mask > mask.amax(dim=1, keepdim=True) - 0.5).to(torch.float32)


def attention_bias(mask: Tensor) -> Tensor:
    """What diffusers' transformers make of a mask [N, L] for their attention, [N, 1, L]: 0 for words, -10000 for padding."""
    return (1 - mask).unsqueeze(1) * -10000.0


def padded_to(prompts: Tensor, length: int) -> Tensor:
    """Masked prompts [N, L, D + 1] with padding up to `length` tokens."""
    return functional.pad(prompts, (0, 0, 0, length - prompts.shape[1]))
