"""The scripts of README.md and docs/client.md, and one call of `patch_scorer` against the selector's own path."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from client.embedded.server import EmbeddedServer
from client.rows import Answer, Row, encode_row, feature_row, loss_row
from client.scoring import ClientConfig, ScoringClient
from selector.builtin import builtin_repository, builtin_scenes
from selector.images.canvas import fit
from selector.images.datasets import Reader, list_items
from selector.images.decoding import decode

pytestmark = pytest.mark.server

ROOT = Path(__file__).parents[2]
PROMPT, REFERENCE, DRAW = 9, 3, 5


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(builtin_repository()) as running:
        yield running


def test_the_client_example_of_the_readme_runs_as_it_stands(
    server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("README.md", "ScoringClient", server)
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed.keys() == {"grey", "black"}
    assert all(float(value) != 0 for value in printed.values()), "a typicality of a real model is not exactly 0"


def test_the_script_without_our_client_runs_as_it_stands(
    server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("docs/client.md", "patch_scorer", server)
    printed = capsys.readouterr().out
    assert "'DELTA': (1, " in printed
    assert "'FEATURE': (1, " in printed


def run_script(document: str, word: str, server: EmbeddedServer) -> None:
    """Runs the only Python block of a document that has this word, with the server's address for the document's."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.S)
    (script,) = [block for block in blocks if word in block]
    assert "localhost:8001" in script
    exec(compile(script.replace("localhost:8001", server.grpc_url), document, "exec"), {})


def test_patch_scorer_equals_the_selectors_own_path(server: EmbeddedServer) -> None:
    with Reader(list_items(builtin_scenes())) as reader:
        image, _ = fit(decode(reader.read("bag/00007.png")), 64)
    one_call = call_patch_scorer(server.grpc_url, image)
    own = asyncio.run(own_path(server.grpc_url, image))
    for name in ("DELTA", "LOSS_PROMPT", "LOSS_REFERENCE", "FEATURE"):
        np.testing.assert_allclose(one_call[name], own[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert np.abs(own["DELTA"]).max() > 1e-4


def call_patch_scorer(url: str, image: np.ndarray) -> dict[str, np.ndarray]:
    inputs = [InferInput("IMAGE", (1, *image.shape), "UINT8").set_data_from_numpy(image[None])]
    for name, value in (("PROMPT_ID", PROMPT), ("REFERENCE_ID", REFERENCE), ("DRAW", DRAW)):
        inputs.append(InferInput(name, (1, 1), "INT32").set_data_from_numpy(np.full((1, 1), value, np.int32)))
    with InferenceServerClient(url) as plain:
        answer = plain.infer("patch_scorer", inputs)
    return {name: answer.as_numpy(name)[0] for name in ("DELTA", "LOSS_PROMPT", "LOSS_REFERENCE", "FEATURE")}


async def own_path(url: str, image: np.ndarray) -> dict[str, np.ndarray]:
    async with ScoringClient(ClientConfig(servers=(url,))) as client:

        async def answer(row: Row) -> Answer:
            (result,) = [result async for result in client.score([row])]
            assert isinstance(result, Answer)
            return result

        latent = (await answer(encode_row("image", image))).outputs["LATENT"]
        loss = await answer(loss_row("loss", latent, PROMPT, REFERENCE, DRAW))
        feature = await answer(feature_row("feature", image, PROMPT))
    return {**loss.outputs, **feature.outputs}
