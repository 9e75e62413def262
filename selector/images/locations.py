"""Where a data set lies: a path of this machine, or a location, which is a URL or a pattern of several files.

Secrets of a URL (user and password, and the query that signs it) are used for reading. They show nowhere: a location as text,
which is what stores, manifests and messages have, is without them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_MAGIC = "*?[{"
_WEB = ("http", "https")


@dataclass(frozen=True)
class Location:
    """A URL, or a pattern of paths with *, ?, [abc] or braces such as {000..127} and {a,b}."""

    text: str

    def __str__(self) -> str:
        return without_secrets(self.text)

    def __truediv__(self, source: str) -> str:
        """An item as messages name it."""
        return f"{self}/{source}"

    @property
    def name(self) -> str:
        """A name for its output: that of the file, or what comes before the first variable part."""
        parts = str(self).rstrip("/").split("/")
        plain = [part[: min(map(part.find, found))] if (found := _magic_of(part)) else part for part in parts]
        return next((name for part in reversed(plain) if (name := part.strip("-_. "))), "data")

    @property
    def is_remote(self) -> bool:
        """Whether it is a URL."""
        return is_url(self.text)

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for several files."""
        return bool(_magic_of(urlsplit(self.text)._replace(query="").geturl() if self._on_the_web else self.text))

    @property
    def _on_the_web(self) -> bool:
        return self.text.partition("://")[0] in _WEB

    def resolve(self) -> Location:
        """What two locations of the same data have in common: absolute and without secrets."""
        return Location(str(self) if self.is_remote else str(Path(os.path.abspath(self.text))))  # noqa: PTH100  # no links

    def exists(self) -> bool:
        """True: whether there is anything is seen when it is listed."""
        return True

    def is_dir(self) -> bool:
        """False: it is no folder of this machine."""
        return False

    def opened(self, container: str) -> str:
        """A container of this data with the secrets that reading it takes."""
        if not (self.is_remote and is_url(container)):
            return container
        whole, bare = urlsplit(self.text), urlsplit(container)
        user, at, host = whole.netloc.rpartition("@")
        if (whole.scheme, host) != (bare.scheme, bare.netloc):
            return container
        return urlunsplit(bare._replace(netloc=user + at + host, query=whole.query if self._on_the_web else bare.query))


Data = Path | Location


def data_at(text: str) -> Data:
    """The data at a path, a URL or a pattern; what exists under exactly this path is no pattern."""
    path = Path(text)
    return Location(text) if is_url(text) or (_magic_of(text) and not path.exists()) else path


def is_url(text: str) -> bool:
    """Whether a container, or DATA, is a URL and no path."""
    return "://" in text


def reached(root: Data, container: str) -> str:
    """A container of the data as it has to be opened."""
    return root.opened(container) if isinstance(root, Location) else container


def without_secrets(text: str) -> str:
    """A URL without user, password, and the query of a web address; a path as it is."""
    if not is_url(text):
        return text
    parts = urlsplit(text)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    return urlunsplit(bare._replace(query="", fragment="") if parts.scheme in _WEB else bare)


def _magic_of(text: str) -> list[str]:
    return [character for character in _MAGIC if character in text]
