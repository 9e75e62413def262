"""Which sources the patterns of --exclude leave out.

A pattern is that of a shell (* also goes over /, ?, [abc]) and stands for a whole name anywhere in the path, or for the
path from the data on.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from selector.errors import UsageError


class Exclusion:
    """Asked from the top down: what is below a folder that is left out needs no match of its own."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises UsageError for an empty pattern."""
        self._patterns: list[tuple[str, re.Pattern[str]]] = []
        for pattern in patterns:
            plain = pattern.removeprefix("./").strip("/")
            if not plain:
                raise UsageError(f"--exclude needs a pattern, such as 'cache' or '*.tmp.png', not {pattern!r}")
            self._patterns.append((pattern, re.compile(fnmatch.translate(plain))))

    def matching(self, source: str, name: str) -> str:
        """The first pattern that leaves out the source, whose last part is `name`; "" if none does."""
        for pattern, compiled in self._patterns:
            if compiled.match(name) or compiled.match(source):
                return pattern
        return ""
