"""One file of weights in the makers' layout: the same pipeline as its folder, or a line that says what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from export_scripts.errors import PipelineError
from export_scripts.pipelines.source import load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import Files, Wanted
from tests.sd3_files import sd3_file
from tests.single_files import Weights, ldm_file, sd2_file, sdxl_file
from tests.tiny_dit import write_dit
from tests.tiny_sd3 import write_sd3
from tests.tiny_text_pipeline import write_sd1, write_sd2, write_sdxl

FIRST = "model.diffusion_model.input_blocks.0.0.weight"
TEXT = "cond_stage_model.transformer.text_model."


def wanted(**files: object) -> Wanted:
    return Wanted(("bee", "cup"), dift_block="mid", files=Files(**files))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def config(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same folder without weights. Do not write into it."""
    folder = tmp_path_factory.mktemp("config") / "sd1"
    return shutil.copytree(sd1, folder, ignore=shutil.ignore_patterns("*.safetensors"))


@pytest.fixture(scope="module")
def weights(sd1: Path) -> Weights:
    """Do not change it."""
    return ldm_file(sd1)


def written(weights: Weights, path: Path, **metadata: str) -> Path:
    save_file(weights, path, metadata={key.replace("_", ".", 1): value for key, value in metadata.items()})
    return path


def refusal(path: Path, **files: object) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(path, wanted(**files))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_in_the_makers_layout_is_the_pipeline_of_its_folder(
    sd1: Path, config: Path, weights: Weights, tmp_path: Path
) -> None:
    """Not a weight differs: digests are of all of them. The folder beside it needs none."""
    file = written(weights, tmp_path / "model.safetensors")
    got, expected = load_source(file, wanted(config=config)), load_source(sd1, wanted())
    assert (got.digest, got.text_digest) == (expected.digest, expected.text_digest)
    assert torch.equal(got.table, expected.table)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(got.encoder(images), expected.encoder(images))
    assert read_prompts(file, wanted(config=config)).digest == expected.text_digest


@pytest.mark.parametrize("kind", ["sd2", "sdxl"])
def test_stable_diffusion_2_and_xl_are_the_pipelines_of_their_folders(kind: str, tmp_path: Path) -> None:
    """Their makers took OpenCLIP, whose names and matrices are others. XL's encoders are told apart by their widths."""
    if kind == "sd2":
        folder = write_sd2(tmp_path / "folder")
        file = written(sd2_file(folder), tmp_path / "model.safetensors", modelspec_prediction_type="v")
    else:
        folder = write_sdxl(tmp_path / "folder", second_width=12)
        file = written(sdxl_file(folder), tmp_path / "model.safetensors")
    got, expected = load_source(file, wanted(config=folder)), load_source(folder, wanted())
    assert (got.digest, got.text_digest) == (expected.digest, expected.text_digest)


def test_a_layer_of_open_clip_that_is_missing_or_too_many_is_refused(tmp_path: Path) -> None:
    folder = write_sdxl(tmp_path / "folder", second_width=12)
    weights, start = sdxl_file(folder), "conditioner.embedders.1.model.transformer.resblocks."
    layer = {name: value for name, value in weights.items() if name.startswith(f"{start}1.")}
    more = weights | {name.replace(f"{start}1.", f"{start}2."): value.clone() for name, value in layer.items()}
    said = refusal(written(more, tmp_path / "more.safetensors"), config=folder)
    assert "has more weights than the CLIPTextModelWithProjection" in said
    fewer = {name: value for name, value in weights.items() if name not in layer}
    said = refusal(written(fewer, tmp_path / "fewer.safetensors"), config=folder)
    assert "lacks the CLIPTextModelWithProjection" in said
    assert "encoder.layers.1." in said


