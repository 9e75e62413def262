"""LoRAs added at export: the weights are those of W + scale · alpha / rank · B A, and nothing of a file is passed over."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from onnx import numpy_helper
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from client import contract
from export_scripts.errors import PipelineError
from export_scripts.export import export_pipeline
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.repository.exported import read_exported
from export_scripts.reuse import replace_classes
from export_scripts.settings import Files, Lora, Settings, Wanted
from export_scripts.steps import Steps
from tests.single_files import ldm_file
from tests.tiny_dit import write_dit
from tests.tiny_sd3 import write_sd3
from tests.tiny_text_pipeline import write_sd1, write_sdxl

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
RANK, ALPHA = 2, 3
NAME = "pytorch_lora_weights.safetensors"


def wanted(*loras: Lora, **more: object) -> Wanted:
    return Wanted(("bee", "cup"), files=Files(loras=loras), **{"dift_block": "mid", **more})  # type: ignore[arg-type]


def trained(module: nn.Module, layers: list[str], seed: int) -> dict[str, Tensor]:
    """The weights that training a LoRA on the layers would leave, by peft; random ones."""
    torch.manual_seed(seed)
    module.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=layers, init_lora_weights=False))
    return get_peft_model_state_dict(module)


def write_lora(
    pipeline: Path, folder: Path, kind: type = StableDiffusionPipeline, seed: int = 0, **layers: list[str]
) -> Path:
    """Saves a LoRA as diffusers' training scripts do. layers: of each component that has one."""
    with quiet_loading():
        loaded = kind.from_pretrained(pipeline, low_cpu_mem_usage=False)  # type: ignore[attr-defined]
        found = {slot: trained(getattr(loaded, slot), names, seed) for slot, names in layers.items()}
        about = {
            f"{slot}_lora_adapter_metadata": getattr(loaded, slot).peft_config["default"].to_dict() for slot in layers
        }
        kind.save_lora_weights(  # type: ignore[attr-defined]
            folder, **{f"{slot}_lora_layers": value for slot, value in found.items()}, **about
        )
    return folder


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_sd1(tmp_path_factory.mktemp("sd1"))


@pytest.fixture(scope="module")
def lora(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a LoRA of the UNet. Do not write into it."""
    return write_lora(sd1, tmp_path_factory.mktemp("lora"), unet=ATTENTION)


@pytest.fixture(scope="module")
def text_lora(sd1: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a LoRA of the text encoder alone. Do not write into it."""
    return write_lora(sd1, tmp_path_factory.mktemp("text"), seed=1, text_encoder=["q_proj", "v_proj", "fc1"])


@pytest.fixture(scope="module")
def exported(
    sd1: Path, lora: Path, text_lora: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Wanted]:
    """A repository of a single file of weights with both LoRAs, the file, and what was wanted."""
    place = tmp_path_factory.mktemp("exported")
    save_file(ldm_file(sd1), place / "model.safetensors")
    chosen = wanted(Lora(lora, 0.7), Lora(text_lora, 0.5))
    chosen = replace(chosen, files=replace(chosen.files, config=sd1))
    settings = Settings(draws=2, max_batch=1, served_gate=False)
    export_pipeline(place / "model.safetensors", place / "repo", settings, chosen, Steps(say=False))
    return place / "repo", place / "model.safetensors", chosen


def refusal(folder: Path, *loras: Lora) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted(*loras))
    assert "\n" not in str(error.value)
    return str(error.value)


def added(weights: dict[str, Tensor], lora: Path, slot: str, scale: float) -> dict[str, Tensor]:
    """The definition written out. weights: of the component before."""
    found, result = load_file(lora / NAME), dict(weights)
    for name in [name for name in found if name.startswith(f"{slot}.") and ".lora_A." in name]:
        target = name.removeprefix(f"{slot}.").replace(".lora_A.weight", ".weight")
        target = target if target in result else target.removeprefix("text_model.")
        down, up = found[name], found[name.replace(".lora_A.", ".lora_B.")]
        result[target] = result[target] + scale * ALPHA / RANK * up @ down
    return result


def test_two_loras_with_scales_are_the_definition_and_what_diffusers_fuses(
    sd1: Path, lora: Path, tmp_path: Path
) -> None:
    other = write_lora(sd1, tmp_path, seed=3, unet=["to_k"])
    source = load_source(sd1, wanted(Lora(lora, 0.5), Lora(other / NAME, -2.0)))
    got = source.denoiser.network.state_dict()
    plain = load_source(sd1, wanted()).denoiser.network.state_dict()
    expected = added(added(plain, lora, "unet", 0.5), other, "unet", -2.0)
    with quiet_loading():
        pipeline = StableDiffusionPipeline.from_pretrained(sd1, low_cpu_mem_usage=False)
        pipeline.load_lora_weights(lora, weight_name=NAME, adapter_name="one")
        pipeline.load_lora_weights(other, weight_name=NAME, adapter_name="two")
        pipeline.set_adapters(["one", "two"], [0.5, -2.0])
        pipeline.fuse_lora()
        pipeline.unload_lora_weights()
    fused = pipeline.unet.state_dict()
    assert got.keys() == plain.keys()
    changed = [name for name in got if not torch.equal(got[name], plain[name])]
    assert len(changed) == 16
    for name, value in got.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(value, fused[name], rtol=1e-5, atol=1e-6)


