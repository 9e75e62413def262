"""DiT pipelines: labels by index, one table of them a block, and what is refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler, DiTPipeline, FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn

from client import contract
from export_scripts.class_list import read_class_list
from export_scripts.errors import PipelineError, ValueMismatch
from export_scripts.gates.graph import check_values
from export_scripts.graphs.leaves import make_leaves, make_networks
from export_scripts.graphs.networks import NoisePredictor
from export_scripts.pipelines.denoiser import Conditions, Denoiser, beta_schedule, default_band
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import at_resolution, check_source, load_source
from export_scripts.pipelines.text import read_prompts
from export_scripts.settings import FP16, Wanted
from selector.builtin import builtin_class_list
from tests.tiny_dit import BLOCKS, LABELS, RESOLUTION, WIDTH, one_table, tiny_dit, write_dit
from tests.tiny_pipeline import write_tiny_pipeline
from tests.tiny_text_pipeline import SCHEDULE


@pytest.fixture(scope="module")
def dit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not write into it."""
    return write_dit(tmp_path_factory.mktemp("dit"))


def refusal(folder: Path, wanted: Wanted | None = None) -> str:
    with pytest.raises(PipelineError) as error:
        load_source(folder, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def tables(folder: Path) -> list[torch.Tensor]:
    """The tables of labels, by block, as diffusers has them: the null label is the last."""
    with quiet_loading():
        blocks = DiTPipeline.from_pretrained(folder, low_cpu_mem_usage=False).transformer.transformer_blocks
    return [block.norm1.emb.class_embedder.embedding_table.weight.detach() for block in blocks]


def test_classes_are_the_labels_by_index_and_commas_join_the_words_of_one_name(dit: Path) -> None:
    source = load_source(dit)
    assert source.classes == ("0", "1", "2")
    assert source.class_names == tuple(LABELS.values()) == ("bee", "cup, mug", "kite")
    assert source.prompts == ("", "bee", "cup, mug", "kite")
    assert (source.resolution, source.latent) == (RESOLUTION, (4, 16, 16))


def test_a_prompt_is_a_row_of_every_block_s_table_and_the_null_prompt_each_table_s_last(dit: Path) -> None:
    source, found = load_source(dit), tables(dit)
    assert source.table.shape == (4, BLOCKS, WIDTH)
    for block, table in enumerate(found):
        assert torch.equal(source.table[0, block], table[-1])
        assert torch.equal(source.table[1:, block], table[:-1])


def test_equal_tables_are_stored_once(tmp_path: Path) -> None:
    source = load_source(write_dit(tmp_path, one_table(tiny_dit())))
    assert source.table.shape == (4, 1, WIDTH)
    assert make_leaves(source, 8).geometry.prompt == (1, WIDTH)
    assert not [name for name, _ in source.denoiser.network.named_parameters() if "embedding_table" in name]


def test_a_list_of_classes_gives_the_rows_other_names(dit: Path) -> None:
    source = load_source(dit, Wanted(("n1", "n2", "n3"), class_names=("bee", "mug", "toy")))
    assert (source.classes, source.class_names) == (("n1", "n2", "n3"), ("bee", "mug", "toy"))
    assert torch.equal(source.table, load_source(dit).table)


def test_the_built_in_list_of_imagenet_fits_a_dit_of_a_thousand_classes(tmp_path: Path) -> None:
    listed = read_class_list(builtin_class_list("imagenet-1k"))
    folder = write_dit(tmp_path, tiny_dit(num_embeds_ada_norm=1000), labels=None)
    source = load_source(folder, Wanted(listed.ids, class_names=listed.names))
    assert source.table.shape[0] == 1001
    assert (source.classes[0], source.class_names[0], source.prompts[1]) == ("n01440764", "tench", "tench")
    assert "1000 classes of this DiT: name them by index" in refusal(folder)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ({1: "bee", 2: "cup", 3: "kite"}, "has no name for 0 and names 3"),
        ({0: "bee", 1: "cup"}, "has no name for 2"),
        (
            {0: "bee", 1: "cup", 2: "kite", 3: "nothing"},
            "names 3, the table of this DiT has the classes 0 to 2 and, as its",
        ),
        ({"0": "bee", "00": "wasp", "1": "cup", "2": "kite"}, "names a class twice"),
        ({"zero": "bee"}, "an index that is no number"),
        ({0: "bee", 1: "", 2: "kite"}, "no table of index and name"),
    ],
    ids=["from one", "too few", "the null row", "twice", "words", "no name"],
)
def test_labels_that_are_not_the_table_s_rows_are_refused(labels: Mapping[Any, str], says: str, tmp_path: Path) -> None:
    assert says in refusal(write_dit(tmp_path, labels=labels))


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("cup", "kite", "bee"), "'cup' as class 0, model_index.json as class 1 ('cup, mug')"),
        (("null", "bee", "cup", "kite"), "names 4 classes, this DiT has labels for 3, by index: the row of no class"),
        (("bee", "cup"), "names 2 classes, this DiT has labels for 3"),
    ],
    ids=["shifted", "the null row", "too few"],
)
def test_a_list_that_is_off_by_one_is_refused(names: tuple[str, ...], says: str, dit: Path) -> None:
    assert says in refusal(dit, Wanted(names))


