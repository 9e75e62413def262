"""Files behind a URL, through fsspec: read by ranges, tried again after a pause, and told of without secrets."""

from __future__ import annotations

import errno
import hashlib
import io
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from selector.errors import UsageError
from selector.images.locations import without_secrets
from selector.images.places import Stamp

_PAUSES_S = (0.2, 1.0)
"""Before a failed request is tried again."""

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}

_CHANGING = (
    "ETag",
    "etag",
    "md5Hash",
    "blob_id",
    "LastModified",
    "Last-Modified",
    "updated",
    "mtime",
    "created",
    "modified",
)
"""What file systems call that which tells a file's versions apart."""

Answer = TypeVar("Answer")


class RemoteBlob:
    """A file behind a URL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._system, self._path = filesystem(url)
        self._stamp = remote_stamp(url)

    def read(self, offset: int, size: int) -> bytes:
        """See Blob."""
        end = min(offset + size, self._stamp.size)
        if offset >= end:
            return b""
        content: bytes = insisted(lambda: self._system.cat_file(self._path, start=offset, end=end), self._url)
        if len(content) > end - offset:
            raise OSError(errno.EIO, "the server gives whole files where a range is asked for: download it")
        return content

    def stamp(self) -> Stamp:
        """See Blob; as it was when it was opened."""
        return self._stamp

    def close(self) -> None:
        """Nothing is held open."""


class RemoteFile(io.RawIOBase):
    """A file behind a URL as Python's; to be wrapped into a buffer, since every read is a request."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._blob, self._at = RemoteBlob(url), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.stamp().size}[whence]
        self._at = begin + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = self._blob.read(self._at, len(buffer))
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL and the path within it; raises UsageError if it is unknown or its package is missing."""
    protocol = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(url)
    except ImportError as error:
        raise UsageError(
            f"{protocol}:// needs a package that is not installed ({error}): pip install "
            f"'diffusion-selector[{_EXTRAS.get(protocol, 'remote')}]'"
        ) from None
    except ValueError as error:
        raise UsageError(f"{without_secrets(url)} can't be read: {_told(error, url)}") from None
    return system, str(path)


def remote_stamp(url: str) -> Stamp:
    """The size of a file behind a URL, and a number made of what tells its versions apart; raises OSError."""
    system, path = filesystem(url)
    found = insisted(lambda: system.info(path), url)
    if found.get("type") == "directory" or found.get("size") is None:
        raise OSError(errno.EIO, "a folder, or a file whose size the server does not say: download it")
    version = "\n".join(str(found[name]) for name in _CHANGING if found.get(name) is not None)
    digest = hashlib.blake2b(version.encode(), digest_size=7).digest()
    return Stamp(int(found["size"]), int.from_bytes(digest, "big"))


def insisted(ask: Callable[[], Answer], url: str) -> Answer:
    """What a request answers, tried again after each pause; raises OSError without secrets."""
    for pause_s in (*_PAUSES_S, None):
        try:
            return ask()
        except Exception as error:  # every file system has errors of its own
            problem = _as_os_error(error, url)
            if pause_s is None or isinstance(problem, FileNotFoundError | PermissionError):
                raise problem from None
        time.sleep(pause_s)
    raise AssertionError("the last attempt returns or raises")


def _as_os_error(error: Exception, url: str) -> OSError:
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # over HTTP, whatever goes wrong with a file is called not found
    status = getattr(error, "status", None)
    told = _told(error, url)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(errno.ENOENT, "no such file", without_secrets(url))
    if isinstance(error, PermissionError) or status in (401, 403):
        return PermissionError(errno.EACCES, f"not permitted: {told}", without_secrets(url))
    return OSError(errno.EIO, told, without_secrets(url))


def _told(error: Exception, url: str) -> str:
    """The error's text, in one line, without the URL's secrets."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    for secret in _secrets(url):
        text = text.replace(secret, "…")
    return text[:300]


@lru_cache(maxsize=64)
def _secrets(url: str) -> tuple[str, ...]:
    """The parts of a URL that nothing shows: as a whole, and what people write for user, password and query."""
    bare = without_secrets(url)
    if bare == url:
        return ()
    parts = urlsplit(url)
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    return tuple(filter(None, (parts.netloc.rpartition("@")[0], password, parts.query, user and f"{user}@")))
