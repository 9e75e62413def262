"""Whether a table of prompts can tell its classes apart: lengths, and rows that are equal.

Two classes of one name are two classes that no score can tell apart: that is the user's choice, and said. Two names
with one row are a loss on the way, and refused.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from hashlib import blake2b

from torch import Tensor

from export_scripts.errors import PipelineError

NULL = "the null prompt"


def check_lengths(labels: Sequence[str], lengths: Sequence[int], limit: int, truncate: bool) -> tuple[str, ...]:
    """Notes on prompts of more than `limit` tokens, if they may be cut; raises PipelineError that names them otherwise.

    labels, lengths: of the rows, the null prompt first.
    """
    long = [f"{label} ({length} tokens)" for label, length in zip(labels, lengths, strict=True) if length > limit]
    if not long:
        return ()
    if not truncate:
        raise PipelineError(
            f"the text encoder takes {limit} tokens, fewer than the prompts of {_listed(long)}: shorten the names or the "
            "prompt, or pass --truncate to cut them"
        )
    return (f"prompts cut to the {limit} tokens that the text encoder takes: {_listed(long)}",)


def check_masks(prompts: Sequence[str], lengths: Sequence[int], masks: Tensor) -> None:
    """Raises PipelineError unless each prompt's mask [N, L] keeps its tokens, which come first, and nothing else."""
    for prompt, length, mask in zip(prompts, lengths, masks, strict=True):
        if int(mask.sum()) != length or not bool(mask[:length].all()):
            raise PipelineError(
                f"the mask of the prompt {prompt!r} keeps {int(mask.sum())} tokens, the prompt begins with {length}: "
                "padding would be read as words, or words left out; mend the tokenizer (padding_side, pad_token)"
            )


def check_rows(ids: Sequence[str], names: Sequence[str], table: Tensor, pooled: Tensor | None) -> tuple[str, ...]:
    """Notes on classes of one name; raises PipelineError if other rows of the table are equal. table: [n + 1, …]."""
    # Digests: the bytes of a large table would be as large again.
    rows = [blake2b(table[i].numpy(), digest_size=16) for i in range(len(table))]
    for row, digest in enumerate(rows):
        digest.update(b"" if pooled is None else pooled[row].numpy())
    return check_distinct(ids, names, [digest.digest() for digest in rows])


def check_distinct(ids: Sequence[str], names: Sequence[str], keys: Sequence[Hashable]) -> tuple[str, ...]:
    """As check_rows, for anything by which rows can be compared, such as their tokens. keys: n + 1."""
    alike: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        alike.setdefault(key, []).append(row)
    notes = []
    for group in (rows for rows in alike.values() if len(rows) > 1):
        labels = [row_label(ids, names, row) for row in group]
        if group[0] == 0 or len({names[row - 1] for row in group}) > 1:
            raise PipelineError(
                f"{_listed(labels)} have equal rows in the table of prompts, so no score could tell them apart: give them "
                "names that differ for the text encoder, within the tokens it takes"
            )
        notes.append(
            f"{_listed(labels)} have one name and so one prompt: they stay two classes, and no score tells them apart; to "
            f"change that, give them names of their own (such as {ids[group[0] - 1]}<TAB>{names[group[0] - 1]} (bird))"
        )
    return tuple(notes)


def row_label(ids: Sequence[str], names: Sequence[str], row: int) -> str:
    """What a row of the table is called in a message."""
    if row == 0:
        return NULL
    name, class_ = names[row - 1], ids[row - 1]
    return f"class {name!r}" if class_ == name else f"class {class_} {name!r}"


def _listed(labels: Sequence[str], most: int = 5) -> str:
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + more
