"""The published architectures at full size, with random weights: facts of their configurations, and nothing downloaded.

Owns these numbers. Encoders of text beyond CLIP ViT-L/14 have the published widths and one layer: their prompts become a
table of the same size, and no server ever runs them. Must not know what is done with a pipeline.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from benchmarks.export.letter_tokenizer import letter_t5_tokenizer, letter_tokenizer
from export_scripts.pipelines.parts import quiet_loading

SEED = 0
TOKENS = 77
_SCALED = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
_SD15 = {"block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8}


@dataclass(frozen=True)
class Architecture:
    """One model. kind: the class of its pipeline. denoiser: makes its network, the part that fills memory. pipeline: makes
    the whole around that network. resolution: side in pixels of its images. gate_resolution: that of the gates.
    labels: whether its classes are labels of its own, not texts.
    """

    kind: str
    denoiser: Callable[[], nn.Module]
    pipeline: Callable[[nn.Module], DiffusionPipeline]
    resolution: int
    gate_resolution: int
    labels: bool = False

    def parameters(self) -> int:
        """How many the denoiser has, counted without making them."""
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.denoiser().parameters())

    def write(self, folder: Path) -> None:
        """Saves the pipeline with random weights in `folder`, in float32."""
        torch.manual_seed(SEED)
        with quiet_loading():
            self.pipeline(self.denoiser()).save_pretrained(folder)


def _vae(scaling_factor: float, **config: Any) -> AutoencoderKL:
    levels: dict[str, Any] = {"block_out_channels": (128, 256, 512, 512), "latent_channels": 4} | config
    count = len(levels["block_out_channels"])
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * count,
        up_block_types=("UpDecoderBlock2D",) * count,
        layers_per_block=2,
        scaling_factor=scaling_factor,
        **levels,
    )


def _clip(kind: type, width: int = 768, *, layers: int = 12, activation: str = "quick_gelu", **config: Any) -> Any:
    tokenizer = letter_tokenizer(TOKENS)
    return kind(
        CLIPTextConfig(
            vocab_size=49408,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            max_position_embeddings=TOKENS,
            hidden_act=activation,
            projection_dim=width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **config,
        )
    )


def _big_clip() -> Any:
    """OpenCLIP ViT-bigG/14, one of its 32 layers."""
    return _clip(CLIPTextModelWithProjection, 1280, layers=1, activation="gelu")


def _t5(tokenizer: Any) -> Any:
    """The encoder of T5 v1.1 XXL, one of its 24 layers."""
    sizes = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 1, "num_heads": 64}
    config = T5Config(vocab_size=len(tokenizer), feed_forward_proj="gated-gelu", **sizes)
    return T5EncoderModel(config)


def _unet(sample_size: int, **config: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(sample_size=sample_size, in_channels=4, out_channels=4, layers_per_block=2, **config)


def _sd15_unet() -> nn.Module:
    down = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
    return _unet(64, down_block_types=down, up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, **_SD15)


def _sd15(unet: nn.Module) -> DiffusionPipeline:
    return StableDiffusionPipeline(
        vae=_vae(0.18215, sample_size=512),
        text_encoder=_clip(CLIPTextModel),
        tokenizer=letter_tokenizer(TOKENS),
        unet=unet,
        scheduler=PNDMScheduler(skip_prk_steps=True, steps_offset=1, **_SCALED),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl_unet() -> nn.Module:
    return _unet(
        128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=[1, 2, 10],
        attention_head_dim=[5, 10, 20],
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )


def _sdxl(unet: nn.Module) -> DiffusionPipeline:
    return StableDiffusionXLPipeline(
        vae=_vae(0.13025, sample_size=1024, force_upcast=True),
        text_encoder=_clip(CLIPTextModel),
        text_encoder_2=_big_clip(),
        tokenizer=letter_tokenizer(TOKENS),
        tokenizer_2=letter_tokenizer(TOKENS),
        unet=unet,
        scheduler=EulerDiscreteScheduler(steps_offset=1, **_SCALED),
        add_watermarker=False,
    )


def _dit_transformer(width: int = 72, **config: Any) -> nn.Module:
    sizes: dict[str, Any] = {"num_attention_heads": 16, "num_layers": 28, "sample_size": 32} | config
    return DiTTransformer2DModel(
        attention_head_dim=width,
        in_channels=4,
        out_channels=8,
        patch_size=2,
        num_embeds_ada_norm=1000,
        **sizes,
    )


def _dit(transformer: Any, vae: Any = None) -> DiffusionPipeline:
    """The same labels in every block, as a conversion of the makers' single table leaves them."""
    first, *others = [b.norm1.emb.class_embedder.embedding_table.weight for b in transformer.transformer_blocks]
    with torch.no_grad():
        for labels in others:
            labels.copy_(first)
    scheduler = DDIMScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear", clip_sample=False)
    return DiTPipeline(transformer, vae or _vae(0.18215, sample_size=256), scheduler)


