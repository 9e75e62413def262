"""Engines, built for real by TensorRT-RTX on a machine without a GPU, and what the builder must refuse."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from client import contract
from client.contract import Model, Tensor
from export_scripts.engines.builder import (
    ENGINE_LEAVES,
    BuildSettings,
    Profile,
    build_engine,
    builder_module,
    capability_name,
)
from export_scripts.engines.engines import NEVER_RUN, add_engines
from export_scripts.engines.process import build_apart
from export_scripts.errors import EngineRefused, RuntimeUnavailable
from export_scripts.settings import TENSORRT, TENSORRT_RTX, Settings
from export_scripts.steps import Steps

trt = pytest.importorskip("tensorrt_rtx_bindings")
MODEL = Model("twice", (Tensor("X", "FP32", (4,)),), (Tensor("Y", "FP32", (4,)),))
HEAD = '<ir_version: 8, opset_import: ["" : 18]>\n'
BUILD = BuildSettings(Profile(1, 2, 4), "8.9")


def graph(folder: Path, text: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(HEAD + text), path)
    return path


@pytest.fixture(scope="module")
def preflighted(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight") / "repository"
    shutil.copytree(tiny_repository, folder)
    add_engines(folder, Settings(runtime=TENSORRT_RTX, capabilities=("8.9",)), Steps(say=False))
    return folder


def test_every_heavy_leaf_has_an_engine_that_says_it_never_ran(preflighted: Path) -> None:
    for name in ENGINE_LEAVES:
        (record,) = json.loads((preflighted / name / "manifest.json").read_text())["preflight"]
        content = (preflighted / name / record["file"]).read_bytes()
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
        assert record["state"] == NEVER_RUN == "built, not executed"
        assert record["builder"] == f"tensorrt-rtx {trt.__version__}"
        assert record["profile"] == {"min": 1, "opt": 8, "max": 16}


def test_no_file_of_a_preflight_could_be_taken_for_a_plan(preflighted: Path, tiny_repository: Path) -> None:
    """Triton's backend would fail to load an RTX engine: none is called a plan, none lies in a version folder."""
    new = {p.relative_to(preflighted) for p in preflighted.rglob("*") if p.is_file()}
    new -= {p.relative_to(tiny_repository) for p in tiny_repository.rglob("*") if p.is_file()}
    assert {path.suffix for path in new} == {".rtx"}
    assert {path.parts[1] for path in new} == {"preflight"}
    for name in contract.LEAVES:
        assert (preflighted / name / "config.pbtxt").read_bytes() == (
            tiny_repository / name / "config.pbtxt"
        ).read_bytes()


def test_a_graph_that_only_onnx_runtime_takes_is_refused_with_the_builder_s_words(tmp_path: Path) -> None:
    """TensorRT takes uint8 at the input of a cast alone: this export's first encoder transposed it."""
    model = Model("image", (Tensor("X", "UINT8", (2, 4)),), (Tensor("Y", "FP32", (4, 2)),))
    text = """g (uint8[n,2,4] X) => (float[n,4,2] Y) {
        turned = Transpose<perm = [0, 2, 1]>(X)
        Y = Cast<to = 1>(turned)
    }"""
    with pytest.raises(EngineRefused, match=r"image: tensorrt_rtx_bindings .* refuses the graph: .*Transpose"):
        build_engine(trt, model, graph(tmp_path, text), BUILD)


def test_an_engine_whose_output_has_another_type_than_declared_is_refused(tmp_path: Path) -> None:
    text = "g (float[n,4] X) => (float16[n,4] Y) { s = Add(X, X) Y = Cast<to = 10>(s) }"
    with pytest.raises(EngineRefused, match="twice: outputs are"):
        build_engine(trt, MODEL, graph(tmp_path, text), BUILD)


def test_a_graph_whose_batch_is_frozen_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineRefused, match="twice: inputs are"):
        build_engine(trt, MODEL, graph(tmp_path, "g (float[5,4] X) => (float[5,4] Y) { Y = Add(X, X) }"), BUILD)


def test_an_unknown_compute_capability_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = graph(tmp_path, "g (float[n,4] X) => (float[n,4] Y) { Y = Add(X, X) }")
    with pytest.raises(EngineRefused, match=r"no engine for 3\.5; it knows .*SM89"):
        build_engine(trt, MODEL, path, replace(BUILD, capability="3.5"))
    with pytest.raises(EngineRefused, match="no compute capability"):
        capability_name("ampere")


def test_standard_tensorrt_is_missing_in_one_sentence_where_it_is_missing(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(RuntimeUnavailable, match="serving container's version"):
        builder_module(TENSORRT)


def test_a_workspace_that_is_too_small_is_named_in_the_refusal(tmp_path: Path) -> None:
    """Attention over many cells without a fused form: its scores alone take 64 MiB a row."""
    path = graph(
        tmp_path,
        "g (float[n,4096,8] X) => (float[n,4096,8] Y) "
        "{ t = Transpose<perm = [0, 2, 1]>(X) s = MatMul(X, t) p = Softmax<axis = -1>(s) Y = MatMul(p, X) }",
    )
    model = Model("wide", inputs=(Tensor("X", "FP32", (4096, 8)),), outputs=(Tensor("Y", "FP32", (4096, 8)),))
    with pytest.raises(EngineRefused, match=r"limited to 0\.000976562 GiB"):
        build_engine(trt, model, path, replace(BUILD, workspace_bytes=1 << 20))
    assert build_engine(trt, model, path, BUILD)


def test_the_peak_of_a_build_is_not_the_exporter_s(tmp_path: Path) -> None:
    path = graph(tmp_path, "g (float[n,4] X) => (float[n,4] Y) { Y = Add(X, X) }")
    held = np.ones(3 << 30, np.uint8)
    built = build_apart(trt.__name__, MODEL, path, BUILD, tmp_path / "engine")
    assert 0 < built.peak_bytes < held.nbytes
    assert built.bytes == (tmp_path / "engine").stat().st_size
