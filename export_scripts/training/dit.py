"""A small DiT (Peebles and Xie, arXiv 2212.09748) to train: diffusers' own transformer, built and begun as its makers do.

The makers embed timesteps and labels once for all blocks; diffusers has such an embedding in every block. Here all blocks share
one while they are trained, and a saved pipeline has it in every block, so its label tables are equal and a prompt is one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler, DiTPipeline, DiTTransformer2DModel
from torch import Tensor, nn

from export_scripts.small_pipeline import SpaceToDepth
from export_scripts.training.model import Parts
from selector.errors import UsageError

EMBEDDING_STD = 0.02  # of the makers' initial labels and timestep embedding


@dataclass(frozen=True)
class DitConfig:
    """The defaults cost as much as the built-in UNet: 1.88 M parameters (it has 1.98 M) and 78 M multiply-adds an evaluation
    (79 M), on the same latents (docs/decisions/003-small-pipeline.md). token_cells: latent cells on a token's side."""

    image_size: int = 64
    patch_size: int = 4
    width: int = 128
    heads: int = 4
    blocks: int = 6
    token_cells: int = 2
    prediction_type: str = "v_prediction"

    def __post_init__(self) -> None:
        """Raises UsageError for a shape that no DiT has."""
        if self.width % self.heads or self.width % 4:
            raise UsageError(f"a DiT's width must divide by 4 and by its {self.heads} heads, {self.width} does not")
        token_px = self.patch_size * self.token_cells
        if self.image_size % token_px:
            raise UsageError(f"images of {self.image_size} px do not divide into tokens of {token_px} px")


class DitParts(Parts):
    """A DiT whose labels are its prompts. class_names: those of its labels, in their order; the last label is no class's."""

    def __init__(self, transformer: DiTTransformer2DModel, class_names: Sequence[str]) -> None:
        super().__init__()
        self.transformer, self.class_names = transformer, tuple(class_names)

    def forward(self, latents: Tensor, timesteps: Tensor, rows: Tensor) -> Tensor:
        labels = torch.where(rows == 0, len(self.class_names), rows - 1)
        prediction: Tensor = self.transformer(latents, timestep=timesteps, class_labels=labels).sample
        return prediction

    def pipeline(self, vae: SpaceToDepth, scheduler: DDPMScheduler) -> DiTPipeline:
        transformer = DiTTransformer2DModel.from_config(self.transformer.config)
        transformer.load_state_dict(
            self.transformer.state_dict()
        )  # weights in one place can't be saved under two names
        pipeline = DiTPipeline(transformer.eval(), vae, scheduler)
        pipeline.register_to_config(id2label=dict(enumerate(self.class_names)))  # its constructor does not keep it
        return pipeline


def build_dit(config: DitConfig, class_names: Sequence[str], vae: SpaceToDepth) -> DitParts:
    """An untrained DiT for the latents of `vae`."""
    transformer = DiTTransformer2DModel(
        num_attention_heads=config.heads,
        attention_head_dim=config.width // config.heads,
        in_channels=vae.latent_channels,
        out_channels=vae.latent_channels,
        num_layers=config.blocks,
        sample_size=vae.latent_size,
        patch_size=config.token_cells,
        num_embeds_ada_norm=len(class_names),
    )
    first = transformer.transformer_blocks[0].norm1.emb
    for block in transformer.transformer_blocks:
        block.norm1.emb = first
    first.class_embedder.dropout_prob = 0.0  # labels are dropped by the batch, which a resumed run repeats
    _begin(transformer)
    return DitParts(transformer, class_names)


def _begin(transformer: DiTTransformer2DModel) -> None:
    """The makers' initial weights: every block begins as the identity, and the output as 0. diffusers leaves them to torch."""
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    embedding, patches = transformer.transformer_blocks[0].norm1.emb, transformer.pos_embed.proj
    nn.init.xavier_uniform_(patches.weight.view(patches.weight.shape[0], -1))
    nn.init.zeros_(patches.bias)
    nn.init.normal_(embedding.class_embedder.embedding_table.weight, std=EMBEDDING_STD)
    for linear in (embedding.timestep_embedder.linear_1, embedding.timestep_embedder.linear_2):
        nn.init.normal_(linear.weight, std=EMBEDDING_STD)
    modulations = [block.norm1.linear for block in transformer.transformer_blocks]
    for linear in (*modulations, transformer.proj_out_1, transformer.proj_out_2):
        nn.init.zeros_(linear.weight)
