"""Configurations held against the list: what the exported mathematics would not follow is refused by name and value."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest

from export_scripts.errors import PipelineError
from export_scripts.pipelines.folder import load_folder, open_folder
from export_scripts.pipelines.parts import quiet_loading, training_scheduler
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.tiny_text_pipeline import SCHEDULE, write_sd1, write_sdxl


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture
def copy(sd1: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sd1, tmp_path / "copy")


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def with_scheduler(folder: Path, config: dict[str, Any]) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
    change(folder / "model_index.json", scheduler=["diffusers", config["_class_name"]])


def refusal(folder: Path) -> str:
    with pytest.raises(PipelineError) as error:
        training_scheduler(load_folder(open_folder(folder)).scheduler)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("EDMEulerScheduler", "inputs scaled by σ"),
        ("EDMDPMSolverMultistepScheduler", "inputs scaled by σ"),
        ("FlowMatchEulerDiscreteScheduler", "flow matching"),
        ("FlowMatchHeunDiscreteScheduler", "flow matching"),
        ("LCMScheduler", "distilled"),
        ("TCDScheduler", "distilled"),
        ("CMStochasticIterativeScheduler", "consistency"),
        ("ScoreSdeVeScheduler", "explodes"),
        ("DDPMWuerstchenScheduler", "not in the list"),
        ("SomebodysScheduler", "not in the list"),
    ],
)
def test_a_scheduler_of_another_noising_is_refused_by_name(name: str, why: str, copy: Path) -> None:
    with_scheduler(copy, {"_class_name": name, "num_train_timesteps": 1000})
    said = refusal(copy)
    assert name in said
    assert why in said


def test_a_scheduler_s_own_file_is_believed_and_not_the_index_alone(copy: Path) -> None:
    change(copy / "scheduler" / "scheduler_config.json", _class_name="EDMEulerScheduler")
    assert "EDMEulerScheduler" in refusal(copy)


@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler"]
)
def test_a_sampler_that_noises_by_betas_gives_the_training_schedule(name: str, copy: Path) -> None:
    made = getattr(diffusers, name)(**SCHEDULE, prediction_type="v_prediction")
    made.save_pretrained(copy / "scheduler")
    change(copy / "model_index.json", scheduler=["diffusers", name])
    training = training_scheduler(load_folder(open_folder(copy)).scheduler)
    assert training.config.prediction_type == "v_prediction"
    assert (training.alphas_cumprod - made.alphas_cumprod).abs().max() < 1e-6


def test_a_terminal_signal_of_zero_is_followed(copy: Path) -> None:
    made = diffusers.EulerDiscreteScheduler(**SCHEDULE, rescale_betas_zero_snr=True, prediction_type="v_prediction")
    made.save_pretrained(copy / "scheduler")
    change(copy / "model_index.json", scheduler=["diffusers", "EulerDiscreteScheduler"])
    assert training_scheduler(load_folder(open_folder(copy)).scheduler).alphas_cumprod[-1] == 0


def test_a_field_that_the_saved_sampler_ignores_and_training_followed_is_refused(copy: Path) -> None:
    """PNDM takes no rescale_betas_zero_snr, so its file may hold one that it does not follow."""
    change(copy / "scheduler" / "scheduler_config.json", rescale_betas_zero_snr=True)
    said = refusal(copy)
    assert "PNDMScheduler and the betas of its configuration disagree" in said


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("scheduler/scheduler_config.json", {"prediction_type": "flow_prediction"}),
        ("scheduler/scheduler_config.json", {"use_flow_sigmas": True}),
        ("scheduler/scheduler_config.json", {"beta_schedule": "exp"}),
        ("scheduler/scheduler_config.json", {"timestep_type": "continuous"}),
        ("scheduler/scheduler_config.json", {"sigma_data": 0.5}),
        ("unet/config.json", {"time_cond_proj_dim": 256}),
        ("unet/config.json", {"class_embed_type": "projection"}),
        ("unet/config.json", {"num_class_embeds": 1000}),
        ("unet/config.json", {"addition_embed_type": "image"}),
        ("unet/config.json", {"encoder_hid_dim_type": "text_proj"}),
        ("unet/config.json", {"center_input_sample": True}),
        ("unet/config.json", {"time_embedding_act_fn": "silu"}),
        ("unet/config.json", {"attention_type": "gated"}),
        ("unet/config.json", {"dual_cross_attention": True}),
        ("unet/config.json", {"a_field_of_tomorrow": 3}),
        ("unet/config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}),
        ("vae/config.json", {"latents_mean": [0.1, 0.2, 0.3, 0.4]}),
        ("vae/config.json", {"latents_std": [1.0, 1.0, 1.0, 2.0]}),
        ("vae/config.json", {"in_channels": 4}),
        ("text_encoder/config.json", {"quantization_config": {"bits": 4}}),
        ("text_encoder/config.json", {"is_decoder": True}),
        ("model_index.json", {"requires_aesthetics_score": True}),
        ("model_index.json", {"controlnet": ["diffusers", "ControlNetModel"]}),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_field_that_the_exported_mathematics_would_not_follow_is_refused_with_its_value(
    file: str, values: dict[str, Any], copy: Path
) -> None:
    change(copy / file, **values)
    said = refusal(copy)
    ((name, value),) = values.items()
    assert file in said
    assert name in said
    assert json.dumps(value) in said


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("scheduler/scheduler_config.json", {"clip_sample": True, "solver_order": 3, "use_karras_sigmas": True}),
        (
            "unet/config.json",
            {"time_cond_proj_dim": None, "decay": 0.9999, "optimization_step": 7, "a_field_of_old": None},
        ),
        ("text_encoder/config.json", {"temperature": 1.0, "torch_dtype": "float16", "bad_words_ids": None}),
        ("model_index.json", {"requires_safety_checker": True, "_name_or_path": "somewhere"}),
    ],
    ids=["scheduler", "unet", "text encoder", "index"],
)
def test_a_field_that_changes_no_forward_pass_is_passed_over(file: str, values: dict[str, Any], copy: Path) -> None:
    change(copy / file, **values)
    assert load_folder(open_folder(copy)).unet.config.in_channels == 4


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"_class_name": "StableDiffusionInpaintPipeline"}, "StableDiffusionInpaintPipeline"),
        ({"_class_name": ["pipeline", "Own"]}, "Own"),
        ({"_class_name": "FluxPipeline"}, "FluxPipeline"),
        ({"unet": ["diffusers", "UNetMotionModel"]}, "unet is a UNetMotionModel"),
        ({"vae": ["diffusers", "AutoencoderTiny"]}, "vae is a AutoencoderTiny"),
        ({"text_encoder": ["transformers", "T5EncoderModel"]}, "text_encoder is a T5EncoderModel"),
        ({"text_encoder": [None, None]}, "names no text_encoder"),
    ],
    ids=["inpainting", "own code", "flow", "motion", "other vae", "other text", "no text"],
)
def test_a_pipeline_or_component_that_is_not_in_the_list_is_refused_by_name(
    values: dict[str, Any], says: str, copy: Path
) -> None:
    change(copy / "model_index.json", **values)
    assert says in refusal(copy)


def test_a_unet_that_is_given_more_than_the_noisy_latent_is_refused(tmp_path: Path) -> None:
    """Whatever it is given; test_further_inputs.py has the kinds that are known by name."""
    with quiet_loading():
        pipeline = diffusers.StableDiffusionPipeline.from_pretrained(write_sd1(tmp_path / "sd1"))
    config = {k: v for k, v in pipeline.unet.config.items() if not k.startswith("_")}
    for other, says in (
        ({"in_channels": 6}, "latents have 4 channels, the UNet takes 6"),
        ({"out_channels": 8}, "takes 4 channels and gives 8"),
    ):
        diffusers.UNet2DConditionModel(**config | other).save_pretrained(tmp_path / "sd1" / "unet")
        with pytest.raises(PipelineError, match=says):
            load_source(tmp_path / "sd1", Wanted(("bee", "cup"), dift_block="mid"))


def test_a_unet_that_does_not_say_its_resolution_asks_for_one(copy: Path) -> None:
    change(copy / "unet" / "config.json", sample_size=None)
    with pytest.raises(
        PipelineError, match="sample_size is None, not one number: name the side of images with --resolution"
    ):
        load_source(copy, Wanted(("bee", "cup"), dift_block="mid"))
    assert load_source(copy, Wanted(("bee", "cup"), dift_block="mid", resolution=32)).latent == (4, 16, 16)


def test_a_vae_without_a_scale_is_refused_in_one_line(copy: Path) -> None:
    change(copy / "vae" / "config.json", scaling_factor=None)
    with pytest.raises(PipelineError, match="the VAE can't be read"):
        load_source(copy, Wanted(("bee", "cup"), dift_block="mid"))


def test_sdxl_s_settings_are_in_the_list(tmp_path: Path) -> None:
    assert open_folder(write_sdxl(tmp_path)).kind == "StableDiffusionXLPipeline"
