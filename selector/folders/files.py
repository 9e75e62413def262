"""What the system says about a file, as one line that names the file and what to do."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from selector.errors import FileError, SelectorError, UsageError

_FULL = "the disk is full: make room, then the same command goes on"
_WORDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "the quota is used up: make room, then the same command goes on",
    errno.EROFS: "the file system can't be written to: choose another place",
    errno.EACCES: "permission is denied: change it, or choose another place",
    errno.EPERM: "the system does not permit it: choose another place",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another place",
    errno.EEXIST: "it is there and no folder: move it away, or choose another place",
    errno.EISDIR: "it is a folder, a file is wanted: name a file in it",
    errno.ENOENT: "it is not there: does its folder exist, or is it a link to nothing?",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter one",
    errno.ELOOP: "its links lead in a circle: choose another place",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n)",
    errno.EFBIG: "the file would be larger than allowed (ulimit -f, or the file system): choose another place",
    errno.EAGAIN: "the system gives no further process: take fewer --workers",
    errno.ENOMEM: "the memory is used up: take fewer --workers",
    errno.EIO: "the device reports an error: look at its log, or choose another place",
    errno.ESTALE: "the network file system lost it: mount it again, then the same command goes on",
}
_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.EAGAIN, errno.ENOMEM}
"""What no other argument would mend."""


def told(error: OSError, path: Path | None = None, deed: str = "used") -> str:
    """The error in one line. path: where it happened, if the error itself does not say. deed: what can't be done."""
    named = error.filename2 or error.filename  # of a link or a move the place, not what was to be there
    place = Path(os.fsdecode(named)) if isinstance(named, str | bytes | os.PathLike) else path
    if path is not None and place is not None and path.name in place.name:
        place = path  # it was written under a temporary name
    words = _WORDS.get(_number(error) or 0, f"{error.strerror or error}: choose another place")
    return f"{' '.join(str(place).split())} can't be {deed}: {words}" if place else words


def known(error: OSError) -> bool:
    """Whether the error is about a file, or the disk, and so not a fault of the program."""
    return error.filename is not None or _number(error) in _OF_THE_MACHINE | {errno.EROFS}


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Inside, an OSError becomes a FileError that names its file, or `path` if it names none."""
    try:
        yield
    except OSError as error:
        raise FileError(told(error, path, "written")) from error


def write_text(path: Path, text: str) -> None:
    """Gives the path a content in UTF-8, whole or not at all; raises FileError."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Gives the path a content, whole or not at all, and makes its folder if need be; raises FileError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def file_time(folder: Path) -> float:
    """Now, by the clock that gives files in the folder their times: on a network the server's.

    By this machine's if nothing can be written there.
    """
    probe = folder / f"now.{uuid.uuid4().hex}.tmp"
    try:
        probe.touch(exist_ok=False)
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def check_folder(path: Path, flag: str) -> None:
    """Raises UsageError unless files can be written into this folder, which may have to be made; FileError of a full disk.

    It is tried: a file is made there, and removed with the folders that were made for it.
    """
    with _refused(path, flag), _made(path), tempfile.TemporaryFile(dir=path) as file:
        file.write(b"\0")


def check_file(path: Path, flag: str) -> None:
    """Raises UsageError unless a file of this name can be written; FileError of a full disk. What is there stays."""
    with _refused(path, flag), _made(path.parent):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "", str(path))
        if path.is_file():
            with path.open("ab"):
                return
        if path.exists():  # a device or a pipe: opening it may wait
            return
        if path.is_symlink():
            raise FileNotFoundError(errno.ENOENT, "", str(path))
        with path.open("xb") as file:
            path.unlink()
            file.write(b"\0")


@contextmanager
def _made(path: Path) -> Iterator[None]:
    """The folder is there inside; what had to be made for it is removed."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            folder.mkdir()
            made.append(folder)
        yield
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def _refused(path: Path, flag: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        kind: type[SelectorError] = FileError if _number(error) in _OF_THE_MACHINE else UsageError
        raise kind(f"{flag}: {told(error, path, 'written')}") from error


def _number(error: OSError) -> int | None:
    # numpy says of a full disk how many items it wrote, and nothing else.
    return errno.ENOSPC if error.errno is None and "requested and" in str(error) else error.errno
