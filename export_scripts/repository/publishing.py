"""A folder that appears whole or not at all, and never in the place of what the exporter did not write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export_scripts.errors import PublishError
from selector.folders.replacement import replaced

MANIFEST_FILE = "manifest.json"
README_FILE = "README.md"


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder`; it takes its place if the body ends well and vanishes if it does not.

    An earlier export in `folder` is replaced. Raises PublishError if anything else is there, and for what the file system
    refuses.
    """
    _refuse_foreign(folder)
    with swapped(folder) as staged:
        yield staged
        _refuse_foreign(folder)


@contextmanager
def swapped(folder: Path) -> Iterator[Path]:
    """As `published`, whatever is in `folder`."""
    try:
        with replaced(folder, own=_everything) as staged:
            yield staged
    except OSError as error:
        raise PublishError(f"{folder} was not written: {error}: make room there, or name another place") from error


def write_whole(path: Path, text: str) -> None:
    """Gives the file a content. It is replaced, never rewritten: a reader sees the old or the new one."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _everything(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*")]


def _refuse_foreign(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise PublishError(f"{folder} is not a folder: name another place for the repository")
    try:
        entries = sorted(folder.iterdir()) if folder.exists() else []
        foreign = [e.name for e in entries if e.name != README_FILE and not (e / MANIFEST_FILE).is_file()]
    except OSError as error:
        raise PublishError(f"{folder} can't be read: {error}: name another place for the repository") from error
    if foreign:
        raise PublishError(
            f"{folder} holds what no export wrote ({', '.join(foreign[:5])}): name another place, or remove it first"
        )
