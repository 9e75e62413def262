"""A Triton repository of all seven models whose graphs are a few lines of arithmetic, and the same arithmetic in numpy.

It starts in seconds and its answers are known in closed form, so tests of the client need no trained pipeline.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
from numpy.typing import NDArray

from client import contract
from export_scripts.repository.triton_config import model_config, write_config

GEOMETRY = contract.Geometry(resolution=16, latent=(3, 4, 4), prompt=(2, 5), feature=3, draws=4, classes=3)
IDENTITY = contract.Identity(
    pipeline="toy",
    classes=("circle", "square", "star"),
    prompts=("", "circle", "square", "star"),
    draws=4,
    timesteps=(100, 300, 500, 700),
    timestep_weights=(1.0, 1.0, 1.0, 1.0),
    resolution=16,
    precision="fp32",
    window_fraction=0.5,
    rule="null",
    prior_weight=0.0,
    dift="mid@161",
)

_HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
_GRAPHS = {
    contract.VAE_ENCODER: """
        agraph (uint8[n,16,16,3] IMAGE) => (float[n,3,4,4] LATENT) {
            whole = Cast<to = 1>(IMAGE)
            channels = Transpose<perm = [0, 3, 1, 2]>(whole)
            pooled = AveragePool<kernel_shape = [4, 4], strides = [4, 4]>(channels)
            scale = Constant<value_float = 0.00392156862745098>()
            LATENT = Mul(pooled, scale)
        }""",
    contract.PROMPT_EMBEDDING: """
        agraph (int32[n,1] PROMPT_ID, int32[n,1] REFERENCE_ID) => (float[n,2,5] COND, float[n,2,5] REFERENCE) {
            ones = Constant<value = float[1,2,5] {1,1,1,1,1,1,1,1,1,1}>()
            axis = Constant<value_ints = [2]>()
            p = Cast<to = 1>(PROMPT_ID)
            r = Cast<to = 1>(REFERENCE_ID)
            pp = Unsqueeze(p, axis)
            rr = Unsqueeze(r, axis)
            COND = Mul(pp, ones)
            REFERENCE = Mul(rr, ones)
        }""",
    contract.UNET: """
        agraph (float[n,3,4,4] LATENT, float[n,2,5] COND, float[n,2,5] REFERENCE, int32[n,1] DRAW)
            => (float[n,4,4] DELTA, float[n,1] LOSS_PROMPT, float[n,1] LOSS_REFERENCE) {
            bank = Constant<value = float[4] {1, 2, 3, 4}>()
            factor = Gather<axis = 0>(bank, DRAW)
            tokens = Constant<value_ints = [1, 2]>()
            last = Constant<value_ints = [2]>()
            channel = Constant<value_ints = [1]>()
            all = Constant<value_ints = [1, 2, 3]>()
            cond = ReduceMean<keepdims = 0>(COND, tokens)
            reference = ReduceMean<keepdims = 0>(REFERENCE, tokens)
            pixels = ReduceMean<keepdims = 0>(LATENT, channel)
            mean = ReduceMean<keepdims = 0>(LATENT, all)
            flat = Unsqueeze(mean, channel)
            gap0 = Unsqueeze(reference, channel)
            gap1 = Unsqueeze(cond, channel)
            gap = Sub(gap0, gap1)
            scaled = Mul(gap, factor)
            wide = Unsqueeze(scaled, last)
            DELTA = Mul(pixels, wide)
            weighted = Mul(flat, factor)
            LOSS_PROMPT = Mul(weighted, gap1)
            LOSS_REFERENCE = Mul(weighted, gap0)
        }""",
    contract.DIFT: """
        agraph (float[n,3,4,4] LATENT, float[n,2,5] COND) => (float[n,3] FEATURE) {
            space = Constant<value_ints = [2, 3]>()
            tokens = Constant<value_ints = [1, 2]>()
            channel = Constant<value_ints = [1]>()
            means = ReduceMean<keepdims = 0>(LATENT, space)
            cond = ReduceMean<keepdims = 0>(COND, tokens)
            column = Unsqueeze(cond, channel)
            FEATURE = Add(means, column)
        }""",
}


def write_toy_repository(root: Path, *, max_batch: int = 8, queue_delay_us: int = 1000) -> Path:
    """Writes the repository below `root` and returns `root`."""
    identity = contract.identity_parameters(IDENTITY)
    for name, model in contract.models(GEOMETRY).items():
        folder = root / name
        (folder / "1").mkdir(parents=True)
        write_config(
            model_config(model, max_batch=max_batch, queue_delay_us=queue_delay_us, parameters=identity.get(name)),
            folder,
        )
        if not model.steps:
            onnx.save(onnx.parser.parse_model(_HEAD + _GRAPHS[name]), folder / "1" / "model.onnx")
    return root


def toy_latent(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """LATENT [3, 4, 4] of an image [16, 16, 3]."""
    return image.reshape(4, 4, 4, 4, 3).mean(axis=(1, 3)).transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def toy_loss(latent: NDArray[np.float32], prompt: int, reference: int, draw: int) -> dict[str, Any]:
    """DELTA [4, 4] and both losses [1] of one row."""
    factor = draw + 1
    return {
        "DELTA": latent.mean(axis=0) * (reference - prompt) * factor,
        "LOSS_PROMPT": np.array([latent.mean() * factor * prompt]),
        "LOSS_REFERENCE": np.array([latent.mean() * factor * reference]),
    }


def toy_feature(image: NDArray[np.uint8], prompt: int) -> NDArray[np.float32]:
    """FEATURE [3] of one image."""
    return toy_latent(image).mean(axis=(1, 2)) + np.float32(prompt)