def test_a_learned_sigma_read_as_epsilon_is_refused(dit: Path, tmp_path: Path) -> None:
    source = load_source(dit)
    assert source.denoiser.learned_sigma
    with pytest.raises(PipelineError, match="takes 4 channels and gives 8: one that predicts a variance beside"):
        check_source(replace(source, denoiser=replace(source.denoiser, learned_sigma=False)))
    odd = write_dit(tmp_path / "odd", tiny_dit(out_channels=7))
    assert "gives 7: with a learned sigma it gives twice as many, the prediction first" in refusal(odd)
    without = write_dit(tmp_path / "without", tiny_dit(out_channels=4))
    assert not load_source(without).denoiser.learned_sigma
    change(without / "model_index.json", scheduler=["diffusers", "DDPMScheduler"])
    change(without / "scheduler" / "scheduler_config.json", variance_type="learned_range")
    assert "variance_type is learned_range, and the DiT gives 4 channels for latents of 4" in refusal(without)


class ScoresTheSigma(Denoiser):
    """The mistake: the second half of the output taken for the prediction."""

    def predict(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        return self.call(self.network, noisy, timesteps, conditions)[:, self.latents.channels :]


class InTorch:
    """A session that runs a module in eager torch."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def run(self, _outputs: Any, inputs: Mapping[str, Any]) -> list[Any]:
        with torch.no_grad():
            return [output.numpy() for output in self.module(*(torch.from_numpy(a) for a in inputs.values()))]


def test_a_graph_that_scores_the_sigma_does_not_pass_the_first_gate(dit: Path) -> None:
    source = load_source(dit)
    leaves = make_leaves(source, 8)
    leaf = leaves.by_name[contract.UNET]
    right = {f.name: getattr(source.denoiser, f.name) for f in fields(Denoiser)}
    assert check_values(leaf, InTorch(leaf.module), 3) < 1e-4
    with pytest.raises(ValueMismatch, match=contract.UNET):
        check_values(leaf, InTorch(NoisePredictor(ScoresTheSigma(**right), leaves.bank)), 3)


def test_a_flow_model_is_refused_by_name_whatever_schedule_it_comes_with(tmp_path: Path) -> None:
    """As a schedule, as a pipeline with a schedule of betas, and as a transformer in the place of another."""
    index = write_dit(tmp_path) / "model_index.json"
    before = json.loads(index.read_text())
    FlowMatchEulerDiscreteScheduler().save_pretrained(tmp_path / "scheduler")
    change(index, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    assert "flow matching mixes image and noise linearly" in refusal(tmp_path)
    for kind in ("FluxFillPipeline", "AuraFlowPipeline"):
        change(index, **before | {"_class_name": kind})
        said = refusal(tmp_path)
        assert kind in said
        assert "trained by flow matching, and of these the exporter reads Stable Diffusion 3, Flux.1 and Sana" in said
    change(index, **before | {"transformer": ["diffusers", "SD3Transformer2DModel"]})
    assert "transformer is a SD3Transformer2DModel" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (Wanted(prompt="A {class}."), "knows labels and no text"),
        (Wanted(null_prompt=""), "knows labels and no text"),
        (Wanted(truncate=True), "knows labels and no text"),
        (Wanted(resolution=64), "positions of images of 32 px, not 64"),
        (Wanted(dift_block="mid"), "dift_block is 'mid'; this DiT has the blocks 0 to 1"),
        (Wanted(dift_block=2), "this DiT has the blocks 0 to 1"),
        (Wanted(dift_timestep=1000), "outside the schedule of 1000 steps"),
    ],
)
def test_a_wish_that_says_nothing_to_a_dit_is_refused(wanted: Wanted, says: str, dit: Path) -> None:
    assert says in refusal(dit, wanted)


def test_the_default_band_has_the_noise_of_stable_diffusion_s(dit: Path) -> None:
    """DiT's schedule is linear and reaches the same noise earlier."""

    def ratio(scheduler: DDPMScheduler, share: float) -> float:
        alpha = scheduler.alphas_cumprod[round(share * 1000)]
        return float(((1 - alpha) / alpha).sqrt())

    text = DDPMScheduler(**SCHEDULE)
    assert default_band(beta_schedule(text)) == (0.1, 0.7)
    profile, own = load_source(dit).profile, DDPMScheduler()
    assert profile.t_max < 0.6
    for share, same in ((profile.t_min, 0.1), (profile.t_max, 0.7)):
        assert ratio(own, share) == pytest.approx(ratio(text, same), rel=0.02)
    assert load_source(dit, Wanted(t_max=0.8)).profile.t_max == 0.8


def test_a_dit_published_under_its_former_class_is_the_same(dit: Path, tmp_path: Path) -> None:
    folder, former = write_dit(tmp_path), "Transformer2DModel"
    change(folder / "model_index.json", transformer=["diffusers", former])
    change(
        folder / "transformer" / "config.json",
        _class_name=former,
        cross_attention_dim=None,
        num_vector_embeds=None,
        only_cross_attention=False,
        use_linear_projection=False,
    )
    assert torch.equal(load_source(folder).table, load_source(dit).table)
    change(folder / "transformer" / "config.json", cross_attention_dim=768)
    assert "cross_attention_dim is 768" in refusal(folder)


def test_channels_of_massive_activations_are_0_in_the_features_and_said(tmp_path: Path) -> None:
    transformer = tiny_dit()
    with torch.no_grad():
        transformer.pos_embed.proj.bias[3] = 1000.0
    source = load_source(write_dit(tmp_path, transformer))
    assert source.notes == ("features leave out 1 channels of massive activations: 3",)
    leaf = make_leaves(source, 8).by_name[contract.DIFT]
    with torch.no_grad():
        features = leaf.module(torch.randn(2, 4, 16, 16), source.table[:2])
    assert (features == 0).sum(dim=0).tolist() == [2 if channel == 3 else 0 for channel in range(WIDTH)]


def test_a_kind_without_a_recipe_for_float16_is_refused_by_name(dit: Path) -> None:
    source = load_source(dit)
    with pytest.raises(PipelineError, match="a DiT has no recipe for fp16 yet"):
        make_networks(replace(source, denoiser=replace(source.denoiser, half=None)), FP16)


def test_attention_and_feed_forward_are_float16_and_all_else_float32(dit: Path) -> None:
    source = load_source(dit)
    served = make_networks(source, FP16).denoiser.network
    half = {name for name, p in served.named_parameters() if p.dtype == torch.float16}
    assert half
    assert all(".attn1." in name or ".ff." in name for name in half)
    kept = {name for name, p in served.named_parameters() if p.dtype == torch.float32}
    assert not [name for name in kept if ".attn1." in name or ".ff." in name]
    assert {p.dtype for p in source.denoiser.network.parameters()} == {torch.float32}


def test_the_gates_may_run_at_a_smaller_size(dit: Path) -> None:
    small = at_resolution(load_source(dit), 16)
    leaves = make_leaves(small, 8)
    with torch.no_grad():
        delta, _, _ = leaves.by_name[contract.UNET].module(
            torch.randn(2, 4, 8, 8), small.table[:2], small.table[1:3], torch.zeros(2, 1, dtype=torch.int32)
        )
    assert delta.shape == (2, 8, 8)
    with pytest.raises(PipelineError, match="do not divide by the DiT's downsampling of 2"):
        at_resolution(small, 10)


def test_a_pipeline_without_text_gives_no_prompts_to_another(dit: Path, tmp_path: Path) -> None:
    for folder in (dit, write_tiny_pipeline(tmp_path)):
        with pytest.raises(PipelineError, match="which has no text encoder"):
            read_prompts(folder, Wanted(("bee",)))
