"""The list of classes that a prompt table is made for.

Owns the file's format and the prompts' wording. Must not know encoders.

One class name per line; blank lines are ignored. A line FOLDER<TAB>CLASS NAME, as `selector --class-names` takes them,
means its class name, so that one file serves both commands. Names keep the file's order: class_id is the position.
"""

from __future__ import annotations

from pathlib import Path

from export_scripts.errors import PipelineError

PLACEHOLDER = "{class}"
PROMPT = "An image of {class}."
NULL_PROMPT = "An image of ."  # both read off a figure of arXiv 2412.09959: assumed, no source states them


def read_class_list(path: Path) -> tuple[str, ...]:
    """The names in the file at `path`. Raises PipelineError for an unreadable, empty or repeating list."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"the list of classes {path} can't be read: {error}") from error
    names = [line.rsplit("\t", 1)[-1].strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise PipelineError(f"{path} names no class: write one name per line")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or "" in names:
        what = f"names {', '.join(map(repr, repeated[:5]))} more than once" if repeated else "has a line without a name"
        raise PipelineError(f"{path} {what}: a class_id must mean one class")
    return tuple(names)


def prompts_of(classes: tuple[str, ...], prompt: str, null_prompt: str) -> tuple[str, ...]:
    """n + 1 texts: the null prompt, then `prompt` with every class in its place. Raises PipelineError without one."""
    if PLACEHOLDER not in prompt:
        raise PipelineError(f"the prompt {prompt!r} has no {PLACEHOLDER}: all classes would have the same prompt")
    return (null_prompt, *(prompt.replace(PLACEHOLDER, name) for name in classes))
