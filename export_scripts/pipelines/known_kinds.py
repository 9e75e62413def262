"""The configuration fields of transformers, and of Sana's autoencoder, that the exporter knows."""

from __future__ import annotations

from export_scripts.pipelines.field_rules import Fields, Irrelevant, Only, Used, every

# --- DiT: diffusers' own forward pass runs, with rows of its label tables in place of labels (dit.py) ---------------------

DIT: Fields = {
    **every(
        Used(), "num_attention_heads attention_head_dim in_channels out_channels num_layers attention_bias sample_size"
    ),
    **every(Used(), "patch_size activation_fn num_embeds_ada_norm upcast_attention norm_elementwise_affine norm_eps"),
    "norm_type": Only(("ada_norm_zero",), "labels enter by the blocks' adaptive norms"),
    "dropout": Irrelevant("training"),
    "norm_num_groups": Irrelevant("no group norm is in it"),
}
OLDER_DIT: Fields = {  # of Transformer2DModel, the class that DiT's makers published it as
    **every(Only((None,), "labels are the only condition"), "cross_attention_dim num_vector_embeds caption_channels"),
    **every(Only((False,), "its attention is over its own tokens"), "only_cross_attention double_self_attention"),
    "use_linear_projection": Irrelevant("latents enter as patches"),
    "attention_type": Only(("default",), "boxes and phrases (GLIGEN) are not given to it"),
    "interpolation_scale": Only((None, 1, 1.0), "positions are those of the class"),
    "use_additional_conditions": Only((None, False), "sizes are not given to it"),
}

# --- Stable Diffusion 3: diffusers' own forward pass runs (sd3.py) ---------------------------------------------------------

SD3: Fields = every(
    Used(),
    "sample_size patch_size in_channels num_layers attention_head_dim num_attention_heads joint_attention_dim "
    "caption_projection_dim pooled_projection_dim out_channels pos_embed_max_size dual_attention_layers qk_norm",
)

# --- PixArt, Flux and Sana: diffusers' own forward passes run (pixart.py, flux.py, sana.py) ----------------------------------

PIXART: Fields = {
    **every(Used(), "num_attention_heads attention_head_dim in_channels out_channels num_layers cross_attention_dim"),
    **every(Used(), "attention_bias sample_size patch_size activation_fn num_embeds_ada_norm upcast_attention"),
    **every(Used(), "norm_elementwise_affine norm_eps interpolation_scale use_additional_conditions caption_channels"),
    "norm_type": Only(("ada_norm_single",), "the timestep enters by one shared modulation"),
    "attention_type": Only(("default",), "boxes and phrases (GLIGEN) are not given to it"),
    "dropout": Irrelevant("training"),
    "norm_num_groups": Irrelevant("no group norm is in it"),
}
OLDER_PIXART: Fields = {  # of Transformer2DModel, the class that PixArt's makers published it as
    "num_vector_embeds": Only((None,), "latents are its input"),
    **every(Only((False,), "its attention is over its own tokens and the prompt's"), "only_cross_attention"),
    **every(Only((False,), "its attention is over its own tokens and the prompt's"), "double_self_attention"),
    "use_linear_projection": Irrelevant("latents enter as patches"),
}

FLUX: Fields = {
    **every(Used(), "in_channels out_channels num_layers num_single_layers attention_head_dim num_attention_heads"),
    **every(Used(), "joint_attention_dim pooled_projection_dim axes_dims_rope"),
    "patch_size": Only((1,), "latents enter packed, two by two"),
    "guidance_embeds": Used(),  # refused by flux.py where it is false, also by a file that is silent about it
}

SANA: Fields = {
    **every(Used(), "in_channels out_channels num_attention_heads attention_head_dim num_layers mlp_ratio"),
    **every(Used(), "num_cross_attention_heads cross_attention_head_dim cross_attention_dim caption_channels"),
    **every(Used(), "attention_bias sample_size patch_size norm_elementwise_affine norm_eps interpolation_scale"),
    **every(Used(), "qk_norm timestep_scale"),
    "guidance_embeds": Only((False,), "a transformer that is told a guidance (Sana-Sprint) was distilled to few steps"),
    "guidance_embeds_scale": Irrelevant("read with guidance_embeds alone"),
    "dropout": Irrelevant("training"),
}

_DECODER = Irrelevant("the decoder")
DC_VAE: Fields = {
    **every(Used(), "latent_channels attention_head_dim encoder_block_types encoder_block_out_channels"),
    **every(Used(), "encoder_layers_per_block encoder_qkv_multiscales downsample_block_type encoder_out_shortcut"),
    "scaling_factor": Used(),
    "in_channels": Only((3,), "images have three channels"),
    **every(_DECODER, "decoder_block_types decoder_block_out_channels decoder_layers_per_block"),
    **every(_DECODER, "decoder_qkv_multiscales upsample_block_type decoder_norm_types decoder_act_fns"),
    **every(_DECODER, "decoder_in_shortcut decoder_conv_act_fn"),
}
