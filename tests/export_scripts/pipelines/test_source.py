"""Reading a pipeline's folder: what is taken, and what is refused with its reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler

from export_scripts.errors import PipelineError
from export_scripts.pipelines.parts import KlEncoder
from export_scripts.pipelines.source import load_source
from export_scripts.small_pipeline import ClassEmbedding, SmallPipeline
from tests.tiny_pipeline import CLASSES, PROFILE, tiny_unet, write_tiny_pipeline


def rewrite(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_small_pipeline_gives_its_table_prompts_and_geometry(tiny_pipeline: Path) -> None:
    source = load_source(tiny_pipeline)
    assert source.classes == CLASSES
    assert source.prompts == ("", *CLASSES)
    assert source.table.shape == (4, 2, 8)
    assert (source.resolution, source.latent) == (32, (16, 8, 8))
    assert source.denoiser.schedule.prediction == "v_prediction"
    assert source.profile == PROFILE
    assert not source.denoiser.network.training


def test_the_digest_depends_on_weights_and_configs_and_on_nothing_else(tiny_pipeline: Path, tmp_path: Path) -> None:
    first = load_source(tiny_pipeline).digest
    assert load_source(write_tiny_pipeline(tmp_path / "again")).digest == first
    assert load_source(write_tiny_pipeline(tmp_path / "weights", seed=1)).digest != first
    assert load_source(write_tiny_pipeline(tmp_path / "type", prediction_type="epsilon")).digest != first
    shifted = write_tiny_pipeline(tmp_path / "shift")
    rewrite(shifted / "vae" / "config.json", shift=-0.4)
    assert load_source(shifted).digest != first


def test_loading_leaves_the_global_generator_alone(tiny_pipeline: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    load_source(tiny_pipeline)
    torch.manual_seed(7)
    assert torch.rand(1) == expected


def test_a_folder_without_a_pipeline_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"no model_index\.json"):
        load_source(tmp_path)


def test_a_pipeline_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "AudioPipeline"}')
    with pytest.raises(PipelineError, match=r"AudioPipeline.*SmallPipeline"):
        load_source(tmp_path)


def test_a_pipeline_without_a_scoring_profile_is_refused(tmp_path: Path) -> None:
    (write_tiny_pipeline(tmp_path) / "scoring.json").unlink()
    with pytest.raises(PipelineError, match=r"scoring\.json"):
        load_source(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"dift_block": 1}, "'mid' and the up-blocks 0 to 0"), ({"dift_timestep": 1000}, "outside the schedule")],
)
def test_features_of_a_place_that_is_not_there_are_refused(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_tiny_pipeline(tmp_path, profile=replace(PROFILE, **change))
    with pytest.raises(PipelineError, match=says):
        load_source(tmp_path)


def test_a_pipeline_with_a_learned_encoder_gives_the_resolution_of_its_images(tmp_path: Path) -> None:
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=16,
        norm_num_groups=4,
    )
    table = ClassEmbedding(CLASSES, tokens=2, width=8)
    SmallPipeline(vae, table, tiny_unet(), DDPMScheduler(prediction_type="epsilon")).save_pretrained(tmp_path)
    PROFILE.save(tmp_path)
    source = load_source(tmp_path)
    assert (source.resolution, source.latent) == (16, (16, 8, 8))
    assert isinstance(source.encoder, KlEncoder)
