"""Who works on which shard of a store: files in work/, so that several writers do not do the same work.

Claims are advice. What decides is the commit (commits.py), so nothing is lost or done wrong where a claim is lost, doubled or
stale; it costs rows that are scored twice. Ages are differences of times that one file system gave, so no clock of a machine is
read, and no lock daemon is needed.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import platform
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from selector.folders.files import file_errors, file_time

FOLDER = "work"
STALE_S = 90.0
"""Seconds after which somebody on another machine who does not say that he lives is taken to be gone."""

_BEAT_S = 15.0
_FORGOTTEN_S = 86_400.0
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # then nobody claims anything


@dataclass(frozen=True)
class Writer:
    """A process that scores. began: of the process, in ticks since its machine started, so that a number used again is another
    process. since: in seconds since 1970, by the clock of the store's file system."""

    id: str
    host: str
    pid: int
    began: str
    part: str
    since: float

    @classmethod
    def here(cls, part: str) -> Writer:
        """This process, not registered yet."""
        return cls(uuid.uuid4().hex, _host(), os.getpid(), _began(os.getpid()), part, since=0.0)

    def gone(self) -> bool:
        """Whether the process is known to have ended: one of this machine that is not there."""
        return self.host == _host() and _began(self.pid) != self.began

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition('/')[0]}"


@dataclass(frozen=True)
class Claim:
    """A shard that somebody works on. stage: "images" or "patches"."""

    stage: str
    shard: int
    writer: Writer
    live: bool


class Claims:
    """The claims of one writer on a store."""

    def __init__(self, store: Path, part: str) -> None:
        self.store, self.folder = store, store / FOLDER
        self.writer = Writer.here(part)

    @contextmanager
    def registered(self) -> Iterator[None]:
        """The folder is there in the block, and says that this process works on the store.

        What killed ones left goes at the end.
        """
        with file_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.writer = replace(self.writer, since=file_time(self.folder))
            self._beat.write_text(json.dumps(asdict(self.writer)), encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                self._beat.unlink(missing_ok=True)
                _sweep(self.folder)

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Says every few seconds in the block that this process lives."""
        task = asyncio.create_task(self._beats())
        try:
            yield
        finally:
            task.cancel()

    def take(self, stage: str, shard: int) -> bool:
        """Claims a shard that nobody works on who lives; OSError means a store that can't be written."""
        held = self.folder / f"{stage}-{shard:05d}"
        while True:
            try:
                held.symlink_to(self._beat.name)
            except FileExistsError:
                if not self._left(held):
                    return False
                held.unlink(missing_ok=True)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return True
            else:
                return True

    def release(self, stage: str, shard: int) -> None:
        """Gives a shard back."""
        with suppress(OSError):
            (self.folder / f"{stage}-{shard:05d}").unlink(missing_ok=True)

    def alone(self) -> bool:
        """Whether nobody else works on the store."""
        return all(writer.id == self.writer.id for writer in writers(self.store))

    def _left(self, held: Path) -> bool:
        """Whether a claim is of somebody who is gone."""
        with suppress(OSError):
            return not _lives(self.folder, held.readlink().name)
        return True

    @cached_property
    def _beat(self) -> Path:
        return self.folder / f"writer.{self.writer.id}"

    def beat(self) -> None:
        """Says once that this process lives."""
        with suppress(OSError):
            os.utime(self._beat)

    async def _beats(self) -> None:
        while True:
            await asyncio.to_thread(self.beat)
            await asyncio.sleep(_BEAT_S)


def writers(store: Path) -> list[Writer]:
    """Who works on the store now."""
    folder = store / FOLDER
    found = [_read(path) for path in folder.glob("writer.*") if _lives(folder, path.name)]
    return sorted((one for one in found if one is not None), key=lambda one: (one.since, one.id))


def claims(store: Path) -> list[Claim]:
    """What is being worked on, by shard."""
    folder, found = store / FOLDER, []
    for path in sorted([*folder.glob("images-*"), *folder.glob("patches-*")]):
        with suppress(OSError, ValueError):
            stage, number = path.name.split("-")
            writer = _read(folder / path.readlink().name)
            if writer is not None:
                found.append(Claim(stage, int(number), writer, _lives(folder, path.readlink().name)))
    return found


def _lives(folder: Path, name: str) -> bool:
    path = folder / name
    writer = _read(path)
    if writer is None or writer.gone():
        return False
    if writer.host == _host():
        return True
    with suppress(OSError):  # it ended just now
        # A time that lies ahead is of before the clock was set back; whoever lives says so by the new one in a few seconds.
        return abs(file_time(folder) - path.stat().st_mtime) < STALE_S
    return False


def _sweep(folder: Path) -> None:
    """Removes writers that are known to be gone, or silent for a day, and claims of writers that are not there."""
    now = file_time(folder)
    for path in folder.glob("writer.*"):
        writer = _read(path)  # None while it is being written
        if (writer is not None and writer.gone()) or now - path.stat().st_mtime > _FORGOTTEN_S:
            path.unlink(missing_ok=True)
    for path in (*folder.glob("images-*"), *folder.glob("patches-*")):
        if not path.exists():  # it follows the link
            path.unlink(missing_ok=True)


def _read(path: Path) -> Writer | None:
    try:
        return Writer(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _host() -> str:
    """What tells the processes of this machine from those of another, containers with process numbers of their own included."""
    own = ""
    with suppress(OSError):
        own = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()}/{own}"


def _began(pid: int) -> str:
    """When a process began, in ticks; "" if it is not there. Where that can't be told, "?" for one that is there."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    if Path("/proc/self").exists():
        return ""
    with suppress(PermissionError):  # of a process of somebody else
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return ""
    return "?"
