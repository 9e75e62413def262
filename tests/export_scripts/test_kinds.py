"""Every kind of denoiser against diffusers alone: its own scheduler, its own network, a forward hook on its own module.

A further kind is a line in KINDS and, where diffusers calls it in another way, a reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDPMScheduler,
    DiTPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    SanaPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from torch import Tensor, nn

from client import contract
from export_scripts.graphs.leaves import Leaves, make_leaves
from export_scripts.graphs.onnx_export import random_inputs
from export_scripts.pipelines.parts import quiet_loading
from export_scripts.pipelines.source import load_source
from export_scripts.settings import Wanted
from tests.tiny_dit import one_table, tiny_dit, write_dit
from tests.tiny_flux import write_flux
from tests.tiny_pixart import write_pixart_alpha, write_pixart_sigma
from tests.tiny_sana import write_sana
from tests.tiny_sd3 import write_sd3
from tests.tiny_text_pipeline import write_sd1, write_sd2

CLASSES = ("bee", "coffee cup", "kite")
TEXT = Wanted(CLASSES, dift_block="mid")


class Betas:
    """Noise and loss by a scheduler of betas, of the saved configuration without a sampler's clipping."""

    pipeline: Any

    @property
    def scheduler(self) -> DDPMScheduler:
        return DDPMScheduler.from_config(self.pipeline.scheduler.config, clip_sample=False)

    def noised(self, latent: Tensor, noise: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """The noisy latents, and what the network is told."""
        timesteps = torch.full((len(latent),), step)
        return self.scheduler.add_noise(latent, noise, timesteps), timesteps

    def errors(self, output: Tensor, noisy: Tensor, latent: Tensor, noise: Tensor, step: int) -> Tensor:
        """(ε̂ - ε)², ε̂ from the scheduler's own estimate of the clean latent."""
        clean = self.scheduler.step(output, step, noisy).pred_original_sample.double()
        alpha = self.scheduler.alphas_cumprod[step].double()
        return ((noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt() - noise).square()[0]


class TextReference(Betas):
    """Stable Diffusion as its own pipeline reads and calls it. row: of the prompt table, 0 for no class."""

    def __init__(self, folder: Path) -> None:
        with quiet_loading():
            self.pipeline = StableDiffusionPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
        self.hooked: nn.Module = self.pipeline.unet.mid_block
        self.axes = (2, 3)

    def output(self, noisy: Tensor, timesteps: Tensor, row: int) -> Tensor:
        texts = [f"An image of {('', *CLASSES)[row]}."] * len(noisy)
        tokens = self.pipeline.encode_prompt(texts, "cpu", 1, do_classifier_free_guidance=False)[0]
        return self.pipeline.unet(noisy, timesteps, encoder_hidden_states=tokens).sample


class DitReference(Betas):
    """DiT as its own pipeline calls it: labels go in, and the null label is the last one."""

    def __init__(self, folder: Path) -> None:
        with quiet_loading():
            self.pipeline = DiTPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
        self.hooked: nn.Module = self.pipeline.transformer.transformer_blocks[1].norm1
        self.axes = (1,)

    def output(self, noisy: Tensor, timesteps: Tensor, row: int) -> Tensor:
        transformer = self.pipeline.transformer
        label = torch.full((len(noisy),), row - 1 if row else transformer.config.num_embeds_ada_norm)
        predicted = transformer(noisy, timestep=timesteps, class_labels=label).sample
        return torch.split(predicted, transformer.config.in_channels, dim=1)[0]


class PixArtReference(Betas):
    """PixArt as its own pipelines call it: all tokens that T5 pads to, with their mask, and for α the image's size."""

    def __init__(self, folder: Path, kind: type = PixArtSigmaPipeline, sizes: bool = False) -> None:
        with quiet_loading():
            self.pipeline = kind.from_pretrained(folder, low_cpu_mem_usage=False)
        self.hooked: nn.Module = self.pipeline.transformer.transformer_blocks[1].attn1
        self.axes, self.before, self.sizes = (1,), True, sizes

    def output(self, noisy: Tensor, timesteps: Tensor, row: int) -> Tensor:
        texts = [f"An image of {('', *CLASSES)[row]}."] * len(noisy)
        tokens, mask, _, _ = self.pipeline.encode_prompt(texts, do_classifier_free_guidance=False, device="cpu")
        added = {"resolution": None, "aspect_ratio": None}
        if self.sizes:
            height, width = (side * self.pipeline.vae_scale_factor for side in noisy.shape[2:])
            added["resolution"] = torch.tensor([height, width]).repeat(len(noisy), 1)
            added["aspect_ratio"] = torch.tensor([float(height / width)]).repeat(len(noisy), 1)
        predicted = self.pipeline.transformer(
            noisy, tokens, timesteps, added_cond_kwargs=added, encoder_attention_mask=mask
        ).sample
        return predicted.chunk(2, dim=1)[0]


class Sd3Reference:
    """Stable Diffusion 3: noise and loss by its own scheduler of flow matching, whose timesteps descend."""

    def __init__(self, folder: Path) -> None:
        with quiet_loading():
            self.pipeline = StableDiffusion3Pipeline.from_pretrained(folder, low_cpu_mem_usage=False)
        self.hooked: nn.Module = self.pipeline.transformer.transformer_blocks[1].norm1
        self.axes = (1,)

    def noised(self, latent: Tensor, noise: Tensor, step: int) -> tuple[Tensor, Tensor]:
        scheduler = self.pipeline.scheduler
        told = scheduler.timesteps[len(scheduler.timesteps) - 1 - step].expand(len(latent))
        return scheduler.scale_noise(latent, told, noise), told

    def errors(self, output: Tensor, noisy: Tensor, latent: Tensor, noise: Tensor, step: int) -> Tensor:
        """(v̂ - v)², v from where the noisy latent lies between image and noise."""
        sigma = self.pipeline.scheduler.sigmas.flip(0)[step].double()
        velocity = (noisy.double() - latent) / sigma
        return (output.double() - velocity).square()[0]

    def output(self, noisy: Tensor, timesteps: Tensor, row: int) -> Tensor:
        texts = [f"An image of {('', *CLASSES)[row]}."] * len(noisy)
        tokens, _, pooled, _ = self.pipeline.encode_prompt(texts, None, None, "cpu", do_classifier_free_guidance=False)
        return self.pipeline.transformer(noisy, tokens, pooled, timesteps).sample


class FluxReference(Sd3Reference):
    """Flux.1-dev as its own pipeline calls it: latents packed, σ shifted by the number of tokens, without guidance."""

    def __init__(self, folder: Path) -> None:
        with quiet_loading():
            self.pipeline = FluxPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
        transformer, scheduler = self.pipeline.transformer, self.pipeline.scheduler
        self.hooked, self.axes = transformer.single_transformer_blocks[0].norm, (1,)
        self.text_tokens = 512
        mu = calculate_shift(64, 256, 4096, 0.5, 1.15)  # 8 × 8 packed tokens
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 1000, 1000), mu=mu)
        scheduler.sigmas = scheduler.sigmas[:-1]

    def output(self, noisy: Tensor, timesteps: Tensor, row: int) -> Tensor:
        pipeline, (rows, channels, height, width) = self.pipeline, noisy.shape
        tokens, pooled, text_ids = pipeline.encode_prompt([f"An image of {('', *CLASSES)[row]}."] * rows, device="cpu")
        predicted = pipeline.transformer(
            hidden_states=pipeline._pack_latents(noisy, rows, channels, height, width),
            timestep=timesteps / 1000,
            guidance=torch.ones(rows),
            pooled_projections=pooled,
            encoder_hidden_states=tokens,
            txt_ids=text_ids,
            img_ids=pipeline._prepare_latent_image_ids(rows, height // 2, width // 2, "cpu", torch.float32),
        ).sample
        scale = pipeline.vae_scale_factor
        return pipeline._unpack_latents(predicted, height * scale, width * scale, scale)


class SanaReference(Sd3Reference):
    """Sana as its own pipeline calls it: all 300 tokens with their mask; the flow is that of its shift of 3."""

    def __init__(self, folder: Path) -> None:
        with quiet_loading():
            self.pipeline = SanaPipeline.from_pretrained(folder, low_cpu_mem_usage=False)
        self.pipeline.register_modules(scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0))
        self.hooked: nn.Module = self.pipeline.transformer.transformer_blocks[1].attn1
        self.axes, self.before = (1,), True

    def output(self, noisy: Tensor, timesteps: Tensor, row: int) -> Tensor:
        texts = [f"An image of {('', *CLASSES)[row]}."] * len(noisy)
        tokens, mask, _, _ = self.pipeline.encode_prompt(texts, do_classifier_free_guidance=False, device="cpu")
        return self.pipeline.transformer(noisy, tokens, timesteps, encoder_attention_mask=mask).sample


