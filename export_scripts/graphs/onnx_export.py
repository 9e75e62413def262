"""One leaf model's torch graph as an ONNX file whose only dynamic axis is the batch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.contract import Model
from export_scripts.pipelines.denoiser import WHOLE
from export_scripts.settings import FP32

OPSET = 18
IR_VERSION = 8  # opset 18's own: older servers refuse a newer one, and nothing here needs it
SAMPLE_ROWS = 5  # a sample batch of 1 would be frozen into the graph
# A protobuf ends at 2 GiB, and building one holds its weights three times over: large weights get a file of their own.
EXTERNAL_BYTES = 1 << 30
EXTERNAL_FILE = "model.onnx.data"
NUMPY_TYPES = {"UINT8": np.uint8, "INT32": np.int32, "FP16": np.float16, "FP32": np.float32}


@dataclass(frozen=True)
class Leaf:
    """A leaf model: its spec, its graph and how far its outputs may lie from the reference.

    reference: the definition that the exported graph is held against, as a module or function of the same inputs;
    torch's eager run of `module` itself where there is no plainer one. tolerance: largest absolute error of an output,
    relative to that output's largest absolute value. scales: outputs whose error is relative to another one's largest
    value instead. precision: of the weights, fp32 or fp16. full: for fp16, the float32 network that `reference` runs,
    whose values must fit into float16. islands: what of it is float16, see Denoiser.half.
    """

    model: Model
    module: nn.Module
    tolerance: float
    reference: Callable[..., Tensor | tuple[Tensor, ...]]
    precision: str = FP32
    scales: Mapping[str, str] = field(default_factory=dict)
    full: nn.Module | None = None
    islands: tuple[str, ...] = WHOLE


def random_inputs(model: Model, rows: int, rng: np.random.Generator) -> dict[str, NDArray[np.generic]]:
    """Inputs of `rows` rows in the spec's datatypes: images and indices uniform in range, the rest Gaussian."""
    ranges = {name: (least, greatest) for name, least, greatest in model.index_ranges}
    inputs: dict[str, NDArray[np.generic]] = {}
    for tensor in model.inputs:
        shape, dtype = (rows, *tensor.shape), NUMPY_TYPES[tensor.datatype]
        if tensor.name in ranges:
            least, greatest = ranges[tensor.name]
            inputs[tensor.name] = rng.integers(least, greatest + 1, shape).astype(dtype)
        elif tensor.datatype == "UINT8":
            inputs[tensor.name] = rng.integers(0, 256, shape).astype(dtype)
        else:
            inputs[tensor.name] = rng.standard_normal(shape, dtype=np.float32).astype(dtype)
    return inputs


def export_onnx(leaf: Leaf, path: Path) -> tuple[Path, ...]:
    """Writes `leaf` to `path`; returns it and, for large weights, the one file beside it that holds them.

    The batch is one dimension shared by all inputs. The same leaf gives the same bytes.
    """
    sample = random_inputs(leaf.model, SAMPLE_ROWS, np.random.default_rng(0))
    batch = torch.export.Dim("batch")  # several Dim objects of one name would freeze the axis
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            leaf.module.eval(),
            tuple(torch.from_numpy(array) for array in sample.values()),
            input_names=[tensor.name for tensor in leaf.model.inputs],
            output_names=[tensor.name for tensor in leaf.model.outputs],
            dynamic_shapes=tuple({0: batch} for _ in sample),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if _weight_bytes(leaf.module) <= EXTERNAL_BYTES:
        proto = program.model_proto
        _strip(proto)
        path.write_bytes(proto.SerializeToString(deterministic=True))
        return (path,)
    onnx_ir.save(program.model, path, external_data=EXTERNAL_FILE)
    proto = onnx.load(path, load_external_data=False)
    _strip(proto)
    path.write_bytes(proto.SerializeToString(deterministic=True))
    return path, path.with_name(EXTERNAL_FILE)


def _weight_bytes(module: nn.Module) -> int:
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def _strip(proto: onnx.ModelProto) -> None:
    """Removes what differs from machine to machine: stack traces with paths, versions, notes on every value."""
    proto.ir_version = IR_VERSION
    proto.producer_name, proto.producer_version, proto.doc_string = "", "", ""
    del proto.metadata_props[:]
    graph = proto.graph
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    del graph.value_info[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own deprecations and logs its passes: none of it is about the model."""
    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
