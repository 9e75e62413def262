"""README.md of an exported repository: a row per model, from the spec and the identity alone."""

from __future__ import annotations

from collections.abc import Mapping

from client import contract
from client.contract import Identity, Model, Tensor

PURPOSE = {
    contract.VAE_ENCODER: "images to latents, normalised in the graph",
    contract.PROMPT_EMBEDDING: "rows of the prompt table; row 0 is the null prompt, row class_id + 1 the class",
    contract.UNET: "one draw: both losses and their difference per latent cell (reference minus prompt)",
    contract.DIFT: "one L2-normalised diffusion feature; the graph stops at its block",
    contract.NOISE_LOSS: "prompt_embedding → unet_noise_predictor, for typicality maps",
    contract.PATCH_FEATURES: "vae_encoder → prompt_embedding → dift_extractor, for features of patches",
    contract.PATCH_SCORER: "everything about one image, one draw and one pair of prompts in one call",
}

HEAD = """# Model repository

Written by `selector export`; change the exporter, not these files. Leaves are ONNX graphs served by
the backend `onnxruntime`, ensembles compose them inside Triton. Shapes are per row: the batch axis comes first, up to
{max_batch} rows per request. Beside each model lie its `config.pbtxt`, whose `parameters` carry the pipeline's identity and
golden rows (inputs by a recipe, and what the model must answer), and a `manifest.json` with checksums, versions and gate
results. `draws.npz`, `prompts.npz` and `noise.npz` hold the constants of the graphs, for whoever wants to recompute a score.

| Model | Kind | Inputs | Outputs | Does |
|---|---|---|---|---|
"""

TAIL = """
Pipeline `{0.pipeline}`: {0.draws} draws, images of {0.resolution} px, {0.precision}, features `{0.dift}`.
"""


def readme(models: Mapping[str, Model], identity: Identity, max_batch: int) -> str:
    """The text for the models of one repository."""
    rows = [
        f"| `{model.name}` | {'ensemble' if model.steps else 'leaf'} | {_tensors(model.inputs)} "
        f"| {_tensors(model.outputs)} | {PURPOSE[model.name]} |\n"
        for model in models.values()
    ]
    return HEAD.format(max_batch=max_batch) + "".join(rows) + TAIL.format(identity)


def _tensors(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.datatype.lower()} [{', '.join(map(str, t.shape))}]" for t in tensors)
