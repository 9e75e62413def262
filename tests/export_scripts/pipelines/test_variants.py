"""Variants, shards and pickles of a pipeline's weights, written by diffusers: the same numbers, or a line that names the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file

from export_scripts.errors import PipelineError
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Files, Wanted
from tests.tiny_text_pipeline import write_sd1, write_sdxl

UNET, WHOLE = "unet/diffusion_pytorch_model", "diffusion_pytorch_model.safetensors"


def wanted(**files: object) -> Wanted:
    return Wanted(("bee", "cup"), dift_block="mid", files=Files(**files))  # type: ignore[arg-type]


def saved(pipeline: Path, folder: Path, kind: type = StableDiffusionPipeline, **how: object) -> Path:
    """The pipeline saved again by diffusers. how: arguments of save_pretrained, and dtype."""
    dtype = how.pop("dtype", torch.float32)
    with quiet_loading():
        loaded: DiffusionPipeline = kind.from_pretrained(pipeline, torch_dtype=dtype)  # type: ignore[attr-defined]
        loaded.save_pretrained(folder, **how)
    return folder


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def half(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As hubs have it: every weight twice, whole and as the variant fp16. Do not write into it."""
    folder = shutil.copytree(sd1, tmp_path_factory.mktemp("half") / "both")
    return saved(sd1, folder, dtype=torch.float16, variant="fp16")


def refusal(folder: Path, **files: object) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted(**files))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_variant_is_what_its_name_says_and_nothing_without_it(sd1: Path, half: Path) -> None:
    source = load_source(half, wanted(variant="fp16"))
    rounded = load_file(half / f"{UNET}.fp16.safetensors")
    assert {value.dtype for value in rounded.values()} == {torch.float16}
    for name, value in source.denoiser.network.state_dict().items():
        assert torch.equal(value, rounded[name].to(torch.float32))
    plain = load_source(half, wanted())
    assert (plain.digest, plain.text_digest) == (
        load_source(sd1, wanted()).digest,
        load_source(sd1, wanted()).text_digest,
    )
    assert plain.digest != source.digest
    assert plain.text_digest != source.text_digest


def test_a_variant_that_is_not_there_is_refused_with_those_that_are(half: Path, sd1: Path) -> None:
    assert "has no weights of the variant bf16: its variants are fp16" in refusal(half, variant="bf16")
    assert "has no weights of the variant fp16: its weights have no variants" in refusal(sd1, variant="fp16")


def test_a_folder_of_one_variant_alone_asks_for_its_name(sd1: Path, tmp_path: Path) -> None:
    folder = saved(sd1, tmp_path, dtype=torch.float16, variant="fp16")
    said = refusal(folder)
    assert (
        "holds weights of the variant fp16 alone, and none without a variant: choose them with --variant fp16" in said
    )
    assert load_source(folder, wanted(variant="fp16")).notes == ()


def test_a_component_without_the_variant_is_read_without_it_and_said(half: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(half, tmp_path / "copy")
    (folder / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    note = "no weights of the variant fp16: those without a variant are read for vae"
    assert load_source(folder, wanted(variant="fp16")).notes == (note,)
    (folder / "vae" / WHOLE).unlink()
    assert "vae holds no weights" in refusal(folder, variant="fp16")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_shards_are_the_same_weights(variant: str | None, tmp_path: Path) -> None:
    """Of diffusers' components and of transformers'; the second text encoder as well."""
    xl = write_sdxl(tmp_path / "whole")
    dtype = torch.float16 if variant else torch.float32
    whole = saved(xl, tmp_path / "again", StableDiffusionXLPipeline, dtype=dtype, variant=variant)
    shards = saved(
        xl, tmp_path / "shards", StableDiffusionXLPipeline, dtype=dtype, variant=variant, max_shard_size="4KB"
    )
    assert len(list((shards / "unet").glob("*-of-*.safetensors"))) >= 2
    assert len(list((shards / "text_encoder_2").glob("*-of-*.safetensors"))) >= 2
    got, expected = (load_source(folder, wanted(variant=variant)) for folder in (shards, whole))
    assert (got.digest, got.text_digest) == (expected.digest, expected.text_digest)


def test_a_missing_shard_is_named(sd1: Path, tmp_path: Path) -> None:
    folder = saved(sd1, tmp_path, max_shard_size="4KB")
    shard = sorted((folder / "unet").glob("*-of-*.safetensors"))[1]
    shard.unlink()
    said = refusal(folder)
    assert "unet lacks 1 of the" in said
    assert f"shards that {WHOLE}.index.json names: {shard.name}" in said


def test_a_cut_shard_and_an_index_without_shards_are_named(sd1: Path, tmp_path: Path) -> None:
    folder = saved(sd1, tmp_path, max_shard_size="4KB")
    shard = sorted((folder / "unet").glob("*-of-*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:100])
    assert f"{shard.name} is cut or damaged" in refusal(folder)
    (folder / "unet" / f"{WHOLE}.index.json").write_text(json.dumps({"weight_map": {}}))
    assert "index.json names no shards" in refusal(folder)


def test_weights_that_are_there_whole_and_in_shards_are_refused(sd1: Path, tmp_path: Path) -> None:
    """diffusers reads the one of the two, transformers the other: nobody says which is meant."""
    folder = saved(sd1, tmp_path, max_shard_size="4KB")
    shutil.copy(sd1 / "unet" / WHOLE, folder / "unet")
    assert f"unet holds its weights twice, as {WHOLE} and as the shards of {WHOLE}.index.json" in refusal(folder)


def test_pickles_are_refused_unless_allowed_and_are_the_same_weights(sd1: Path, tmp_path: Path) -> None:
    folder = saved(sd1, tmp_path, safe_serialization=False)
    said = refusal(folder)
    assert "is a pickle, which may hold a program" in said
    assert "--allow-pickle" in said
    assert load_source(folder, wanted(allow_pickle=True)).digest == load_source(sd1, wanted()).digest


def test_an_allowed_pickle_runs_no_program_all_the_same(sd1: Path, tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "it ran",))  # type: ignore[return-value]

    folder = saved(sd1, tmp_path / "pipeline", safe_serialization=False)
    torch.save({"conv_in.weight": Program()}, folder / f"{UNET}.bin")
    assert "unet can't be read" in refusal(folder, allow_pickle=True)
    assert not (tmp_path / "it ran").exists()