def test_a_checkpoint_is_refused_unless_pickles_are_allowed_and_is_then_the_same(
    sd1: Path, config: Path, weights: Weights, tmp_path: Path
) -> None:
    """As trainers save it: the weights below a key, beside numbers of the training."""
    torch.save({"state_dict": weights, "global_step": 7}, tmp_path / "model.ckpt")
    said = refusal(tmp_path / "model.ckpt", config=config)
    assert "model.ckpt is a pickle, which may hold a program" in said
    assert "--allow-pickle" in said
    source = load_source(tmp_path / "model.ckpt", wanted(config=config, allow_pickle=True))
    assert source.digest == load_source(sd1, wanted()).digest


def test_an_allowed_checkpoint_runs_no_program_all_the_same(config: Path, tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (tmp_path / "it ran",))

    torch.save({"state_dict": Program()}, tmp_path / "model.ckpt")
    assert "model.ckpt can't be read" in refusal(tmp_path / "model.ckpt", config=config, allow_pickle=True)
    assert not (tmp_path / "it ran").exists()


def test_a_file_alone_asks_for_a_folder_of_configurations(weights: Weights, tmp_path: Path) -> None:
    said = refusal(written(weights, tmp_path / "model.safetensors"))
    assert "is a single file of weights, which says neither its schedule nor its tokenizer" in said
    assert "--config" in said
    assert "model.safetensors can't be read" in refusal(tmp_path / "none" / "model.safetensors")


def test_a_folder_with_configurations_of_its_own_takes_no_others(sd1: Path, config: Path) -> None:
    assert "--config goes with a single file of weights" in refusal(sd1, config=config)


def without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {k: v for k, v in weights.items() if k != name}


def renamed(old: str, new: str) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {k.replace(old, new): v.clone() for k, v in weights.items() if old in k}


FAULTS: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "a weight of the UNet missing": (
        without("model.diffusion_model.out.2.bias"),
        "lacks the UNet2DConditionModel of the config.json that --config names: conv_out.bias",
    ),
    "a weight of the VAE missing": (without("first_stage_model.quant_conv.bias"), "lacks the AutoencoderKL of"),
    "a weight of the text missing": (
        without(f"{TEXT}encoder.layers.1.mlp.fc1.bias"),
        "lacks the CLIPTextModel of the config.json that --config names: encoder.layers.1.mlp.fc1.bias",
    ),
    "a block too many": (
        renamed("input_blocks.1", "input_blocks.2"),
        "has more weights than the UNet2DConditionModel of",
    ),
    "a block that diffusers does not see": (renamed("input_blocks.1", "input_blocks.9"), "holds a UNet of"),
    "a text layer too many": (
        renamed("encoder.layers.1.", "encoder.layers.2."),
        "has more weights than the CLIPTextModel",
    ),
    "another width": (lambda w: w | {FIRST: torch.zeros(16, 4, 3, 3)}, "unet in"),
    "no VAE": (lambda w: {k: v for k, v in w.items() if "first_stage" not in k}, "vae holds no weights"),
    "inpainting": (lambda w: w | {FIRST: torch.zeros(8, 9, 3, 3)}, "takes 9 channels, that of"),
    "InstructPix2Pix": (lambda w: w | {FIRST: torch.zeros(8, 8, 3, 3)}, "an InstructPix2Pix UNet is given the latent"),
    "depth": (lambda w: w | {FIRST: torch.zeros(8, 5, 3, 3)}, "a depth UNet is given"),
    "upscaling": (lambda w: w | {FIRST: torch.zeros(8, 7, 3, 3)}, "an upscaling UNet is given"),
    "a ControlNet": (lambda w: w | {"control_model.time_embed.0.weight": torch.zeros(1)}, "is a ControlNet"),
    "the refiner": (
        lambda w: {"conditioner.embedders.0.model.ln_final.bias": torch.zeros(1)},
        "is SDXL's refiner, which starts from another model's images",
    ),
    "EDM": (lambda w: w | {"edm_mean": torch.zeros(4)}, "told σ in place of timesteps (EDM)"),
    "a LoRA": (lambda w: {"lora_unet_mid_block.lora_down.weight": torch.zeros(1)}, "is a LoRA: name the pipeline"),
    "scales of fp8": (lambda w: w | {"scaled_fp8": torch.zeros(1)}, "is quantised with scales of its own"),
    "v-prediction": (
        lambda w: w | {"v_pred": torch.zeros(1)},
        "says that it predicts v_prediction, the scheduler_config",
    ),
    "nothing of it": (lambda w: {"betas": torch.zeros(9)}, "Weights for this component appear to be missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_is_not_the_folder_s_pipeline_is_refused_by_name(
    fault: str, config: Path, weights: Weights, tmp_path: Path
) -> None:
    spoil, says = FAULTS[fault]
    said = refusal(written(spoil(dict(weights)), tmp_path / "model.safetensors"), config=config)
    assert says in said
    assert len(said) < 700


