"""What the leaves of a pipeline are held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from client import contract
from export_scripts.errors import ValueMismatch
from export_scripts.gates.graph import GateLoad, check
from export_scripts.graphs.leaves import CLOSE, CLOSE_PX, encoder_tolerance, make_leaves
from export_scripts.graphs.onnx_export import export_onnx
from export_scripts.pipelines.source import load_source
from tests.tiny_pipeline import DRAWS


class LosesDigits(nn.Module):
    """An encoder that adds a large weight and takes it away again: in float32 little is left of its images."""

    def __init__(self, channels: int, cell: int) -> None:
        super().__init__()
        self.large = nn.Parameter(torch.tensor(2.0**20))
        self.channels, self.cell = channels, cell

    def forward(self, images: Tensor) -> Tensor:
        cells = nn.functional.avg_pool2d(images.to(self.large.dtype), self.cell)
        return (cells.mean(1, keepdim=True) + self.large - self.large).repeat(1, self.channels, 1, 1)


def test_an_encoder_s_reference_is_float64_so_digits_that_graph_and_module_lose_alike_are_seen(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    source = load_source(tiny_pipeline)
    encoder = LosesDigits(source.latent[0], source.resolution // source.latent[1])
    leaf = make_leaves(replace(source, encoder=encoder), DRAWS).by_name[contract.VAE_ENCODER]
    export_onnx(leaf, tmp_path / "model.onnx")
    with pytest.raises(ValueMismatch, match="LATENT at 1 rows is off its reference"):
        check(leaf, tmp_path / "model.onnx", GateLoad(batches=(1,)))


def test_an_encoder_may_round_more_where_its_norms_add_up_more_pixels() -> None:
    assert encoder_tolerance(64) == encoder_tolerance(CLOSE_PX) == CLOSE
    assert encoder_tolerance(2 * CLOSE_PX) == 4 * CLOSE
