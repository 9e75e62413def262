"""A folder that appears whole or not at all.

Owns the temporary folder, the swap and the refusal to replace what the exporter did not write. Must not know models.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from export_scripts.errors import PublishError

MANIFEST_FILE = "manifest.json"
README_FILE = "README.md"


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """Yields an empty folder beside `folder`; it takes its place if the body ends well and vanishes if it does not.

    An earlier export in `folder` is replaced. Raises PublishError if anything else is there, and for what the file system
    refuses.
    """
    _refuse_foreign(folder)
    with swapped(folder, before=lambda: _refuse_foreign(folder)) as staged:
        yield staged


@contextmanager
def swapped(folder: Path, before: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yields an empty folder that takes the place of `folder`, whatever is there, if the body ends well.

    before: called right before the swap; what it raises stops it. Raises PublishError for what the file system refuses.
    """
    try:
        with _swapped(folder, before) as staged:
            yield staged
    except OSError as error:
        raise PublishError(f"{folder} was not written: {error}: make room there, or name another place") from error


@contextmanager
def _swapped(folder: Path, before: Callable[[], None]) -> Iterator[Path]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        staged, replaced = Path(scratch) / "new", Path(scratch) / "old"
        staged.mkdir()
        yield staged
        before()
        if folder.exists():
            folder.rename(replaced)
        try:
            staged.rename(folder)
        except OSError:
            if replaced.exists():
                replaced.rename(folder)
            raise


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
