"""A selection of coloured pictures, and teachers that know colours: as ONNX and as TorchScript."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.parser
from numpy.typing import NDArray

from selector.records import Box
from tests.patch_tables import patch_table
from tests.selector.output.written import write

SIDE = 16
COLOURS = ("red", "green", "blue", "cyan", "magenta", "yellow")
SIGNS = np.array([[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], np.float32)
"""Of each colour, which channels are bright."""


def coloured(source: str, box: Box, order: Sequence[int] = range(6)) -> NDArray[np.uint8]:
    """Noise of the colour of the source's class: of `order` the one of the class's number."""
    draw = np.random.default_rng([*source.encode()])
    mean = 128 + 60 * SIGNS[order[int(source.removeprefix("class")[0])]]
    picture = draw.normal(mean, 40, (70, 90, 3)).clip(0, 255).astype(np.uint8)
    return picture[box.top : box.top + box.height, box.left : box.left + box.width]


def write_coloured(out: Path, ipc: int = 4, classes: Sequence[str] = COLOURS, **options: Any) -> Path:
    """The folder of a selection whose classes have the colours of their names; more patches than ipc."""
    order = [COLOURS.index(name) for name in classes]
    options.setdefault("table", patch_table([ipc + 2] * len(classes)))
    keys = dict(enumerate(classes))
    return write(out, ipc, keys=keys, crop=lambda source, box: coloured(source, box, order), **options)[0]


def weights(outputs: Sequence[str]) -> NDArray[np.float32]:
    """[3, outputs]: what a teacher of these classes multiplies mean channels of [-1, 1] by; other words are never meant."""
    known = [4 * SIGNS[COLOURS.index(name)] if name in COLOURS else np.zeros(3) for name in outputs]
    return np.array(known, np.float32).T


def onnx_teacher(
    path: Path,
    outputs: Sequence[str] = COLOURS,
    *,
    shape: str = "n,3,16,16",
    kind: str = "float",
    probabilities: bool = False,
) -> Path:
    """A teacher whose outputs are these colours. shape, kind: of its input."""
    rows, last = shape.partition(",")[0], shape.endswith(",3")
    channels_first = "x = Transpose<perm = [0, 3, 1, 2]>(image)" if last else "x = Identity(image)"
    answer = "Softmax<axis = 1>(said)" if probabilities else "Identity(said)"
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 18]>
        agraph ({kind}[{shape}] image) => (float[{rows},{len(outputs)}] logits) {{
            {channels_first}
            whole = Cast<to = 1>(x)
            pooled = GlobalAveragePool(whole)
            flat = Flatten(pooled)
            said = MatMul(flat, weights)
            logits = {answer}
        }}"""
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights(outputs), "weights"))
    onnx.save(model, path)
    return path


def network(outputs: Sequence[str] = COLOURS) -> Any:
    """The same teacher in torch."""
    import torch
    from torch import nn

    linear = nn.Linear(3, len(outputs), bias=False)
    linear.weight.data = torch.from_numpy(weights(outputs).T.copy())
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear).eval()


def torchscript_teacher(path: Path, outputs: Sequence[str] = COLOURS) -> Path:
    """The same teacher as TorchScript."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(network(outputs), torch.zeros(2, 3, SIDE, SIDE)).save(path)
    return path