def test_the_exported_graph_holds_the_fused_weights(sd1: Path, exported: tuple[Path, Path, Wanted]) -> None:
    repository, file, chosen = exported
    graph = onnx.load(repository / contract.UNET / "1" / "model.onnx").graph
    held = {numpy_helper.to_array(value).tobytes() for value in graph.initializer}
    held |= {numpy_helper.to_array(value).T.copy().tobytes() for value in graph.initializer if len(value.dims) == 2}
    network = load_source(file, chosen).denoiser.network
    plain = load_source(sd1, wanted()).denoiser.network.state_dict()
    changed = {k: v for k, v in network.state_dict().items() if not torch.equal(v, plain[k])}
    assert len(changed) == 16
    for name, value in changed.items():
        assert value.numpy().tobytes() in held, name
        assert plain[name].numpy().tobytes() not in held, name


def test_a_lora_of_a_text_encoder_is_in_the_prompts(sd1: Path, text_lora: Path) -> None:
    plain, source = load_source(sd1, wanted()), load_source(sd1, wanted(Lora(text_lora, 0.5)))
    with quiet_loading():
        pipeline = StableDiffusionPipeline.from_pretrained(sd1, low_cpu_mem_usage=False)
    weights = added(pipeline.text_encoder.state_dict(), text_lora, "text_encoder", 0.5)
    pipeline.text_encoder.load_state_dict(weights)
    with torch.no_grad():
        expected = pipeline.encode_prompt(list(source.prompts), "cpu", 1, False)[0]
    torch.testing.assert_close(source.table, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(source.table, plain.table, atol=1e-3)
    network = source.denoiser.network.state_dict()
    assert all(torch.equal(v, network[k]) for k, v in plain.denoiser.network.state_dict().items())


def test_every_lora_and_scale_is_another_identity(sd1: Path, lora: Path, text_lora: Path) -> None:
    """A store remembers it: scores of two of them are never mixed, a text encoder's LoRA included."""
    chosen = [
        wanted(*loras) for loras in ((), (Lora(lora),), (Lora(lora, 0.5),), (Lora(text_lora),), (Lora(text_lora, 0.5),))
    ]
    found = {make_leaves(load_source(sd1, each), 2).identity.pipeline for each in chosen}
    assert len(found) == len(chosen)
    again = make_leaves(load_source(sd1, wanted(Lora(lora / NAME, 0.5))), 2).identity.pipeline
    assert again in found


def test_new_classes_for_a_repository_are_encoded_with_the_file_and_the_loras_of_its_export(
    sd1: Path, lora: Path, text_lora: Path, exported: tuple[Path, Path, Wanted], tmp_path: Path
) -> None:
    repository, file, chosen = exported
    before = read_exported(repository).identity.pipeline
    replace_classes(repository, Wanted(("kite",)), None, Steps(say=False))
    identity = read_exported(repository).identity
    assert (identity.classes, identity.pipeline) == (("kite",), before)
    expected = read_prompts(file, Wanted(("kite",), files=chosen.files)).digest
    manifest = json.loads((repository / contract.PROMPT_EMBEDDING / "manifest.json").read_text())
    assert manifest["source"]["text_digest"] == expected
    moved = shutil.copytree(text_lora, tmp_path / "moved")
    same = Wanted(("bee",), files=Files(loras=(Lora(lora, 0.7), Lora(moved, 0.5))))
    replace_classes(repository, same, sd1, Steps(say=False))  # the same weights, in a folder
    assert read_exported(repository).identity.classes == ("bee",)
    for other in ((Lora(lora, 0.7),), (Lora(lora, 2.0), Lora(moved, 0.5)), (Lora(moved, 0.5), Lora(lora, 0.7))):
        with pytest.raises(PipelineError, match="has other LoRAs than these"):
            replace_classes(repository, Wanted(("kite",), files=Files(loras=other)), None, Steps(say=False))


@pytest.mark.parametrize("slot", ["text_encoder", "text_encoder_2"])
def test_both_text_encoders_of_sdxl_take_a_lora(slot: str, tmp_path: Path) -> None:
    folder = write_sdxl(tmp_path / "xl")
    lora = write_lora(folder, tmp_path / "lora", StableDiffusionXLPipeline, unet=ATTENTION, **{slot: ["q_proj"]})
    plain, source = load_source(folder, wanted()), load_source(folder, wanted(Lora(lora)))
    difference = (source.table - plain.table).abs().amax(dim=(0, 1))
    own, other = (difference[:8], difference[8:]) if slot == "text_encoder" else (difference[8:], difference[:8])
    assert own.min() > 1e-4
    assert not other.any()


def test_the_transformer_of_stable_diffusion_3_takes_a_lora(tmp_path: Path) -> None:
    folder = write_sd3(tmp_path / "sd3")
    lora = write_lora(folder, tmp_path / "lora", StableDiffusion3Pipeline, transformer=ATTENTION)
    plain = load_source(folder, wanted(dift_block=None)).denoiser.network.state_dict()
    got = load_source(folder, wanted(Lora(lora, 0.25), dift_block=None)).denoiser.network.state_dict()
    for name, value in added(plain, lora, "transformer", 0.25).items():
        torch.testing.assert_close(got[name], value, rtol=1e-5, atol=1e-6)


def test_the_names_of_kohya_s_scripts_are_read_by_diffusers(sd1: Path, lora: Path, tmp_path: Path) -> None:
    """`lora_unet_…`, lora_down and lora_up, and an alpha a layer."""
    renamed: dict[str, Tensor] = {}
    for name, value in load_file(lora / NAME).items():
        layer = name.removeprefix("unet.").rsplit(".lora_", 1)[0]
        start = "lora_unet_" + layer.replace(".", "_")
        renamed[f"{start}.{'lora_down' if 'lora_A' in name else 'lora_up'}.weight"] = value
        renamed[f"{start}.alpha"] = torch.tensor(float(ALPHA))
    save_file(renamed, tmp_path / "kohya.safetensors")
    got = load_source(sd1, wanted(Lora(tmp_path / "kohya.safetensors"))).denoiser.network.state_dict()
    for name, value in load_source(sd1, wanted(Lora(lora))).denoiser.network.state_dict().items():
        torch.testing.assert_close(got[name], value, rtol=1e-6, atol=1e-7)


def changed(lora: Path, place: Path, **more: Tensor) -> Path:
    weights = load_file(lora / NAME)
    save_file(weights | more, place / "changed.safetensors")
    return place / "changed.safetensors"


def test_a_lora_that_fits_no_layer_or_a_part_of_them_is_refused_by_name(sd1: Path, lora: Path, tmp_path: Path) -> None:
    xl = write_sdxl(tmp_path / "xl")
    other = write_lora(xl, tmp_path / "other", StableDiffusionXLPipeline, unet=ATTENTION, text_encoder_2=["q_proj"])
    assert "text_encoder_2." in refusal(sd1, Lora(other))
    part = changed(
        lora,
        tmp_path,
        **{
            "unet.up_blocks.7.attentions.0.to_q.lora_A.weight": torch.ones(RANK, 8),
            "unet.up_blocks.7.attentions.0.to_q.lora_B.weight": torch.ones(8, RANK),
        },
    )
    said = refusal(sd1, Lora(part))
    assert "up_blocks.7.attentions.0.to_q" in said
    width = changed(lora, tmp_path, **{next(iter(load_file(lora / NAME))): torch.ones(RANK, 99)})
    assert "changed.safetensors" in refusal(sd1, Lora(width))


def test_a_lora_that_lacks_a_half_or_is_of_another_method_is_refused(sd1: Path, lora: Path, tmp_path: Path) -> None:
    weights = load_file(lora / NAME)
    up = next(name for name in weights if "lora_B" in name)
    save_file({k: v for k, v in weights.items() if k != up}, tmp_path / "half.safetensors")
    assert "half.safetensors" in refusal(sd1, Lora(tmp_path / "half.safetensors"))
    strength = changed(lora, tmp_path, **{"unet.mid_block.x.dora_scale": torch.ones(1)})
    assert "is a DoRA" in refusal(sd1, Lora(strength))
    save_file({"unet.mid_block.attentions.0.proj_in.weight": torch.ones(1)}, tmp_path / "plain.safetensors")
    assert "of no LoRA of unet, text_encoder" in refusal(sd1, Lora(tmp_path / "plain.safetensors"))


def test_a_file_that_is_missing_pickled_or_one_of_several_is_named(sd1: Path, lora: Path, tmp_path: Path) -> None:
    assert "none.safetensors can't be read" in refusal(sd1, Lora(tmp_path / "none.safetensors"))
    assert "holds 0 files of LoRA weights" in refusal(sd1, Lora(tmp_path))
    weights = load_file(lora / NAME)
    for name in ("a", "b"):
        save_file(weights, tmp_path / f"{name}.safetensors")
    assert "holds 2 files of LoRA weights" in refusal(sd1, Lora(tmp_path))
    torch.save(weights, tmp_path / "lora.bin")
    assert "lora.bin is a pickle" in refusal(sd1, Lora(tmp_path / "lora.bin"))


def test_a_pipeline_that_diffusers_adds_no_lora_to_is_named(lora: Path, tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="diffusers adds no LoRA to a DiTPipeline"):
        load_source(write_dit(tmp_path), Wanted(files=Files(loras=(Lora(lora),))))


@pytest.mark.parametrize("scale", [0.0, float("nan"), float("inf")])
def test_a_scale_that_adds_nothing_or_is_no_number_is_refused(scale: float) -> None:
    with pytest.raises(PipelineError, match="the scale of the LoRA"):
        Lora(Path("x"), scale)
