"""Every class and configuration field of a pipeline that the exporter knows, and what becomes of it.

A field is used (the exported mathematics follows its value), irrelevant (a forward pass at a given timestep does not
depend on it) or supported at some values only. What is not here is refused.

Source: constructors and forward passes of the classes named here in diffusers 0.42.1, `encode_prompt` of its pipelines,
and CLIPTextConfig and T5Config in transformers 5.23.0 (known_text.py). A test holds the list against what is installed: a
field that an upgrade adds makes it fail until the field has its line here. OLDER_… are fields that today's classes no longer
take and published checkpoints still carry.
"""

from __future__ import annotations

from collections.abc import Mapping

from export_scripts.pipelines.field_rules import Fields, Irrelevant, Only, Used, every
from export_scripts.pipelines.known_kinds import DC_VAE, DIT, FLUX, OLDER_DIT, OLDER_PIXART, PIXART, SANA, SD3
from export_scripts.pipelines.known_text import (
    CLIP_TEXT,
    GEMMA_TEXT,
    OLDER_CLIP_TEXT,
    OLDER_GEMMA_TEXT,
    OLDER_T5_TEXT,
    T5_TEXT,
)

EPSILON, V_PREDICTION, SAMPLE = "epsilon", "v_prediction", "sample"
PREDICTION_TYPES = (EPSILON, V_PREDICTION, SAMPLE)
FLOW = "flow"  # ε - x: no field of a scheduler says so, but its class


# --- schedulers: only the noising that the UNet was trained on counts, √ᾱ x + √(1-ᾱ) ε with ᾱ from betas ---------------

_STEPS = Irrelevant("which timesteps a sampler visits")
_SOLVER = Irrelevant("how a sampler steps from one timestep to the next")
_CLIPPING = Irrelevant("how a sampler limits its estimate of the image")
_NO_FLOW = "flow matching is another noising"
_OWN_SIGMAS = "the noise levels are those of the betas"

SCHEDULER: Fields = {
    **every(Used(), "num_train_timesteps beta_start beta_end trained_betas rescale_betas_zero_snr"),
    "beta_schedule": Only(("linear", "scaled_linear", "squaredcos_cap_v2"), "other schedules differ between samplers"),
    "prediction_type": Only(PREDICTION_TYPES, "what the UNet's output means must be known"),
    "timestep_type": Only(("discrete",), "the UNet is told continuous noise levels in place of timesteps"),
    **every(Only((None,), _OWN_SIGMAS), "sigma_min sigma_max"),
    **every(Only((False,), _NO_FLOW), "use_flow_sigmas use_dynamic_shifting"),
    **every(Only((None,), _NO_FLOW), "shift_terminal"),
    **every(Irrelevant("read with use_flow_sigmas or use_dynamic_shifting alone"), "flow_shift time_shift_type"),
    **every(_STEPS, "timestep_spacing steps_offset final_sigmas_type interpolation_type euler_at_final"),
    **every(_STEPS, "use_karras_sigmas use_exponential_sigmas use_beta_sigmas use_lu_lambdas lambda_min_clipped"),
    **every(_SOLVER, "variance_type set_alpha_to_one skip_prk_steps solver_order algorithm_type solver_type"),
    **every(_SOLVER, "lower_order_final predict_x0 disable_corrector solver_p"),
    **every(_CLIPPING, "clip_sample clip_sample_range thresholding dynamic_thresholding_ratio sample_max_value"),
}
OLDER_SCHEDULER: Fields = {
    "predict_epsilon": Only((True,), "prediction_type says what the UNet's output means"),
    "tensor_format": Irrelevant("numpy or torch"),
}

SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
)