@dataclass(frozen=True)
class Kind:
    write: Callable[[Path], Path]
    reference: Callable[[Path], Any]
    wanted: Wanted = field(default_factory=Wanted)


KINDS = {
    "sd1": Kind(write_sd1, TextReference, TEXT),
    "sd2": Kind(write_sd2, TextReference, TEXT),
    "sd3": Kind(write_sd3, Sd3Reference, Wanted(CLASSES)),
    "flux": Kind(write_flux, FluxReference, Wanted(CLASSES, resolution=32)),
    "sana": Kind(write_sana, SanaReference, Wanted(CLASSES)),
    "pixart sigma": Kind(write_pixart_sigma, PixArtReference, Wanted(CLASSES)),
    "pixart alpha": Kind(
        write_pixart_alpha, lambda folder: PixArtReference(folder, PixArtAlphaPipeline, sizes=True), Wanted(CLASSES)
    ),
    "dit": Kind(write_dit, DitReference),
    "dit of one table": Kind(lambda folder: write_dit(folder, one_table(tiny_dit())), DitReference),
    "dit without sigma": Kind(lambda folder: write_dit(folder, tiny_dit(out_channels=4)), DitReference),
}


@dataclass(frozen=True)
class Read:
    """A kind's tiny pipeline as diffusers and as the exporter read it."""

    reference: Any
    leaves: Leaves

    def conditions(self, *rows: tuple[int, int]) -> tuple[Tensor, ...]:
        """COND and REFERENCE of pairs of rows of the table, by the model that serves them."""
        prompts, references = (torch.tensor(ids, dtype=torch.int32)[:, None] for ids in zip(*rows, strict=True))
        return self.leaves.by_name[contract.PROMPT_EMBEDDING].module(prompts, references)


