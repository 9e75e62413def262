"""Pipelines as downloads leave them: each ends in one line that names the file; what is whole is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from export_scripts.errors import PipelineError
from export_scripts.pipelines.folder import load_folder, open_folder
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import Wanted
from tests.tiny_text_pipeline import TOKENS, write_sd1

UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3438167536\n"
WANTED = Wanted(("bee", "cup"), dift_block="mid")


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture
def copy(sd1: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sd1, tmp_path / "copy")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def changed_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def only_a_variant(folder: Path) -> None:
    (folder / UNET).rename(folder / "unet/diffusion_pytorch_model.fp16.safetensors")


def no_weight(folder: Path, file: str = UNET, name: str = "conv_in.bias") -> None:
    changed_weights(folder / file, lambda weights: weights.pop(name))


def a_weight_too_many(folder: Path) -> None:
    changed_weights(folder / UNET, lambda weights: weights.update({"another.weight": torch.zeros(1)}))


def a_weight_of_another_shape(folder: Path) -> None:
    changed_weights(folder / UNET, lambda weights: weights.update({"conv_in.bias": torch.zeros(3)}))


def a_missing_shard(folder: Path) -> None:
    (folder / UNET).unlink()
    index = {"metadata": {}, "weight_map": {"conv_in.bias": "part-1-of-2.safetensors"}}
    (folder / f"{UNET}.index.json").write_text(json.dumps(index))


def a_cut_pickle(folder: Path) -> None:
    weights = load_file(folder / UNET)
    (folder / UNET).unlink()
    torch.save(weights, folder / "unet/diffusion_pytorch_model.bin")
    cut(folder / "unet/diffusion_pytorch_model.bin")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a variant alone": (only_a_variant, "weights of the variant fp16 alone"),
    "cut weights": (lambda d: cut(d / UNET), "diffusion_pytorch_model.safetensors is cut or damaged"),
    "cut text weights": (lambda d: cut(d / TEXT), "model.safetensors is cut or damaged"),
    "a pickle": (a_cut_pickle, "diffusion_pytorch_model.bin is a pickle"),
    "empty weights": (lambda d: (d / UNET).write_bytes(b""), "diffusion_pytorch_model.safetensors is empty"),
    "no weights": (lambda d: (d / UNET).unlink(), "unet holds no weights"),
    "a missing shard": (a_missing_shard, "names: part-1-of-2.safetensors"),
    "a pointer for weights": (lambda d: (d / UNET).write_text(POINTER), "is a git-lfs pointer"),
    "a pointer for words": (lambda d: (d / "tokenizer/tokenizer.json").write_text(POINTER), "is a git-lfs pointer"),
    "a pointer for the index": (lambda d: (d / "model_index.json").write_text(POINTER), "is a git-lfs pointer"),
    "a dangling link": (lambda d: [(d / UNET).unlink(), (d / UNET).symlink_to("blob")], "can't be read: No such file"),
    "a broken index": (lambda d: (d / "model_index.json").write_text("{"), "model_index.json is no JSON"),
    "a list for an index": (lambda d: (d / "model_index.json").write_text("[]"), "holds a JSON list"),
    "an empty index": (lambda d: (d / "model_index.json").write_text("{}"), "is of a null"),
    "a broken config": (lambda d: (d / "vae/config.json").write_bytes(b"\xff\xfe{"), "vae/config.json is no JSON"),
    "no config": (lambda d: (d / "text_encoder/config.json").unlink(), "text_encoder/config.json can't be read"),
    "a config of words": (
        lambda d: (d / "unet/config.json").write_text('{"block_out_channels": "many"}'),
        "unet can't be read",
    ),
    "no scheduler": (lambda d: shutil.rmtree(d / "scheduler"), "scheduler is missing"),
    "no unet": (lambda d: shutil.rmtree(d / "unet"), "unet is missing, model_index.json names a UNet2DConditionModel"),
    "no tokenizer": (lambda d: shutil.rmtree(d / "tokenizer"), "tokenizer is missing"),
    "no words": (lambda d: (d / "tokenizer/tokenizer.json").unlink(), "tokenizer holds no tokenizer"),
    "broken words": (lambda d: (d / "tokenizer/tokenizer.json").write_text("{"), "can't be read"),
    "no lengths": (lambda d: (d / "tokenizer/tokenizer_config.json").write_text("{}"), "model_max_length"),
    "a weight missing": (no_weight, "unet lacks the UNet2DConditionModel of its config.json: conv_in.bias"),
    "a text weight missing": (lambda d: no_weight(d, TEXT, "final_layer_norm.bias"), "lacks the CLIPTextModel"),
    "a weight too many": (a_weight_too_many, "has more weights than the UNet2DConditionModel"),
    "another shape": (a_weight_of_another_shape, "unet can't be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_incomplete_damaged_or_foreign_file_is_named_in_one_line(fault: str, copy: Path) -> None:
    spoil, says = FAULTS[fault]
    spoil(copy)
    with pytest.raises(PipelineError) as error:
        load_source(copy, WANTED)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_safety_checker_is_not_needed(copy: Path) -> None:
    index = json.loads((copy / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    (copy / "model_index.json").write_text(json.dumps(index))
    assert load_source(copy, WANTED).classes == WANTED.classes


def test_weights_that_older_versions_named_otherwise_are_complete(sd1: Path, copy: Path) -> None:
    """As the published Stable Diffusion 1.5 has them: a prefix, positions, a projection that the class is without."""
    weights = {f"text_model.{name}": value for name, value in load_file(copy / TEXT).items()}
    weights |= {
        "text_model.embeddings.position_ids": torch.arange(TOKENS)[None],
        "text_projection.weight": torch.zeros(12, 8),
    }
    save_file(weights, copy / TEXT, metadata={"format": "pt"})
    vae = copy / "vae/diffusion_pytorch_model.safetensors"
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def renamed(name: str) -> str:
        for new, old in older.items():
            name = name.replace(new, old)
        return name

    save_file({renamed(name): value for name, value in load_file(vae).items()}, vae)
    source, same = load_source(copy, WANTED), load_source(sd1, WANTED)
    assert (source.digest, source.text_digest) == (same.digest, same.text_digest)


def test_half_weights_saved_without_a_variant_are_read_into_float32(sd1: Path, tmp_path: Path) -> None:
    with quiet_loading():
        StableDiffusionPipeline.from_pretrained(sd1, torch_dtype=torch.float16).save_pretrained(tmp_path)
    source = load_source(tmp_path, WANTED)
    assert {p.dtype for p in source.denoiser.network.parameters()} == {torch.float32}
    assert source.table.dtype == torch.float32


def test_prompts_alone_need_no_unet(sd1: Path, copy: Path) -> None:
    shutil.rmtree(copy / "unet")
    shutil.rmtree(copy / "vae")
    assert read_prompts(copy, WANTED).digest == load_source(sd1, WANTED).text_digest


def test_a_folder_of_something_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    with pytest.raises(PipelineError, match=r"no model_index\.json \(it holds README\.md\)"):
        load_source(tmp_path, WANTED)


def test_no_component_that_judges_finished_images_is_loaded(copy: Path) -> None:
    assert load_folder(open_folder(copy)).components["safety_checker"] is None
