"""One process at a time in a folder that is written.

A lock is the operating system's (flock) on a file in the folder, so it ends with the process that holds it, however
that ends. Its content says who that is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from selector.errors import SelectorError

LOCK_FILE = ".selector.lock"

_POLL_S = 0.2
_REMIND_S = 60.0
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def held(folder: Path, *, wait: bool, note: Callable[[str], None]) -> Iterator[None]:
    """Makes the folder where it is missing, and lets no other process into it until the end of the block.

    wait: whether to wait for the process that is in it, with a line by `note` at once and every minute; otherwise SelectorError
    names that process. Where the file system has no locks, a line says so and nothing is held. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(descriptor, folder, wait, note)
        with suppress(OSError):  # a full disk: the lock is held all the same, it only does not say by whom
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _myself().encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path, wait: bool, note: Callable[[str], None]) -> None:
    started = reminded = 0.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip() or "another process"
            if not wait:
                raise SelectorError(
                    f"{folder} is in use by {holder}: wait for it to end, leave --no-wait away, or name another folder"
                ) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            note(f"{folder} lies on a file system without locks: let no other process write to it meanwhile")
            return
        else:
            return
        now = time.monotonic()
        started = started or now
        if not reminded or now - reminded >= _REMIND_S:
            reminded = now
            since = f", for {now - started:.0f} s so far" if now - started >= 1 else "; --no-wait refuses instead"
            note(f"{folder} is in use by {holder}: waiting for it to end{since}")
        time.sleep(_POLL_S)


def _myself() -> str:
    command = " ".join([Path(sys.argv[0]).name, *map(_without_secrets, sys.argv[1:])])[:300]
    return f"process {os.getpid()} on {platform.node()} since {datetime.now():%Y-%m-%d %H:%M:%S} ({command})\n"


def _without_secrets(argument: str) -> str:
    """An argument, of a URL without its query, user and password."""
    return re.sub(r"://[^/@]*@", "://", argument.partition("?")[0]) if "://" in argument else argument