@pytest.fixture(scope="module", params=KINDS)
def read(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Read:
    kind = KINDS[request.param]
    folder = kind.write(tmp_path_factory.mktemp("kind"))
    return Read(kind.reference(folder), make_leaves(load_source(folder, kind.wanted), 8))


def latents(read: Read, rows: int) -> Tensor:
    return torch.randn(rows, *read.leaves.geometry.latent, generator=torch.Generator().manual_seed(rows))


def test_the_loss_is_the_plain_definition_s(read: Read) -> None:
    """A row and a condition at a time; within 1e-4."""
    pairs, draws, latent = ((1, 0), (2, 3), (3, 1)), (0, 5, 3), latents(read, 3)
    with torch.no_grad():
        conditions = read.conditions(*pairs)
        delta, *losses = read.leaves.by_name[contract.UNET].module(
            latent, *conditions, torch.tensor(draws, dtype=torch.int32)[:, None]
        )
        for number, (rows, draw) in enumerate(zip(pairs, draws, strict=True)):
            step, noise = int(read.leaves.bank.timesteps[draw]), torch.from_numpy(read.leaves.bank.noises[draw])[None]
            own = latent[number : number + 1]
            noisy, told = read.reference.noised(own, noise, step)
            outputs = [read.reference.output(noisy, told, row) for row in rows]
            maps = [read.reference.errors(output, noisy, own, noise, step) for output in outputs]
            expected = [float(errors.mean()) for errors in maps]
            assert [float(loss[number]) for loss in losses] == pytest.approx(expected, rel=1e-4)
            difference = (maps[1] - maps[0]).mean(dim=0)
            assert (delta[number] - difference).abs().max() <= 1e-4 * maps[0].mean()
            assert difference.abs().max() > 1e-3 * maps[0].mean(), "the conditions must be seen in the losses"


def test_features_are_what_a_forward_hook_sees(read: Read) -> None:
    """The whole network runs in diffusers, the exported graph up to its block."""
    latent, seen, before = latents(read, 2), [], getattr(read.reference, "before", False)
    handle = read.reference.hooked.register_forward_hook(
        lambda _module, inputs, output: seen.append(inputs if before else output)
    )
    with torch.no_grad():
        read.reference.output(*read.reference.noised(latent, torch.from_numpy(read.leaves.dift_noise)[None], 161), 2)
        handle.remove()
        conditions = read.conditions((2, 0), (2, 0))
        features = read.leaves.by_name[contract.DIFT].module(latent, *conditions[: len(conditions) // 2])
    output = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    output = output[:, getattr(read.reference, "text_tokens", 0) :]
    mean = output.mean(dim=read.reference.axes)
    torch.testing.assert_close(features, mean / mean.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_every_leaf_of_the_kind_takes_the_spec_s_inputs(read: Read) -> None:
    for leaf in read.leaves.by_name.values():
        arrays = random_inputs(leaf.model, 3, np.random.default_rng(0))
        with torch.no_grad():
            outputs = leaf.module(*(torch.from_numpy(array) for array in arrays.values()))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        assert [tuple(o.shape[1:]) for o in outputs] == [tensor.shape for tensor in leaf.model.outputs]
