"""Every kind of broken graph is refused by its own gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from torch import Tensor, nn

from client import contract
from client.contract import Model
from export_scripts.errors import GateError, NonDynamicBatch, RowLeak, SignatureMismatch, ValueMismatch
from export_scripts.gates.graph import GateLoad, check, relative_error
from export_scripts.graphs.leaves import make_leaves
from export_scripts.graphs.onnx_export import Leaf
from export_scripts.pipelines.source import load_source
from tests.tiny_pipeline import DRAWS

HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
MODEL = Model("twice", (contract.Tensor("X", "FP32", (4,)),), (contract.Tensor("Y", "FP32", (4,)),))


def twice(x: Tensor) -> Tensor:
    return 2 * x


def leaf(reference: Callable[[Tensor], Tensor] = twice) -> Leaf:
    return Leaf(MODEL, nn.Identity(), 1e-5, reference)


def graph(folder: Path, text: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(HEAD + text), path)
    return path


SOUND = "g (float[n,4] X) => (float[n,4] Y) { Y = Add(X, X) }"


def test_a_sound_graph_passes_and_its_rows_are_exact(tmp_path: Path) -> None:
    result = check(leaf(), graph(tmp_path, SOUND))
    assert set(result.errors) == {1, 2, 3, 7, 16}
    assert max(result.errors.values()) == 0.0
    assert result.row_error == 0.0


def test_a_row_that_leaks_into_its_neighbours_is_refused_even_if_the_reference_leaks_too(tmp_path: Path) -> None:
    text = """g (float[n,4] X) => (float[n,4] Y) {
        axis = Constant<value_ints = [0]>()
        mean = ReduceMean(X, axis)
        Y = Add(X, mean)
    }"""
    with pytest.raises(RowLeak, match="twice: Y of a row changes"):
        check(leaf(lambda x: x + x.mean(dim=0)), graph(tmp_path, text))


def test_a_leak_that_needs_another_place_in_the_batch_is_refused(tmp_path: Path) -> None:
    text = """g (float[n,4] X) => (float[n,4] Y) {
        axis = Constant<value_int = 0>()
        sum = CumSum(X, axis)
        Y = Add(X, sum)
    }"""
    with pytest.raises(RowLeak):
        check(leaf(lambda x: x + x.cumsum(dim=0)), graph(tmp_path, text))


def test_a_batch_axis_that_shape_inference_finds_frozen_is_refused(tmp_path: Path) -> None:
    text = """g (float[n,4] X) => (float[n,4] Y) {
        noise = Constant<value = float[5,1] {0, 0, 0, 0, 0}>()
        sum = Add(X, X)
        Y = Add(sum, noise)
    }"""
    with pytest.raises(NonDynamicBatch, match="frozen at 5"):
        check(leaf(), graph(tmp_path, text))


def test_a_declared_frozen_batch_axis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NonDynamicBatch, match="frozen at 5"):
        check(leaf(), graph(tmp_path, SOUND.replace("float[n,4]", "float[5,4]")))


def test_a_batch_axis_frozen_where_inference_cannot_see_it_is_refused(tmp_path: Path) -> None:
    text = """g (float[n,4] X) => (float[n,4] Y) {
        sizes = Constant<value = float[2] {5, 4}>()
        none = Sub(X, X)
        nothing = ReduceMax<keepdims = 0>(none)
        sum = Add(sizes, nothing)
        shape = Cast<to = 7>(sum)
        frozen = Reshape(X, shape)
        Y = Add(frozen, frozen)
    }"""
    with pytest.raises(NonDynamicBatch, match="batch of 1"):
        check(leaf(), graph(tmp_path, text))


def test_an_output_with_another_number_of_rows_is_refused(tmp_path: Path) -> None:
    text = "g (float[n,4] X) => (float[m,4] Y) { Y = Concat<axis = 0>(X, X) }"
    with pytest.raises(NonDynamicBatch, match="Y has 2 rows for 1"):
        check(leaf(), graph(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("g (float[n,4] X) => (double[n,4] Y) { s = Add(X, X) Y = Cast<to = 11>(s) }", "tensor.double"),
        ("g (float[n,4] X) => (float[n,4] Z) { Z = Add(X, X) }", "'Z'"),
        ("g (float[n,5] X) => (float[n,5] Y) { Y = Add(X, X) }", "shape"),
        ("g (int32[n,4] X) => (float[n,4] Y) { s = Add(X, X) Y = Cast<to = 1>(s) }", "tensor.int32"),
    ],
    ids=["output datatype", "output name", "shape", "input datatype"],
)
def test_a_signature_other_than_the_spec_s_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SignatureMismatch, match=says):
        check(leaf(), graph(tmp_path, text))


def test_values_off_the_reference_are_refused_with_the_size_of_the_error(tmp_path: Path) -> None:
    with pytest.raises(ValueMismatch, match=r"Y at 1 rows is off its reference by .*e-0[23]"):
        check(leaf(lambda x: 2.01 * x), graph(tmp_path, SOUND))


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    text = "g (float[n,4] X) => (float[n,4] Y) { z = Sub(X, X) Y = Div(z, z) }"
    with pytest.raises(ValueMismatch, match="nan"):
        check(leaf(), graph(tmp_path, text))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(GateError, match="refuses"):
        check(leaf(), tmp_path / "model.onnx")


def test_swapped_conditions_are_refused(tiny_pipeline: Path, tiny_repository: Path, tmp_path: Path) -> None:
    """A noise predictor that takes the reference for the prompt: every name, type and shape is right."""
    own = make_leaves(load_source(tiny_pipeline), DRAWS).by_name[contract.UNET]
    proto = onnx.load(tiny_repository / contract.UNET / "1" / "model.onnx")
    swap = {"COND": "REFERENCE", "REFERENCE": "COND"}
    for node in proto.graph.node:
        node.input[:] = [swap.get(name, name) for name in node.input]
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(ValueMismatch, match=contract.UNET):
        check(own, tmp_path / "model.onnx", GateLoad(batches=(2,)))


def test_swapped_conditions_in_the_torch_graph_differ_from_the_plain_definition(tiny_pipeline: Path) -> None:
    """The reference is no run of the same module, so a mistake in the module itself shows."""
    own = make_leaves(load_source(tiny_pipeline), DRAWS).by_name[contract.UNET]
    latent, draw = torch.randn(3, 16, 8, 8), torch.tensor([[1], [5], [9]], dtype=torch.int32)
    cond, reference = torch.randn(3, 2, 8), torch.randn(3, 2, 8)
    with torch.no_grad():
        right = own.reference(latent, cond, reference, draw)
        wrong = own.module(latent, reference, cond, draw)
    assert relative_error(wrong[0].numpy(), right[0].numpy()) > 100 * own.tolerance


def test_the_relative_error_of_zeros_is_absolute() -> None:
    assert relative_error(np.full(3, 1e-3), np.zeros(3)) == pytest.approx(1e-3)
