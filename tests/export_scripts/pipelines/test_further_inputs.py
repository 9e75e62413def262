"""Pipelines whose denoiser is given more than a noisy latent and a prompt, saved by diffusers: refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from diffusers import (
    ControlNetModel,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)

from export_scripts.errors import PipelineError
from export_scripts.pipelines import folder as folders
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.tiny_text_pipeline import SCHEDULE, tiny_unet, write_sd1, write_sdxl

WANTED = Wanted(("bee", "cup"), dift_block="mid")


def saved(kind: type, folder: Path, sd1: Path, channels: int, **more: object) -> Path:
    """A pipeline of that class whose UNet takes so many channels."""
    with quiet_loading():
        parts = StableDiffusionPipeline.from_pretrained(sd1, low_cpu_mem_usage=False).components
        unet = UNet2DConditionModel.from_config({**tiny_unet().config, "in_channels": channels})
        parts |= {"unet": unet, "scheduler": DDIMScheduler(**SCHEDULE), **more}
        pipeline: DiffusionPipeline = kind(**parts, requires_safety_checker=False)
        pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd1(tmp_path_factory.mktemp("sd1"))


def refusal(folder: Path) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, WANTED)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_inpainting_pipeline_is_refused_by_its_name_and_by_its_channels(sd1: Path, tmp_path: Path) -> None:
    """Also where it was saved as one of text to image."""
    said = refusal(saved(StableDiffusionInpaintPipeline, tmp_path / "named", sd1, 9))
    assert "StableDiffusionInpaintPipeline" in said
    assert "its denoiser is given a mask and the image around it" in said
    said = refusal(saved(StableDiffusionPipeline, tmp_path / "as text to image", sd1, 9))
    assert "unet/config.json: in_channels is 9, for latents of 4: an inpainting UNet is given a mask" in said


def test_instruct_pix2pix_is_refused_by_its_name_and_by_its_channels(sd1: Path, tmp_path: Path) -> None:
    said = refusal(saved(StableDiffusionInstructPix2PixPipeline, tmp_path / "named", sd1, 8, image_encoder=None))
    assert "its denoiser is given another image beside the noisy one" in said
    said = refusal(saved(StableDiffusionPipeline, tmp_path / "as text to image", sd1, 8))
    assert "in_channels is 8, for latents of 4: an InstructPix2Pix UNet is given the latent of another image" in said


@pytest.mark.parametrize(("channels", "why"), [(5, "a depth UNet"), (7, "an upscaling UNet")])
def test_depth_and_upscaling_are_refused_before_weights_are_read(
    channels: int, why: str, sd1: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(StableDiffusionPipeline, tmp_path, sd1, channels)
    monkeypatch.setattr(folders, "_module", None)
    assert f"in_channels is {channels}, for latents of 4: {why}" in refusal(folder)


def test_a_controlnet_is_refused_with_its_pipeline_and_alone(sd1: Path, tmp_path: Path) -> None:
    controlnet = ControlNetModel.from_unet(tiny_unet(), conditioning_channels=3)
    controlnet.save_pretrained(tmp_path / "alone")
    assert "is not a diffusers pipeline: it has no model_index.json" in refusal(tmp_path / "alone")
    said = refusal(saved(StableDiffusionControlNetPipeline, tmp_path / "named", sd1, 4, controlnet=controlnet))
    assert "StableDiffusionControlNetPipeline" in said
    assert "it is given a further image as a condition" in said
    index = tmp_path / "named" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "StableDiffusionPipeline"}))
    assert "does not know the field controlnet" in refusal(tmp_path / "named")


def test_sdxl_s_refiner_is_refused_by_name(tmp_path: Path) -> None:
    """One text encoder, and an aesthetic score in place of a size."""
    write_sdxl(tmp_path / "xl")
    with quiet_loading():
        loaded = StableDiffusionXLImg2ImgPipeline.from_pretrained(tmp_path / "xl", low_cpu_mem_usage=False)
        parts = loaded.components | {"text_encoder": None, "tokenizer": None}
        refiner = StableDiffusionXLImg2ImgPipeline(**parts, requires_aesthetics_score=True, add_watermarker=False)
        refiner.save_pretrained(tmp_path / "refiner")
    said = refusal(tmp_path / "refiner")
    assert "names no text_encoder" in said
    assert "SDXL's refiner" in said


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("StableDiffusionXLInpaintPipeline", "a mask"),
        ("FluxControlNetPipeline", "a further image"),
        ("StableDiffusionXLAdapterPipeline", "a further image"),
        ("StableDiffusionDepth2ImgPipeline", "a map of depths"),
        ("StableDiffusionLatentUpscalePipeline", "a smaller image"),
        ("StableDiffusionImageVariationPipeline", "its prompts are images"),
        ("LatentConsistencyModelPipeline", "a distilled one"),
    ],
)
def test_other_pipelines_with_further_inputs_are_refused_with_their_reason(kind: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": kind}))
    said = refusal(tmp_path)
    assert kind in said
    assert why in said