_SHIFTING = "σ would depend on the size of the image"
FLOW_SCHEDULER: Fields = {
    **every(Used(), "num_train_timesteps shift"),
    "use_dynamic_shifting": Only((False,), _SHIFTING),
    "shift_terminal": Only((None,), "σ of training is not stretched"),
    "invert_sigmas": Only((False,), "σ would be that of the image"),
    **every(Irrelevant("read with use_dynamic_shifting alone"), "base_shift max_shift base_image_seq_len"),
    **every(Irrelevant("read with use_dynamic_shifting alone"), "max_image_seq_len time_shift_type"),
    **every(_STEPS, "use_karras_sigmas use_exponential_sigmas use_beta_sigmas"),
    "stochastic_sampling": _SOLVER,
}
SHIFTED_BY_SIZE: Fields = {  # Flux: at an image size that is known, such a shift is a fixed one (flux.py)
    **FLOW_SCHEDULER,
    **every(Used(), "use_dynamic_shifting base_shift max_shift base_image_seq_len max_image_seq_len time_shift_type"),
}
FLOW_SOLVER: Fields = {  # Sana: a sampler of betas that is told to step through a flow
    **SCHEDULER,
    **every(Used(), "flow_shift prediction_type use_flow_sigmas"),  # refused by sana.py where they are no flow's
    **every(Irrelevant("betas"), "beta_start beta_end beta_schedule trained_betas rescale_betas_zero_snr"),
}
FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler",)
ALL_SCHEDULERS = (*SCHEDULERS, *FLOW_SCHEDULERS)

OTHER_NOISINGS: Mapping[str, str] = {
    "EDM": "its UNet takes inputs scaled by σ and noise levels in place of timesteps",
    "FlowM": "flow matching mixes image and noise linearly, and its denoiser predicts a velocity",
    "LCM": "it samples a distilled UNet, which is told a guidance scale and predicts no mean of the noise",
    "TCD": "it samples a distilled UNet, which predicts no mean of the noise",
    "CMStochasticIterative": "consistency models predict the image from one noise level σ",
    "KarrasVe": "its noising explodes in variance (σ alone)",
    "ScoreSdeVe": "its noising explodes in variance (σ alone)",
}
"""Beginnings of refused schedulers' names, and why; any other name is refused as unknown."""

# --- the UNet: the module runs as diffusers builds it; what its forward pass takes beside latents, timestep and prompt is
# not given to it, and unet.partial_unet repeats the first half of that pass --------------------------------------------

UNET: Fields = {
    **every(
        Used(),
        "sample_size in_channels out_channels flip_sin_to_cos freq_shift down_block_types up_block_types "
        "only_cross_attention block_out_channels layers_per_block downsample_padding mid_block_scale_factor "
        "act_fn norm_num_groups norm_eps cross_attention_dim transformer_layers_per_block "
        "reverse_transformer_layers_per_block attention_head_dim use_linear_projection upcast_attention "
        "resnet_time_scale_shift resnet_skip_time_act resnet_out_scale_factor time_embedding_type "
        "time_embedding_dim timestep_post_act conv_in_kernel conv_out_kernel mid_block_only_cross_attention "
        "cross_attention_norm addition_time_embed_dim addition_embed_type_num_heads "
        "projection_class_embeddings_input_dim",
    ),
    "dropout": Irrelevant("training"),
    "mid_block_type": Only(
        ("UNetMidBlock2DCrossAttn", "UNetMidBlock2D", "UNetMidBlock2DSimpleCrossAttn"), "features need a middle"
    ),
    "addition_embed_type": Only((None, "text", "text_time"), "conditions of images are not given to the UNet"),
    **every(
        Only((None,), "class labels and noise levels are not given to the UNet"), "class_embed_type num_class_embeds"
    ),
    "class_embeddings_concat": Only((False,), "class labels are not given to the UNet"),
    "time_cond_proj_dim": Only((None,), "the guidance scale of a distilled UNet (LCM) is not given to it"),
    **every(Only((None,), "prompts go to the UNet as they are"), "encoder_hid_dim encoder_hid_dim_type"),
    "dual_cross_attention": Only((False,), "one prompt is given to the UNet, not two"),
    "attention_type": Only(("default",), "boxes and phrases (GLIGEN) are not given to the UNet"),
    "center_input_sample": Only((False,), "latents go to the UNet as they are"),
    "time_embedding_act_fn": Only((None,), "features are read without it"),
    "num_attention_heads": Only((None,), "diffusers takes attention_head_dim alone"),
}
OLDER_UNET: Fields = every(
    Irrelevant("state of the weights' moving average in training, kept by diffusers' EMAModel"),
    "decay min_decay optimization_step update_after_step use_ema_warmup inv_gamma power",
)

