"""Which split a file is of: train, tuning or test.

Owns the shares of the splits. Must not know what files hold.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

SPLIT_SHARES = {"train": 0.6, "tuning": 0.15, "test": 0.25}


def splits_of(families: Sequence[str]) -> dict[str, str]:
    """Family → split, by class: the largest families first, each to the split that lacks most of its share.

    families: one for every drawing, CLASS/NAME.
    """
    sizes = Counter(families)
    found: dict[str, str] = {}
    for class_name in sorted({family.split("/")[0] for family in sizes}):
        own = [family for family in sizes if family.split("/")[0] == class_name]
        lacking = {split: share * sum(sizes[family] for family in own) for split, share in SPLIT_SHARES.items()}
        for family in sorted(own, key=lambda family: (-sizes[family], _scattered(family))):
            split = max(lacking, key=lambda name: lacking[name])
            found[family] = split
            lacking[split] -= sizes[family]
    return found


def _scattered(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
