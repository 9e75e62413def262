"""Tokenizers of CLIP and T5 that know single letters only, made without any vocabulary file.

Owns those vocabularies. They stand in for a checkpoint's own tokenizers where weights are random anyway: in tests, and for
the full-size architectures of architectures.py. Must not know pipelines.
"""

from __future__ import annotations

from transformers import CLIPTokenizer, T5Tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def letter_tokenizer(length: int) -> CLIPTokenizer:
    """Texts become one token per character, padded with the end token to `length`."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    return CLIPTokenizer({word: number for number, word in enumerate(words)}, [], model_max_length=length)


def letter_t5_tokenizer() -> T5Tokenizer:
    """Texts become one piece per letter."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ."]
    return T5Tokenizer(vocab=[(piece, 0.0 if piece.startswith("<") else -2.0) for piece in pieces], extra_ids=0)
