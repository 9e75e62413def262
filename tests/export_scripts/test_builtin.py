"""The committed repository was exported from the committed pipeline."""

from __future__ import annotations

from client import contract
from client.repository import read_config
from export_scripts.builtin import PIPELINE
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.source import load_source
from selector.builtin import builtin_repository


def test_the_built_in_repository_serves_the_built_in_pipeline() -> None:
    """Weights, classes, draws, weights of timesteps, rule: a change of either needs `python -m export_scripts.builtin`."""
    identity = contract.identity_from_parameters(
        {
            name: {key: value.string_value for key, value in read_config(builtin_repository(), name).parameters.items()}
            for name in contract.LEAVES
        }
    )
    assert identity == make_leaves(load_source(PIPELINE), identity.draws).identity
