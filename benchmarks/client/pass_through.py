"""A repository of one model that computes nothing: what a request costs beside its computing.

    python -m benchmarks.client.pass_through REPOSITORY
    selector bench --repository REPOSITORY --model pass_through --bare

Owns that repository. IMAGE is uint8 [512, 512, 3], 786,432 bytes, the input of a Stable Diffusion encoder; it comes back as
it went in. The graph is one Identity, served by the same backend as every other model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from client.contract import Model, Tensor
from export_scripts.repository.triton_config import model_config, write_config

NAME = "pass_through"
SIDE = 512
MAX_BATCH = 8


def write_pass_through(repository: Path, *, side: int = SIDE) -> Path:
    """Writes the repository below `repository` and returns it. side: of the square image, pixels."""
    image, same = Tensor("IMAGE", "UINT8", (side, side, 3)), Tensor("SAME", "UINT8", (side, side, 3))
    folder = repository / NAME
    (folder / "1").mkdir(parents=True, exist_ok=True)
    write_config(model_config(Model(NAME, (image,), (same,)), max_batch=MAX_BATCH, queue_delay_us=0), folder)
    dims = ["rows", *image.shape]
    graph = helper.make_graph(
        [helper.make_node("Identity", [image.name], [same.name])],
        NAME,
        [helper.make_tensor_value_info(image.name, TensorProto.UINT8, dims)],
        [helper.make_tensor_value_info(same.name, TensorProto.UINT8, dims)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "1" / "model.onnx")
    return repository


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.client.pass_through REPOSITORY")
    print(write_pass_through(Path(sys.argv[1])))
