"""The gate of reduced precision: it measures windows, and refuses what would choose others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from client import contract
from export_scripts.errors import PipelineError, PrecisionLoss
from export_scripts.gates.precision import check_precision, compare_windows
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.source import load_source
from selector.localisation.choice import WindowSetting
from selector.localisation.typicality import rule
from tests.tiny_pipeline import DRAWS

CANVAS = np.zeros((32, 32, 3), np.uint8)
SETTING = WindowSetting(rule("null"), 0.0, (16,), 2)


def test_a_map_agrees_with_itself() -> None:
    values = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    agreement = compare_windows(values, 3 * values + 1, CANVAS, SETTING)
    assert agreement.correlation == pytest.approx(1.0)
    assert agreement.overlap == 1.0


def test_windows_in_opposite_corners_do_not_overlap() -> None:
    values = np.zeros((8, 8), np.float32)
    values[:4, :4] = 1.0
    agreement = compare_windows(values, values[::-1, ::-1].copy(), CANVAS, SETTING)
    assert agreement.overlap == 0.0
    assert agreement.correlation < 0.5


def test_a_map_with_a_nan_agrees_with_nothing() -> None:
    values = np.ones((8, 8), np.float32)
    agreement = compare_windows(values, np.full((8, 8), np.nan, np.float32), CANVAS, SETTING)
    assert np.isnan(agreement.correlation)
    assert agreement.overlap == 0.0


def graphs(repository: Path) -> dict[str, Path]:
    return {name: repository / name / "1" / "model.onnx" for name in contract.LEAVES}


def test_a_sound_graph_is_measured_on_real_images(tiny_pipeline: Path, tiny_repository: Path) -> None:
    source = load_source(tiny_pipeline)
    found = check_precision(source, make_leaves(source, DRAWS), graphs(tiny_repository), None)
    assert found["images"] == 8
    assert found["window_correlation"]["mean"] > 0.999
    assert found["window_overlap"]["mean"] > 0.95


def test_a_graph_that_would_choose_other_windows_is_refused(
    tiny_pipeline: Path, tiny_repository: Path, tmp_path: Path
) -> None:
    """Its weights are rounded to two bits after the point, a precision too low."""
    source = load_source(tiny_pipeline)
    proto = onnx.load(graphs(tiny_repository)[contract.UNET])
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim == 4 and values.shape[0] != DRAWS:
            tensor.CopyFrom(numpy_helper.from_array(np.round(values * 4) / 4, tensor.name))
    onnx.save(proto, tmp_path / "model.onnx")
    broken = graphs(tiny_repository) | {contract.UNET: tmp_path / "model.onnx"}
    with pytest.raises(PrecisionLoss, match=r"unet_noise_predictor: .* correlates with fp32 by"):
        check_precision(source, make_leaves(source, DRAWS), broken, None)


def test_too_few_images_are_refused(tiny_pipeline: Path, tiny_repository: Path, tmp_path: Path) -> None:
    (tmp_path / "bee").mkdir()
    source = load_source(tiny_pipeline)
    with pytest.raises(PipelineError, match="has 0 images"):
        check_precision(source, make_leaves(source, DRAWS), graphs(tiny_repository), tmp_path)
