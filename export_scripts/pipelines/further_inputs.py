"""Denoisers that are given more than a noisy latent, a timestep and a prompt: none is exported, and each is refused by name."""

from __future__ import annotations

from collections.abc import Mapping

EXTRA_CHANNELS: Mapping[int, str] = {
    9: "an inpainting UNet is given a mask and the image around it beside the noisy latent, and no image has them",
    8: "an InstructPix2Pix UNet is given the latent of another image beside the noisy one",
    7: "an upscaling UNet is given a smaller image beside the noisy latent",
    5: "a depth UNet is given a map of depths beside the noisy latent",
}
"""Denoisers that are given more than a noisy latent of four channels, by the channels that they take, and what it is."""

OTHER_INPUTS: Mapping[str, str] = {
    "Inpaint": "its denoiser is given a mask and the image around it, and no image has them",
    "ControlNet": "it is given a further image as a condition, and no prompt table has one",
    "Adapter": "it is given a further image as a condition, and no prompt table has one",
    "InstructPix2Pix": "its denoiser is given another image beside the noisy one",
    "Depth2Img": "its denoiser is given a map of depths beside the noisy latent",
    "Upscale": "its denoiser is given a smaller image beside the noisy latent",
    "ImageVariation": "its prompts are images",
    "UnCLIP": "its prompts are images",
    "GLIGEN": "its denoiser is given boxes and phrases",
    "LatentConsistency": "its denoiser is a distilled one, which is told a guidance scale and predicts no mean of the noise",
}
"""Parts of refused pipelines' names, and why; looked at before OTHER_PIPELINES."""