# --- encoders of images ----------------------------------------------------------------------------------------------

_DECODER = Irrelevant("the decoder")
VAE: Fields = {
    **every(Used(), "down_block_types block_out_channels layers_per_block act_fn latent_channels norm_num_groups"),
    **every(Used(), "scaling_factor shift_factor force_upcast use_quant_conv mid_block_add_attention"),
    "in_channels": Only((3,), "images have three channels"),
    **every(Only((None,), "latents are shifted and scaled as a whole"), "latents_mean latents_std"),
    **every(_DECODER, "out_channels up_block_types use_post_quant_conv"),
    "sample_size": Irrelevant("tiling, which the exporter does without"),
}
SPACE_TO_DEPTH: Fields = every(Used(), "patch_size channels image_size shift scaling_factor")
CLASS_EMBEDDING: Fields = every(Used(), "class_names tokens width")

# --- the pipeline: model_index.json ----------------------------------------------------------------------------------

COMPONENTS: Mapping[str, tuple[str, ...]] = {
    "unet": ("UNet2DConditionModel",),
    "transformer": ("DiTTransformer2DModel", "Transformer2DModel"),
    "vae": ("AutoencoderKL", "SpaceToDepth"),
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "tokenizer": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "tokenizer_2": ("CLIPTokenizer", "CLIPTokenizerFast"),
    "class_embedding": ("ClassEmbedding",),
    "text_encoder_3": ("T5EncoderModel",),
    "tokenizer_3": ("T5Tokenizer", "T5TokenizerFast"),
    "scheduler": SCHEDULERS,
}
"""The classes that a component may be of."""

FORMER_NAMES: Mapping[str, str] = {"DiTPipeline": "DiTTransformer2DModel"} | dict.fromkeys(
    ("PixArtAlphaPipeline", "PixArtSigmaPipeline"), "PixArtTransformer2DModel"
)
"""What a pipeline's files mean where they name a Transformer2DModel, as its class was called before."""


def today(kind: str, name: str) -> str:
    """Today's name of a component's class, in a pipeline of this kind."""
    return FORMER_NAMES.get(kind, name) if name == "Transformer2DModel" else name


_TEXT_PARTS = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
_TRANSFORMER_PARTS = ("vae", "text_encoder", "tokenizer", "transformer", "scheduler")
PIPELINES: Mapping[str, tuple[str, ...]] = {
    "StableDiffusionPipeline": _TEXT_PARTS,
    "StableDiffusionImg2ImgPipeline": _TEXT_PARTS,
    "StableDiffusionXLPipeline": (*_TEXT_PARTS, "text_encoder_2", "tokenizer_2"),
    "StableDiffusionXLImg2ImgPipeline": (*_TEXT_PARTS, "text_encoder_2", "tokenizer_2"),
    "StableDiffusion3Pipeline": (
        *("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3"),
        *("transformer", "scheduler"),
    ),
    "DiTPipeline": ("vae", "transformer", "scheduler"),
    **dict.fromkeys(("PixArtAlphaPipeline", "PixArtSigmaPipeline", "SanaPipeline"), _TRANSFORMER_PARTS),
    "FluxPipeline": (*_TRANSFORMER_PARTS, "text_encoder_2", "tokenizer_2"),
    "SmallPipeline": ("vae", "class_embedding", "unet", "scheduler"),
}
"""The pipelines, and the components that each must have."""

