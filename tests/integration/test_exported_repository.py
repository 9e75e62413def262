"""An exported repository in the real server: it loads, is warm, and answers what eager torch computes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tritonclient import grpc as triton

from client import contract
from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from export_scripts.graphs.leaves import make_leaves
from export_scripts.pipelines.source import load_source
from tests.tiny_pipeline import DRAWS, RESOLUTION

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]


@pytest.fixture(scope="module")
def served(tiny_repository: Path) -> Iterator[triton.InferenceServerClient]:
    with EmbeddedServer(tiny_repository) as server, triton.InferenceServerClient(server.grpc_url) as client:
        yield client


def infer(client: triton.InferenceServerClient, model: str, **arrays: np.ndarray) -> triton.InferResult:
    inputs = []
    for name, array in arrays.items():
        inputs.append(triton.InferInput(name, array.shape, {"uint8": "UINT8", "int32": "INT32"}[array.dtype.name]))
        inputs[-1].set_data_from_numpy(array)
    return client.infer(model, inputs)


def test_the_served_metadata_are_the_spec(tiny_pipeline: Path, served: triton.InferenceServerClient) -> None:
    geometry = make_leaves(load_source(tiny_pipeline), DRAWS).geometry
    for name, model in contract.models(geometry).items():
        metadata = served.get_model_metadata(name)
        for tensors, found in ((model.inputs, metadata.inputs), (model.outputs, metadata.outputs)):
            expected = {tensor.name: (tensor.datatype, (-1, *tensor.shape)) for tensor in tensors}
            assert {tensor.name: (tensor.datatype, tuple(tensor.shape)) for tensor in found} == expected


def test_the_patch_scorer_answers_what_eager_torch_computes(
    tiny_pipeline: Path, served: triton.InferenceServerClient
) -> None:
    leaves = make_leaves(load_source(tiny_pipeline), DRAWS).by_name
    image = np.random.default_rng(0).integers(0, 256, (4, RESOLUTION, RESOLUTION, 3), dtype=np.uint8)
    prompt, reference, draw = (
        np.array(column, np.int32).reshape(4, 1) for column in ((1, 2, 3, 1), (0, 3, 1, 2), (0, 5, 9, 15))
    )
    with torch.no_grad():
        latent = leaves[contract.VAE_ENCODER].module(torch.from_numpy(image))
        cond, other = leaves[contract.PROMPT_EMBEDDING].module(torch.from_numpy(prompt), torch.from_numpy(reference))
        expected = leaves[contract.UNET].reference(latent, cond, other, torch.from_numpy(draw))
        feature = leaves[contract.DIFT].module(latent, cond)
    answer = infer(served, contract.PATCH_SCORER, IMAGE=image, PROMPT_ID=prompt, REFERENCE_ID=reference, DRAW=draw)
    for name, tensor in zip(("DELTA", "LOSS_PROMPT", "LOSS_REFERENCE"), expected, strict=True):
        np.testing.assert_allclose(answer.as_numpy(name), tensor, rtol=1e-4, atol=1e-4 * float(tensor.abs().max()))
    np.testing.assert_allclose(answer.as_numpy("FEATURE"), feature, rtol=1e-4, atol=1e-6)
    alone = infer(served, contract.PATCH_FEATURES, IMAGE=image, PROMPT_ID=prompt)
    np.testing.assert_allclose(alone.as_numpy("FEATURE"), answer.as_numpy("FEATURE"), rtol=0, atol=1e-6)
