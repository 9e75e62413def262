"""The committed repository was exported from the committed pipeline."""

from __future__ import annotations

from client import contract
from export_scripts.builtin import PIPELINE, REPOSITORY
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.source import load_source
from export_scripts.repository.triton_config import read_config


def test_the_built_in_repository_serves_the_built_in_pipeline() -> None:
    """Weights, classes, draws, weights of timesteps, rule: a change of either needs `python -m export_scripts.builtin`."""
    identity = contract.identity_from_parameters(
        {
            name: {key: value.string_value for key, value in read_config(REPOSITORY / name).parameters.items()}
            for name in contract.LEAVES
        }
    )
    assert identity == make_leaves(load_source(PIPELINE), identity.draws).identity
