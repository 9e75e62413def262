"""A network in float16 whose sensitive parts stay in float32, and whether its values fit into float16 at all.

The exported file says explicitly what runs in which type, as strongly typed engines need it:
- of a UNet or VAE all is float16; of a transformer the blocks' attention and feed-forward parts are islands of float16, and
  modulation, gates, norms and the residual stream, which may outgrow float16, stay in float32;
- norms compute in float32 (a variance in float16 overflows from a deviation of 256 on), with float32 weights;
- attention whose configuration asks for it (`upcast_attention`, Stable Diffusion 2.1) computes scores, softmax and the
  weighted sum in float32; elsewhere softmax stays in float16, which fused attention kernels add up in float32 inside;
- everything around the network (noising, losses, pooling) is float32 in networks.py.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn

from export_scripts.errors import HalfOverflow
from export_scripts.pipelines.denoiser import WHOLE

HALF_LARGEST = 65504.0
HEADROOM = 2.0  # values of real images may be larger than those of the gates' inputs


class Float32GroupNorm(nn.GroupNorm):
    """A GroupNorm that computes in float32 and answers in its input's type."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.float32)).to(x.dtype)


class Float32LayerNorm(nn.LayerNorm):
    """A LayerNorm that computes in float32 and answers in its input's type."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.float32)).to(x.dtype)


class Float32RMSNorm(nn.RMSNorm):
    """An RMSNorm that computes in float32 and answers in its input's type."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.float32)).to(x.dtype)


FLOAT32_NORMS: Mapping[type[nn.Module], type[nn.Module]] = {
    nn.GroupNorm: Float32GroupNorm,
    nn.LayerNorm: Float32LayerNorm,
    nn.RMSNorm: Float32RMSNorm,
}


class Island(nn.Module):
    """A module in float16 inside a network in float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any, **named: Any) -> Any:
        half = {name: _cast(value, torch.float16) for name, value in named.items()}
        given = self.module(*(_cast(value, torch.float16) for value in inputs), **half)
        if isinstance(given, tuple):
            return tuple(_cast(each, torch.float32) for each in given)
        return _cast(given, torch.float32)


class Cast(nn.Module):
    """Its input in another type."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def half_copy(network: nn.Module, islands: tuple[str, ...] = WHOLE) -> nn.Module:
    """A copy in float16 that leaves `network` as it is; takes half its memory, what stays in float32 shares its weights.

    islands: see Denoiser.half.
    """
    memo: dict[int, Any] = {}
    norms = [m for m in network.modules() if isinstance(m, tuple(FLOAT32_NORMS))]
    reduced = {id(p) for part in _islands(network, islands).values() for p in part.parameters()}
    kept = {id(p) for p in network.parameters() if id(p) not in reduced}
    kept |= {id(parameter) for norm in norms for parameter in norm.parameters()}
    for parameter in network.parameters():
        # Told of its copies beforehand, deepcopy never makes a float32 copy of the weights.
        own = parameter if id(parameter) in kept else nn.Parameter(parameter.detach().to(torch.float16), False)
        memo[id(parameter)] = own
    copied = copy.deepcopy(network, memo)
    for module in list(copied.modules()):
        found = next((kind for kind in FLOAT32_NORMS if isinstance(module, kind)), None)
        if found is not None:
            module.__class__ = FLOAT32_NORMS[found]  # the same weights and settings, another forward pass
        elif isinstance(module, Attention) and module.upcast_attention:
            _upcast(module)
    for name, part in _islands(copied, islands).items():
        if name:
            copied.set_submodule(name, Island(part))
    return copied.eval()


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """A tensor of floats in another type; anything else as it is."""
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _islands(network: nn.Module, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """The modules of these names, or patterns of full names, by their full ones; the network itself for WHOLE."""
    return {
        full: part
        for full, part in network.named_modules()
        if full.rpartition(".")[2] in names or any(fnmatchcase(full, name) for name in names if "." in name)
    }


def check_half_range(
    model: str, network: nn.Module, run: Callable[[], object], islands: tuple[str, ...] = WHOLE
) -> float:
    """The largest absolute value that any layer of `network` (float32) that is to be float16 gives while `run` runs it.

    Raises HalfOverflow if float16 can't hold HEADROOM times that; it names the first layer of which this is so.
    """
    largest: dict[str, float] = {}

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            given = output if isinstance(output, tuple) else (output,)
            for each in (each for each in given if isinstance(each, Tensor)):
                # NaN counts as more than anything: max() of Python would pass over it.
                value = float(each.detach().abs().nan_to_num(nan=float("inf")).max())
                largest[name] = max(largest.get(name, 0.0), value)

        return hook

    watched = {
        f"{start}.{name}".strip("."): module
        for start, part in _islands(network, islands).items()
        for name, module in part.named_modules()
    }
    handles = [module.register_forward_hook(watch(name)) for name, module in watched.items()]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    for name, value in largest.items():  # in the order in which layers first gave something
        if value * HEADROOM > HALF_LARGEST:
            raise HalfOverflow(
                f"{model}: {name or 'its output'} reaches {value:.3g}, too close to float16's largest {HALF_LARGEST:g}: "
                "in fp16 it would give NaN; export it in fp32 (for a VAE, set force_upcast in its config.json)"
            )
    return max(largest.values(), default=0.0)


def _upcast(attention: Attention) -> None:
    """Queries, keys and values leave their projections in float32; the output's projection takes float16 again."""
    for name in ("to_q", "to_k", "to_v"):
        setattr(attention, name, nn.Sequential(getattr(attention, name), Cast(torch.float32)))
    attention.to_out[0] = nn.Sequential(Cast(torch.float16), attention.to_out[0])
