"""Kinds of denoisers through the whole exporter in float16: the gates of any pipeline, a real engine builder, a real server.

A further kind is a line in KINDS. Stable Diffusion 2 and XL are in test_text_exports.py, float32 in tests/e2e/test_kinds.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from client import contract
from client.embedded.wheel import embedded_problem
from export_scripts.engines.builder import ENGINE_LEAVES
from export_scripts.engines.engines import NEVER_RUN
from export_scripts.export import export_pipeline
from export_scripts.settings import FP16, TENSORRT_RTX, Settings, Wanted
from export_scripts.steps import Steps
from tests.tiny_dit import write_dit
from tests.tiny_flux import write_flux
from tests.tiny_pixart import write_pixart_alpha
from tests.tiny_sana import write_sana
from tests.tiny_sd3 import write_sd3

pytest.importorskip("tensorrt_rtx_bindings")
NEARLY_EXACT = {("sana", contract.VAE_ENCODER): 2e-6}  # ONNX Runtime adds up a lone image's means in another order
CLASSES = ("bee", "coffee cup", "kite")
KINDS: dict[str, tuple[Callable[[Path], Path], Wanted]] = {
    "dit": (write_dit, Wanted()),
    "sd3": (write_sd3, Wanted(CLASSES)),
    "pixart": (write_pixart_alpha, Wanted(CLASSES)),
    "flux": (write_flux, Wanted(CLASSES, resolution=32)),
    "sana": (write_sana, Wanted(CLASSES)),
}
SETTINGS = Settings(draws=8, max_batch=4, precision=FP16, runtime=TENSORRT_RTX, capabilities=("8.9",))


@pytest.fixture(scope="module", params=KINDS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Steps]:
    """The repository and the steps. Do not write into it."""
    (write, wanted), folder, steps = KINDS[request.param], tmp_path_factory.mktemp("kind"), Steps(say=False)
    export_pipeline(write(folder / "pipeline"), folder / "repository", SETTINGS, wanted, steps)
    return folder / "repository", steps


def manifest(repository: Path, name: str) -> dict:
    return json.loads((repository / name / "manifest.json").read_text())


def test_every_leaf_has_passed_its_gates_at_every_batch_size(
    exported: tuple[Path, Steps], request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["exported"]
    for name in contract.LEAVES:
        gates = manifest(exported[0], name)["gates"]
        assert {"1", "2", "3", "4"} <= set(gates["relative_error_by_batch"])
        assert max(gates["relative_error_by_batch"].values()) <= gates["tolerance"] <= 1e-2
        told = f"{name}: a score would depend on how rows were batched"
        assert gates["row_invariance_error"] <= NEARLY_EXACT.get((kind, name), 0.0), told


def test_the_windows_chosen_in_float16_are_those_of_float32(exported: tuple[Path, Steps]) -> None:
    gate = manifest(exported[0], contract.UNET)["precision_gate"]
    assert gate["window_correlation"]["mean"] >= 0.98
    assert gate["window_overlap"]["mean"] >= 0.8


def test_the_engine_builder_takes_every_heavy_leaf(exported: tuple[Path, Steps]) -> None:
    for name in ENGINE_LEAVES:
        (record,) = manifest(exported[0], name)["preflight"]
        assert record["state"] == NEVER_RUN


def test_norms_and_softened_sums_of_the_graph_are_float32(exported: tuple[Path, Steps]) -> None:
    """The matrices of attention and feed-forward parts run in float16, normalisation and the loss do not."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(exported[0] / contract.UNET / "1" / "model.onnx")).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.output)}
    half = {node.op_type for node in graph.node if types.get(node.output[0]) == onnx.TensorProto.FLOAT16}
    assert "MatMul" in half or "Gemm" in half
    assert not {"LayerNormalization", "InstanceNormalization", "ReduceMean"} & half


@pytest.mark.server
@pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))
def test_a_real_server_served_it_before_it_was_published(exported: tuple[Path, Steps]) -> None:
    assert "served and compared with its configs" in [step.what for step in exported[1].done]