def _sd35_transformer() -> nn.Module:
    return SD3Transformer2DModel(
        sample_size=128,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=24,
        attention_head_dim=64,
        num_attention_heads=24,
        joint_attention_dim=4096,
        caption_projection_dim=1536,
        pooled_projection_dim=2048,
        pos_embed_max_size=384,
        dual_attention_layers=tuple(range(13)),
        qk_norm="rms_norm",
    )


def _sd35(transformer: nn.Module) -> DiffusionPipeline:
    words = letter_t5_tokenizer()
    quant: dict[str, Any] = {"use_quant_conv": False, "use_post_quant_conv": False}
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(1.5305, shift_factor=0.0609, sample_size=1024, latent_channels=16, force_upcast=True, **quant),
        text_encoder=_clip(CLIPTextModelWithProjection),
        tokenizer=letter_tokenizer(TOKENS),
        text_encoder_2=_big_clip(),
        tokenizer_2=letter_tokenizer(TOKENS),
        text_encoder_3=_t5(words),
        tokenizer_3=words,
    )


def _pixart_transformer() -> nn.Module:
    """Its defaults are the published ones; Σ is told no sizes."""
    return PixArtTransformer2DModel(interpolation_scale=2, use_additional_conditions=False, caption_channels=4096)


def _pixart(transformer: nn.Module) -> DiffusionPipeline:
    words = letter_t5_tokenizer()
    return PixArtSigmaPipeline(
        tokenizer=words,
        text_encoder=_t5(words),
        vae=_vae(0.13025, sample_size=1024),
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear"),
    )


def _tiny_dit_transformer() -> nn.Module:
    return _dit_transformer(8, num_attention_heads=2, num_layers=2, sample_size=16)


def _tiny_dit(transformer: nn.Module) -> DiffusionPipeline:
    return _dit(transformer, _vae(0.18215, block_out_channels=(4, 8), norm_num_groups=2))


ARCHITECTURES = {
    "sd15": Architecture("StableDiffusionPipeline", _sd15_unet, _sd15, 512, 64),
    "dit-xl-2-256": Architecture("DiTPipeline", _dit_transformer, _dit, 256, 64, labels=True),
    "sdxl": Architecture("StableDiffusionXLPipeline", _sdxl_unet, _sdxl, 1024, 64),
    "sd35-medium": Architecture("StableDiffusion3Pipeline", _sd35_transformer, _sd35, 1024, 64),
    "pixart-sigma": Architecture("PixArtSigmaPipeline", _pixart_transformer, _pixart, 1024, 64),
}
MODELS = ARCHITECTURES | {
    "tiny-dit": Architecture("DiTPipeline", _tiny_dit_transformer, _tiny_dit, 32, 16, labels=True),
}
"""With the tiny one of the tests."""

if __name__ == "__main__":
    MODELS[sys.argv[1]].write(Path(sys.argv[2]))
