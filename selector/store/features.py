"""Features of patches that lie in a store's commits: chosen and sorted without being read, read when asked for.

Selecting an ImageNet would else hold 3.3 GB, several times over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selector.store.commits import read_vectors


@dataclass(frozen=True)
class CommittedVectors:
    """The vectors of one commit: its stem, how many there are, and the digest that it was committed with ("" if none)."""

    stem: str
    rows: int
    digest: str


@dataclass(frozen=True)
class StoredFeatures:
    """float16 [n, width] in memory-mapped commits: np.asarray(features) reads them and verifies their checksums.

    folder: of the commits. commits: those that rows are of. commit, row: int32 [n], which commit and which of its rows.
    Indexing by an array of rows, or a mask, gives the features of these rows, unread. Values of this kind may be sent
    to other processes.
    """

    folder: Path
    commits: tuple[CommittedVectors, ...]
    commit: NDArray[np.int32]
    row: NDArray[np.int32]
    width: int

    @classmethod
    def of(cls, folder: Path, commits: Sequence[CommittedVectors], width: int) -> StoredFeatures:
        """All vectors of these commits, one after the other."""
        lengths = [commit.rows for commit in commits]
        number = np.repeat(np.arange(len(commits), dtype=np.int32), lengths)
        row = np.concatenate([np.empty(0, np.int32), *(np.arange(length, dtype=np.int32) for length in lengths)])
        return cls(folder, tuple(commits), number, row, width)

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, rows: Any, /) -> StoredFeatures:
        used, commit = np.unique(self.commit[rows], return_inverse=True)
        kept = tuple(self.commits[number] for number in used)
        return replace(self, commits=kept, commit=commit.astype(np.int32), row=self.row[rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Reads the rows; raises StoreError if a commit that they are of is damaged or was replaced."""
        if copy is False:
            raise ValueError("features of a store are read from disk: they can't be had without a copy")
        read = np.empty((len(self), self.width), np.float16)
        for number, commit in enumerate(self.commits):
            mine = np.flatnonzero(self.commit == number)
            vectors = read_vectors(self.folder, commit.stem, commit.digest, verify=True)
            read[mine] = vectors[self.row[mine]]
        return read if dtype is None else read.astype(dtype, copy=False)

    def identity(self) -> bytes | None:
        """Bytes that are equal only for the same vectors in the same order, without reading them.

        Made of what the commits were written with; None if one of them, by an earlier version, has no digest.
        """
        if not all(commit.digest for commit in self.commits):
            return None
        made = hashlib.blake2b(digest_size=32)
        made.update(repr([self.width, [commit.digest for commit in self.commits]]).encode())
        made.update(self.commit.astype("<i4").tobytes())
        made.update(self.row.astype("<i4").tobytes())
        return made.digest()
