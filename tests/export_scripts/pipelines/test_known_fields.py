"""The list of known fields held against the installed diffusers and transformers: an upgrade that adds one fails here."""

from __future__ import annotations

import inspect

import diffusers
import pytest
import transformers

from export_scripts import small_pipeline
from export_scripts.pipelines import known_fields, known_kinds, known_text
from export_scripts.pipelines.config_check import check_fields
from export_scripts.pipelines.field_rules import Fields, Only

CLASSES: dict[str, tuple[type, Fields]] = {
    "UNet2DConditionModel": (diffusers.UNet2DConditionModel, known_fields.UNET),
    "DiTTransformer2DModel": (diffusers.DiTTransformer2DModel, known_kinds.DIT),
    "SD3Transformer2DModel": (diffusers.SD3Transformer2DModel, known_kinds.SD3),
    "PixArtTransformer2DModel": (diffusers.PixArtTransformer2DModel, known_kinds.PIXART),
    "FluxTransformer2DModel": (diffusers.FluxTransformer2DModel, known_kinds.FLUX),
    "SanaTransformer2DModel": (diffusers.SanaTransformer2DModel, known_kinds.SANA),
    "AutoencoderDC": (diffusers.AutoencoderDC, known_kinds.DC_VAE),
    "Gemma2Config": (transformers.Gemma2Config, known_text.GEMMA_TEXT),
    "FlowMatchEulerDiscreteScheduler": (diffusers.FlowMatchEulerDiscreteScheduler, known_fields.FLOW_SCHEDULER),
    "AutoencoderKL": (diffusers.AutoencoderKL, known_fields.VAE),
    "SpaceToDepth": (small_pipeline.SpaceToDepth, known_fields.SPACE_TO_DEPTH),
    "ClassEmbedding": (small_pipeline.ClassEmbedding, known_fields.CLASS_EMBEDDING),
    "T5Config": (transformers.T5Config, known_fields.T5_TEXT),
    "CLIPTextConfig": (transformers.CLIPTextConfig, known_fields.CLIP_TEXT),
}


def arguments(made: type) -> dict[str, inspect.Parameter]:
    return {
        name: p for name, p in inspect.signature(made.__init__).parameters.items() if name not in ("self", "kwargs")
    }


@pytest.mark.parametrize("name", CLASSES)
def test_the_list_has_every_field_of_a_component_and_no_other(name: str) -> None:
    made, fields = CLASSES[name]
    assert set(fields) == set(arguments(made))


def test_the_list_has_every_field_of_the_accepted_schedulers_and_no_other() -> None:
    taken = {name for scheduler in known_fields.SCHEDULERS for name in arguments(getattr(diffusers, scheduler))}
    assert set(known_fields.SCHEDULER) == taken


@pytest.mark.parametrize("name", [n for n in known_fields.PIPELINES if n != "SmallPipeline"])
def test_the_list_has_every_component_and_setting_of_the_accepted_pipelines(name: str) -> None:
    assert set(known_fields.PIPELINES[name]) <= set(arguments(getattr(diffusers, name)))
    assert set(arguments(getattr(diffusers, name))) <= {*known_fields.PIPELINES[name], *known_fields.PIPELINE}


def test_a_file_that_is_silent_about_a_field_has_a_supported_value() -> None:
    """The class's own default counts then: it must be among the values that the list supports."""
    for made, fields in (
        *CLASSES.values(),
        *((getattr(diffusers, s), known_fields.SCHEDULER) for s in known_fields.SCHEDULERS),
    ):
        defaults = {n: p.default for n, p in arguments(made).items() if isinstance(fields[n], Only)}
        check_fields(made.__name__, defaults, fields, {})


def test_no_scheduler_of_diffusers_is_accepted_whose_noising_is_not_given_by_betas() -> None:
    for name in known_fields.SCHEDULERS:
        assert hasattr(getattr(diffusers, name)(), "alphas_cumprod")
    for start in known_fields.OTHER_NOISINGS:
        assert not any(name.startswith(start) for name in known_fields.SCHEDULERS)
        assert any(name.startswith(start) for name in dir(diffusers)), f"{start} names no scheduler"


def test_weights_that_may_be_left_over_are_of_the_class_that_the_text_encoder_is_a_part_of() -> None:
    config = transformers.CLIPTextConfig(
        vocab_size=10, hidden_size=4, intermediate_size=4, num_hidden_layers=1, num_attention_heads=1
    )
    whole, part = transformers.CLIPTextModelWithProjection(config), transformers.CLIPTextModel(config)
    assert set(known_text.LEFTOVERS) <= set(whole.state_dict())
    assert not set(known_text.LEFTOVERS) & set(part.state_dict())
