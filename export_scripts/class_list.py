"""The list of classes that a prompt table is made for, and the wording of their prompts.

A line is `id<TAB>name`, such as `n01440764<TAB>tench`, or a name alone, which is then its own id. The id says which class
it is: two ids may have one name. Blank lines are ignored. The order of lines is kept: class_id is the position.
`selector --class-names` takes the same file. Text is taken in Unicode NFC, as folders are compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from export_scripts.errors import PipelineError

PLACEHOLDER = "{class}"
PROMPT = "An image of {class}."
NULL_PROMPT = "An image of ."  # both read off a figure of arXiv 2412.09959: assumed, no source states them


@dataclass(frozen=True)
class ClassList:
    """ids: what tells the classes apart. names: as many, or none where every class's name is its id."""

    ids: tuple[str, ...]
    names: tuple[str, ...] = ()


def read_class_list(path: Path) -> ClassList:
    """The classes in the file at `path`. Raises PipelineError for an unreadable, empty or repeating list."""
    try:
        text = normalize("NFC", path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(f"the list of classes {path} can't be read as UTF-8 text: {error}") from error
    rows = [
        (n, [part.strip() for part in line.split("\t")]) for n, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    if not rows:
        raise PipelineError(f"{path} names no class: write one name, or id<TAB>name, per line")
    for number, parts in rows:
        if len(parts) > 2 or not all(parts):
            raise PipelineError(f"{path}, line {number}: expected a name without tabs, or id<TAB>name, got {parts}")
    ids, names = tuple(parts[0] for _, parts in rows), tuple(parts[-1] for _, parts in rows)
    repeated = [class_ for class_ in dict.fromkeys(ids) if ids.count(class_) > 1]
    if repeated:
        raise PipelineError(
            f"{path} names {', '.join(map(repr, repeated[:5]))} more than once: a class_id must mean one class; two classes "
            "of one name need an id each (id<TAB>name)"
        )
    return ClassList(ids, names if names != ids else ())


def prompts_of(names: tuple[str, ...], prompt: str, null_prompt: str) -> tuple[str, ...]:
    """n + 1 texts: the null prompt, then `prompt` with every name in its place. Raises PipelineError without one."""
    if PLACEHOLDER not in prompt:
        raise PipelineError(f"the prompt {prompt!r} has no {PLACEHOLDER}: all classes would have the same prompt")
    return (null_prompt, *(prompt.replace(PLACEHOLDER, name) for name in names))
