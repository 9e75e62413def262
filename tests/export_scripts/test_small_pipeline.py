"""The small pipeline's folder: a round trip keeps weights, class names and the scoring profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from PIL import Image

from export_scripts.small_pipeline import (
    ClassEmbedding,
    ScoringProfile,
    SmallPipeline,
    SpaceToDepth,
)


def tiny_pipeline() -> SmallPipeline:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=4,
        in_channels=16,
        out_channels=16,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        cross_attention_dim=8,
        addition_embed_type="text",
        addition_embed_type_num_heads=2,
        norm_num_groups=4,
    )
    vae = SpaceToDepth(patch_size=4, image_size=16, shift=-0.5, scaling_factor=2.0)
    scheduler = DDPMScheduler(prediction_type="v_prediction")
    return SmallPipeline(vae, ClassEmbedding(["zebra", "ant"], 2, 8), unet.eval(), scheduler)


def test_a_saved_pipeline_loads_with_equal_predictions_and_class_order(tmp_path: Path) -> None:
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(tmp_path)
    loaded = SmallPipeline.from_pretrained(tmp_path)
    assert loaded.class_names == ("zebra", "ant")
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    assert not list(tmp_path.rglob("*.bin")), "weights must be safetensors"
    images = torch.rand(2, 1, 16, 16) * 2 - 1
    rows, timesteps = torch.tensor([0, 2]), torch.tensor([3, 800])
    with torch.no_grad():
        predictions = [
            each.unet(each.vae.encode(images), timesteps, each.class_embedding(rows)).sample
            for each in (pipeline, loaded)
        ]
    assert torch.equal(*predictions)


def test_space_to_depth_moves_every_pixel_to_its_cell() -> None:
    images = torch.arange(2 * 16 * 16, dtype=torch.float32).reshape(2, 1, 16, 16)
    vae = SpaceToDepth(patch_size=4, image_size=16, shift=7.0, scaling_factor=0.5)
    latents = vae.encode(images)
    assert latents.shape == (2, vae.latent_channels, vae.latent_size, vae.latent_size) == (2, 16, 4, 4)
    cell = images[1, 0, 8:12, 4:8].reshape(-1)  # row 2, column 1 of the grid
    assert torch.equal(latents[1, :, 2, 1], (cell - 7.0) * 0.5)
    assert torch.equal(vae.decode(latents), images)


def test_gray_latents_of_a_colour_image_are_pillows_luma() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(16, 16, 3), dtype=np.uint8)
    vae = SpaceToDepth(patch_size=4, image_size=16)
    ours = vae.decode(vae.encode(torch.from_numpy(pixels).permute(2, 0, 1)[None].float()))[0, 0]
    pillow = torch.from_numpy(np.asarray(Image.fromarray(pixels).convert("L")).copy()).float()
    assert (ours - pillow).abs().max() <= 1.0  # Pillow rounds


def test_rgb_latents_keep_three_channels() -> None:
    vae = SpaceToDepth(patch_size=2, channels="rgb", image_size=8)
    images = torch.rand(1, 3, 8, 8)
    assert vae.encode(images).shape == (1, 12, 4, 4)
    assert torch.equal(vae.decode(vae.encode(images)), images)
    assert vae.encode(images[:, :1]).shape == (1, 12, 4, 4)


@pytest.mark.parametrize("arguments", [{"channels": "cmyk"}, {"patch_size": 5, "image_size": 64}])
def test_impossible_encoders_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        SpaceToDepth(**arguments)  # type: ignore[arg-type]


def test_repeated_class_names_are_refused() -> None:
    with pytest.raises(ValueError, match="repeat"):
        ClassEmbedding(["ant", "ant"])


@pytest.mark.parametrize("weights", [None, (0.5, 1.5)])
def test_a_scoring_profile_survives_the_disk(tmp_path: Path, weights: tuple[float, ...] | None) -> None:
    profile = ScoringProfile(0.6, 0.9, 250, "mid", 0.4375, "rotating-weighted", weights, 0.5)
    profile.save(tmp_path)
    assert ScoringProfile.load(tmp_path) == profile
