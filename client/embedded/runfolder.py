"""The folder of one running embedded server, and the removal of what a killed one left behind.

A run folder's name is a random token. The token prefixes the names of the server's regions in /dev/shm, and a lock in
the folder is held by every process of that server: a free lock means that all of them are gone, so folder and regions
can be removed without touching any other server's. The path of a Unix socket may have 107 bytes: where the run folder's
is too long, the socket gets a folder of the same name elsewhere.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from client.embedded.endpoints import socket_path
from client.embedded.wheel import SHARED_MEMORY
from client.errors import EmbeddedError

PREFIX = "selector_"
POLL_S = 0.02
SOCKET_BYTES = 107
"""What the path of a Unix socket may have."""
SHORT_PLACES = (Path(f"/run/user/{os.getuid()}"), Path("/tmp"))


def runs_root() -> Path:
    """The folder of all run folders of this user, made if it is not there. Raises EmbeddedError if it is another's."""
    root = Path(tempfile.gettempdir()) / f"selector-embedded-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise EmbeddedError(f"{root} belongs to another user: remove it or set TMPDIR")
    return root


def log_path(folder: Path) -> Path:
    """Where the server of a run folder logs if nobody asked for another place: beside it, so that it can outlive it."""
    return folder.parent / f"{folder.name}.log"


def create(root: Path, name: str = "") -> tuple[Path, int]:
    """Sweeps `root`, then makes a run folder. Returns it and the file descriptor of its held lock.

    name: of a folder that was discarded, so that the socket's path is as it was.
    """
    with _locked(root):
        _sweep(root)
        folder = root / (name or f"{PREFIX}{secrets.token_hex(8)}_")
        folder.mkdir(mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return folder, lock


def socket_folder(folder: Path) -> Path:
    """The folder for the socket of a run folder: itself, or another one of this user alone where its path is too long."""
    if len(os.fsencode(socket_path(folder))) <= SOCKET_BYTES:
        return folder
    for place in SHORT_PLACES:
        with suppress(OSError):
            (place / folder.name).mkdir(mode=0o700)
            return place / folder.name
    raise EmbeddedError(
        f"{socket_path(folder)} is too long for a Unix socket, whose path may have {SOCKET_BYTES} bytes: set TMPDIR to a "
        "shorter folder"
    )


def discard(folder: Path, patience_s: float) -> None:
    """Removes a run folder and its regions once its processes are gone; past patience_s it is left to a later sweep."""
    deadline = time.monotonic() + patience_s
    while not _abandoned(folder):
        if time.monotonic() > deadline:
            return
        time.sleep(POLL_S)
    _remove(folder)


@contextmanager
def errors_of_files() -> Iterator[None]:
    """Inside, an OSError becomes an EmbeddedError: a full or missing folder for temporary files, most of all."""
    try:
        yield
    except OSError as error:
        place = error.filename or "the folder for temporary files"
        raise EmbeddedError(
            f"the embedded server can't be started: {place}: {error.strerror or error}: make room there, or set TMPDIR"
        ) from error


def _sweep(root: Path) -> None:
    """Removes folders and regions of servers that are gone."""
    for folder in root.glob(f"{PREFIX}*_"):
        if _abandoned(folder):
            _remove(folder)
            log_path(folder).unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    for region in SHARED_MEMORY.glob(f"{folder.name}*"):
        region.unlink(missing_ok=True)
    for each in (*(place / folder.name for place in SHORT_PLACES), folder):
        shutil.rmtree(each, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True  # killed between making the folder and its lock, or halfway through removing it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keeps another start's sweep away from a folder whose lock is not yet held."""
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