_T5: Mapping[str, tuple[str, ...]] = {
    "text_encoder": ("T5EncoderModel",),
    "tokenizer": ("T5Tokenizer", "T5TokenizerFast"),
}
_PIXART = {**_T5, "transformer": ("PixArtTransformer2DModel", "Transformer2DModel")}
OWN_COMPONENTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "PixArtAlphaPipeline": _PIXART,
    "PixArtSigmaPipeline": _PIXART,
    "FluxPipeline": {
        **{f"{slot}_2": taken for slot, taken in _T5.items()},
        "transformer": ("FluxTransformer2DModel",),
        "scheduler": FLOW_SCHEDULERS,
    },
    "SanaPipeline": {
        "vae": ("AutoencoderDC",),
        "text_encoder": ("Gemma2Model",),
        "tokenizer": ("GemmaTokenizer", "GemmaTokenizerFast"),
        "transformer": ("SanaTransformer2DModel",),
        "scheduler": (*FLOW_SCHEDULERS, "DPMSolverMultistepScheduler"),
    },
    "StableDiffusion3Pipeline": {
        "text_encoder": ("CLIPTextModelWithProjection",),
        "transformer": ("SD3Transformer2DModel",),
        "scheduler": FLOW_SCHEDULERS,
    },
}
"""Where a pipeline's components are of other classes than COMPONENTS."""

_FLOW = "its denoiser is trained by flow matching, and of these the exporter reads Stable Diffusion 3, Flux.1 and Sana"
OTHER_PIPELINES: Mapping[str, str] = {
    "SanaSprint": "its transformer was distilled to few steps: its output is no mean of the velocity",
    **dict.fromkeys(("Flux", "Sana", "AuraFlow", "Lumina", "QwenImage"), _FLOW),
}
"""Beginnings of refused pipelines' names, and why; any other name is refused as unknown."""

PIPELINE: Fields = {
    **every(Irrelevant("finished images"), "safety_checker feature_extractor requires_safety_checker add_watermarker"),
    "image_encoder": Irrelevant("prompts that are images"),
    "force_zeros_for_empty_prompt": Used(),
    "id2label": Used(),
    "requires_aesthetics_score": Only((False, None), "an aesthetic score (SDXL's refiner) is not given to the UNet"),
}

FIELDS: Mapping[str, Fields] = {
    "UNet2DConditionModel": {**UNET, **OLDER_UNET},
    "DiTTransformer2DModel": {**DIT, **OLDER_DIT},
    "PixArtTransformer2DModel": {**PIXART, **OLDER_PIXART},
    "FluxTransformer2DModel": FLUX,
    "SanaTransformer2DModel": SANA,
    "SD3Transformer2DModel": SD3,
    "T5EncoderModel": {**T5_TEXT, **OLDER_T5_TEXT},
    "Gemma2Model": {**GEMMA_TEXT, **OLDER_GEMMA_TEXT},
    "AutoencoderKL": VAE,
    "AutoencoderDC": DC_VAE,
    "SpaceToDepth": SPACE_TO_DEPTH,
    "ClassEmbedding": CLASS_EMBEDDING,
    **{name: {**CLIP_TEXT, **OLDER_CLIP_TEXT} for name in ("CLIPTextModel", "CLIPTextModelWithProjection")},
    **{name: {**SCHEDULER, **OLDER_SCHEDULER} for name in SCHEDULERS},
    **dict.fromkeys(FLOW_SCHEDULERS, FLOW_SCHEDULER),
}
"""The fields of each class that has a configuration of its own."""

OWN_FIELDS: Mapping[tuple[str, str], Fields] = {
    ("FluxPipeline", "FlowMatchEulerDiscreteScheduler"): SHIFTED_BY_SIZE,
    ("SanaPipeline", "DPMSolverMultistepScheduler"): FLOW_SOLVER,
}
"""Where a class has other rules in a pipeline than FIELDS: (pipeline, class) → its fields."""


def fields_of(kind: str, name: str) -> Fields:
    """The fields of a component's class in a pipeline of this kind."""
    return OWN_FIELDS.get((kind, name), FIELDS[name])
