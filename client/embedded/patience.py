"""How long a server of a repository may take before it is given up: to load it, and to answer a request.

Owns that estimate. On a few cores both grow with the weights. Neither is a way to notice a death: the supervisor does that.
"""

from __future__ import annotations

from pathlib import Path

from client.embedded.overlay import graph_bytes

LEAST_S = 60.0
PER_GB_S = 180.0
"""Beside other work on 2 cores, Stable Diffusion 1.5 in float16 had rows that took more than 60 s a GB, one after another."""
ENGINES_S = 1800.0
"""While TensorRT builds engines of all leaves; assumed, not measured."""


def patience_s(repository: Path) -> float:
    """A minute, and three for every GB of graphs and weights."""
    return LEAST_S + PER_GB_S * sum(graph_bytes(model) for model in repository.iterdir()) / 1e9
