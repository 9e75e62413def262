"""A CLIP tokenizer that knows single letters only, made without any vocabulary file.

Owns that vocabulary. It stands in for a checkpoint's own tokenizer where weights are random anyway: in tests, and for
the full-size architecture of sd15.py. Must not know pipelines.
"""

from __future__ import annotations

from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"


def letter_tokenizer(length: int) -> CLIPTokenizer:
    """Texts become one token per character, padded with the end token to `length`."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), START, END]
    return CLIPTokenizer({word: number for number, word in enumerate(words)}, [], model_max_length=length)
