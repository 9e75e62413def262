"""The configuration fields of text encoders: what transformers builds is run by the pipeline's own encode_prompt."""

from __future__ import annotations

from collections.abc import Mapping

from export_scripts.pipelines.field_rules import Fields, Irrelevant, Only, Used, every

CLIP_TEXT: Fields = {
    **every(Used(), "vocab_size hidden_size intermediate_size projection_dim num_hidden_layers num_attention_heads"),
    **every(Used(), "max_position_embeddings hidden_act layer_norm_eps pad_token_id bos_token_id eos_token_id"),
    **every(Irrelevant("training"), "attention_dropout initializer_range initializer_factor"),
    **every(Irrelevant("labels of a classifier"), "id2label label2id problem_type"),
    **every(
        Irrelevant("how the module is called, which encode_prompt says itself"), "output_hidden_states return_dict"
    ),
    **every(Irrelevant("where the file came from"), "transformers_version architectures"),
    "dtype": Irrelevant("weights are read into float32"),
    "chunk_size_feed_forward": Irrelevant("memory"),
    "is_encoder_decoder": Only((False,), "the text encoder stands alone"),
}
OLDER_CLIP_TEXT: Fields = {
    "use_attention_mask": Used(),
    "model_type": Only(("clip_text_model",), "text encoders are CLIP's"),
    **every(Only((False,), "the text encoder is no decoder"), "is_decoder add_cross_attention tie_encoder_decoder"),
    "pruned_heads": Only(({}, None), "heads are those of the class"),
    "torch_dtype": Irrelevant("weights are read into float32"),
    **every(
        Irrelevant("training"), "dropout gradient_checkpointing finetuning_task tie_word_embeddings tf_legacy_loss"
    ),
    **every(Irrelevant("how the module is called"), "output_attentions torchscript use_cache use_return_dict"),
    **every(Irrelevant("other hardware"), "use_bfloat16"),
    **every(Irrelevant("the tokenizer's place"), "tokenizer_class name_or_path prefix task_specific_params"),
    **every(
        Irrelevant("writing text, which an encoder does not do"),
        "max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k "
        "top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size "
        "bad_words_ids num_return_sequences output_scores return_dict_in_generate forced_bos_token_id "
        "forced_eos_token_id remove_invalid_values exponential_decay_length_penalty suppress_tokens "
        "begin_suppress_tokens sep_token_id decoder_start_token_id cross_attention_hidden_size",
    ),
}

T5_TEXT: Fields = {
    **every(Used(), "vocab_size d_model d_kv d_ff num_layers num_heads relative_attention_num_buckets"),
    **every(Used(), "relative_attention_max_distance layer_norm_epsilon feed_forward_proj pad_token_id eos_token_id"),
    **every(Irrelevant("training"), "dropout_rate initializer_factor classifier_dropout"),
    **every(Irrelevant("the decoder"), "num_decoder_layers is_encoder_decoder use_cache"),
    "is_decoder": Only((False,), "the text encoder is no decoder"),
    **every(Irrelevant("labels of a classifier"), "id2label label2id problem_type"),
    **every(
        Irrelevant("how the module is called, which encode_prompt says itself"), "output_hidden_states return_dict"
    ),
    **every(Irrelevant("where the file came from"), "transformers_version architectures"),
    "dtype": Irrelevant("weights are read into float32"),
    "chunk_size_feed_forward": Irrelevant("memory"),
}
OLDER_T5_TEXT: Fields = {
    "model_type": Only(("t5",), "the third text encoder is T5's"),
    "torch_dtype": Irrelevant("weights are read into float32"),
    **every(Irrelevant("derived from feed_forward_proj"), "dense_act_fn is_gated_act"),
    **every(
        Irrelevant("the decoder"),
        "decoder_start_token_id n_positions output_past tie_word_embeddings task_specific_params",
    ),
    "scale_decoder_outputs": Irrelevant("the decoder"),
}

GEMMA_TEXT: Fields = {
    **every(Used(), "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"),
    **every(Used(), "num_key_value_heads head_dim hidden_activation max_position_embeddings rms_norm_eps"),
    **every(Used(), "pad_token_id eos_token_id bos_token_id rope_parameters attention_bias query_pre_attn_scalar"),
    **every(Used(), "sliding_window layer_types attn_logit_softcapping use_bidirectional_attention"),
    **every(Irrelevant("training"), "attention_dropout initializer_range"),
    **every(Irrelevant("writing text, which encode_prompt does not do"), "use_cache final_logit_softcapping"),
    "tie_word_embeddings": Irrelevant("writing text, which encode_prompt does not do"),
    "is_encoder_decoder": Only((False,), "the text encoder stands alone"),
    **every(Irrelevant("labels of a classifier"), "id2label label2id problem_type"),
    **every(
        Irrelevant("how the module is called, which encode_prompt says itself"), "output_hidden_states return_dict"
    ),
    **every(Irrelevant("where the file came from"), "transformers_version architectures"),
    "dtype": Irrelevant("weights are read into float32"),
    "chunk_size_feed_forward": Irrelevant("memory"),
}
OLDER_GEMMA_TEXT: Fields = {
    "model_type": Only(("gemma2",), "Sana's text encoder is Gemma 2"),
    "torch_dtype": Irrelevant("weights are read into float32"),
    "rope_theta": Used(),
    "cache_implementation": Irrelevant("writing text, which encode_prompt does not do"),
    "hidden_act": Irrelevant("hidden_activation says it"),
}

LEFTOVERS: Mapping[str, str] = {"text_projection.weight": "CLIPTextModel is the part before the projection"}
"""Weights that a file may hold beyond those of its class."""