def test_what_the_file_says_of_its_prediction_must_be_the_schedule_s(
    sd1: Path, config: Path, weights: Weights, tmp_path: Path
) -> None:
    v = written(weights, tmp_path / "v.safetensors", modelspec_prediction_type="v")
    assert "predicts v_prediction" in refusal(v, config=config)
    epsilon = written(weights, tmp_path / "epsilon.safetensors", modelspec_prediction_type="epsilon")
    assert load_source(epsilon, wanted(config=config)).digest == load_source(sd1, wanted()).digest


def test_other_files_are_no_weights(tmp_path: Path, config: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert "model.gguf is no file of weights that is read" in refusal(tmp_path / "model.gguf", config=config)


def test_a_transformer_alone_is_completed_from_the_folder_s_own_weights(tmp_path: Path) -> None:
    """As Stable Diffusion 3's makers publish it without text encoders; here in diffusers' own names."""
    folder = write_sd3(tmp_path / "sd3")
    expected = load_source(folder, Wanted(("bee", "cup")))
    own = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file({name: 2 * value for name, value in load_file(own).items()}, tmp_path / "transformer.safetensors")
    own.unlink()
    source = load_source(tmp_path / "transformer.safetensors", Wanted(("bee", "cup"), files=Files(config=folder)))
    assert source.text_digest == expected.text_digest
    doubled = expected.denoiser.network.state_dict()
    for name, value in source.denoiser.network.state_dict().items():
        assert torch.equal(value, 2 * doubled[name]) or name == "pos_embed.pos_embed"


def test_stable_diffusion_3_in_its_makers_names_is_the_pipeline_of_its_folder(tmp_path: Path) -> None:
    """Without CLIP, which comes from the folder."""
    folder = write_sd3(tmp_path / "sd3")
    expected = load_source(folder, Wanted(("bee", "cup")))
    file = written(sd3_file(folder), tmp_path / "sd3.safetensors")
    for part in ("transformer", "vae", "text_encoder_3"):
        next((folder / part).glob("*.safetensors")).unlink()
    got = load_source(file, Wanted(("bee", "cup"), files=Files(config=folder)))
    assert (got.digest, got.text_digest) == (expected.digest, expected.text_digest)
    assert torch.equal(got.table, expected.table)


def test_a_dit_is_in_no_single_file(tmp_path: Path) -> None:
    folder = write_dit(tmp_path / "dit")
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    save_file(weights, tmp_path / "dit.safetensors")
    with pytest.raises(
        PipelineError, match="diffusers reads no DiTTransformer2DModel from a single file: name its folder"
    ):
        load_source(tmp_path / "dit.safetensors", Wanted(files=Files(config=folder)))


def test_a_single_file_takes_no_damage_for_weights(config: Path, weights: Weights, tmp_path: Path) -> None:
    file = written(weights, tmp_path / "model.safetensors")
    file.write_bytes(file.read_bytes()[:5000])
    assert "model.safetensors is cut or damaged" in refusal(file, config=config)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "model_index.json").write_text(json.dumps({"_class_name": "SmallPipeline"}))
    assert "names no vae" in refusal(written(weights, file), config=tmp_path / "config")
