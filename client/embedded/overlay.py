"""The repository as this server version serves it well: links to the models, configs without queue policies.

Owns one workaround. A model whose dynamic batching has a queue policy can't prefetch, and 2.51 then loses the batcher's
wake-ups: requests that came while the instance was busy wait up to 0.5 s beside an idle engine (seen: 2 to 9 such gaps
in 100 full batches, 182 rows/s instead of 236; a burst of 16 single rows took 1.0 s instead of 0.02 s). Later versions
close that race, so the policy stays in the repository for them. Here the one client bounds its rows in flight.
"""

from __future__ import annotations

import re
from pathlib import Path

CONFIG_FILE = "config.pbtxt"
# At the start of a line it is the field: a string never spans lines in this format.
_POLICY = re.compile(r"^[ \t]*(default_queue_policy|priority_queue_policy)\s*:?\s*\{", re.MULTILINE)


def write_overlay(repository: Path, folder: Path) -> Path:
    """Makes `folder` a repository of the models of `repository`, and returns it."""
    for config in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        model = folder / config.parent.name
        model.mkdir(parents=True)
        for entry in config.parent.iterdir():
            if entry != config:
                (model / entry.name).symlink_to(entry)
        (model / CONFIG_FILE).write_text(without_queue_policies(config.read_text(encoding="utf-8")), encoding="utf-8")
    return folder


def without_queue_policies(config: str) -> str:
    """A config.pbtxt's text less its queue policies, all else as it was."""
    while found := _POLICY.search(config):
        end, depth = found.end(), 1
        while depth and end < len(config):  # a policy holds no strings, so every brace counts
            depth += {"{": 1, "}": -1}.get(config[end], 0)
            end += 1
        config = config[: found.start()] + config[end:].removeprefix("\n")
    return config
