"""The exported files themselves: what they hold, and what they must not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from client import contract
from client.contract import Model
from export_scripts.errors import GateError
from export_scripts.gates.graph import check, open_session
from export_scripts.graphs import onnx_export
from export_scripts.graphs.leaves import make_leaves
from export_scripts.graphs.onnx_export import IR_VERSION, OPSET, Leaf, export_onnx, random_inputs
from export_scripts.pipelines.source import load_source
from tests.tiny_pipeline import DRAWS, PROFILE


class Scale(nn.Module):
    """Y = w X, exported in a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(4.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x


def scale() -> Leaf:
    tensors = (contract.Tensor("X", "FP32", (4,)),), (contract.Tensor("Y", "FP32", (4,)),)
    return Leaf(Model("scale", *tensors), Scale(), 1e-6, Scale())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(scale(), path)
    return path


def test_exporting_again_writes_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    assert export_onnx(scale(), tmp_path / "again.onnx") == (tmp_path / "again.onnx",)
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()


def test_large_weights_go_to_one_file_beside_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered, for a layer whose weights the exporter library does not keep inline for being tiny."""
    monkeypatch.setattr(onnx_export, "EXTERNAL_BYTES", 1000)
    layer = nn.Linear(64, 4, bias=False)
    tensors = (contract.Tensor("X", "FP32", (64,)),), (contract.Tensor("Y", "FP32", (4,)),)
    graph, weights = export_onnx(Leaf(Model("linear", *tensors), layer, 1e-6, layer), tmp_path / "model.onnx")
    assert weights.name == "model.onnx.data"
    assert weights.stat().st_size >= 64 * 4 * 4 > graph.stat().st_size - 1000
    assert b".py" not in graph.read_bytes()
    check(Leaf(Model("linear", *tensors), layer, 1e-6, layer), graph)
    weights.unlink()
    with pytest.raises(GateError):
        open_session("linear", graph)


def test_the_batch_is_one_named_dimension_of_inputs_and_outputs(exported: Path) -> None:
    proto = onnx.load(exported)
    onnx.checker.check_model(proto, full_check=True)
    axes = {value.type.tensor_type.shape.dim[0].dim_param for value in (*proto.graph.input, *proto.graph.output)}
    assert axes == {"batch"}
    assert (proto.opset_import[0].version, proto.ir_version) == (OPSET, IR_VERSION)


def test_no_exported_model_names_a_source_file(tiny_repository: Path) -> None:
    for path in tiny_repository.glob("*/1/model.onnx"):
        assert b".py" not in path.read_bytes(), path


def test_the_dift_graph_holds_nothing_behind_its_block(tiny_pipeline: Path, tiny_repository: Path) -> None:
    """Its weights are those of the UNet up to the mid block, and no more."""
    assert PROFILE.dift_block == "mid"
    unet = load_source(tiny_pipeline).denoiser.network
    behind = (*unet.up_blocks.parameters(), *unet.conv_norm_out.parameters(), *unet.conv_out.parameters())
    before = sum(p.numel() for p in unet.parameters()) - sum(p.numel() for p in behind)
    stored = initializer_elements(tiny_repository / contract.DIFT / "1" / "model.onnx")
    noise = 16 * 8 * 8
    # Besides, a graph holds its timestep and shapes; equal tensors, such as fresh biases, it holds once.
    assert 0.9 * before < stored - noise < before + 100
    assert sum(p.numel() for p in behind) > 1000
    assert stored < initializer_elements(tiny_repository / contract.UNET / "1" / "model.onnx") - DRAWS * noise


def initializer_elements(path: Path) -> int:
    return sum(int(np.prod(tensor.dims)) for tensor in onnx.load(path).graph.initializer)


def test_random_inputs_are_of_the_spec_s_datatypes_shapes_and_ranges(tiny_pipeline: Path) -> None:
    for leaf in make_leaves(load_source(tiny_pipeline), 4).by_name.values():
        inputs = random_inputs(leaf.model, 50, np.random.default_rng(0))
        for tensor in leaf.model.inputs:
            assert inputs[tensor.name].shape == (50, *tensor.shape)
            assert inputs[tensor.name].dtype == {"UINT8": "u1", "INT32": "i4", "FP32": "f4"}[tensor.datatype]
        for name, least, greatest in leaf.model.index_ranges:
            assert set(inputs[name].ravel()) == set(range(least, greatest + 1))
