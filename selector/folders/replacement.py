"""A folder that takes the place of an older one as a whole, and keeps what somebody else has put there.

The caller sees to it that no other process replaces the same folder meanwhile.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ANY_ID = 32 * "[0-9a-f]"


@contextmanager
def replaced(final: Path, own: Callable[[Path], Collection[str]]) -> Iterator[Path]:
    """Yields an empty folder beside `final`; it takes its place if the body ends well, and vanishes if it does not.

    own: an older folder → the paths in it, relative to it, that go with it; all others are kept, at the same place in the new
    folder unless that has something of its own there. Raises OSError.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    _mend(final, own)
    mine = uuid.uuid4().hex
    partial, old = (final.with_name(f".{final.name}.{mine}.{end}") for end in ("partial", "old"))
    try:
        partial.mkdir()
        yield partial
        if final.exists():
            final.rename(old)
        partial.rename(final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        if not final.exists():
            with suppress(FileNotFoundError):
                old.rename(final)
        raise
    if old.exists():
        _retire(old, final, own)


def _mend(final: Path, own: Callable[[Path], Collection[str]]) -> None:
    """Takes up what a killed process left, before its first rename, between both or after them."""
    for partial in final.parent.glob(f".{final.name}.{_ANY_ID}.partial"):
        shutil.rmtree(partial)
    for old in final.parent.glob(f".{final.name}.{_ANY_ID}.old"):
        if final.exists():
            _retire(old, final, own)
        else:
            old.rename(final)


def _retire(old: Path, final: Path, own: Callable[[Path], Collection[str]]) -> None:
    """Removes the old folder after what is not its own has been linked, or copied, into the new one."""
    gone = set(own(old))
    for path in sorted(old.rglob("*")):
        place = final / path.relative_to(old)
        folder = path.is_dir() and not path.is_symlink()
        if path.relative_to(old).as_posix() in gone or os.path.lexists(place) or (folder and any(path.iterdir())):
            continue
        if folder:
            place.mkdir(parents=True)
            continue
        keep(path, place)
    shutil.rmtree(old)


def keep(path: Path, place: Path) -> None:
    """Gives a file a second place, whose folder is made; raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, place, follow_symlinks=False)
    except OSError:  # a file system without hard links
        shutil.copy2(path, place, follow_symlinks=False)
