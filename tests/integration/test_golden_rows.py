"""A server is believed by its answers: real servers of wrong engines, through the command and an address alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from client import contract
from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from client.errors import ContractError
from client.rows import loss_row
from client.scoring import ClientConfig, ScoringClient
from client.wire import Health, Security
from export_scripts.export import export_pipeline
from export_scripts.settings import FP16, Settings
from selector.builtin import builtin_repository
from selector.doctor import examine
from tests.conftest import made_once
from tests.e2e.command import selector
from tests.integration.processes import until
from tests.integration.wrong_engines import (
    Edit,
    conditions_swapped,
    half_graph,
    one_weight_changed,
    output_scaled,
    rounded_to_half,
    rows_mixed,
    with_graph,
)
from tests.tiny_pipeline import DRAWS

pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(embedded_problem()), reason=str(embedded_problem()))]


@pytest.fixture(scope="session")
def tiny_half_repository(tiny_pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_pipeline` in float16. Do not write into it."""

    def export(folder: Path) -> None:
        export_pipeline(tiny_pipeline, folder, Settings(draws=DRAWS, served_gate=False, precision=FP16))

    return made_once(tmp_path_factory, "tiny-half-repository", export)


def refused(address: str, tmp_path: Path) -> str:
    """What `selector score` says of a server that it refuses; nothing is written."""
    store = tmp_path / "store"
    done = selector("score", "--limit-per-class", 1, "--store", store, "--server", address, code=4)
    assert not list(store.glob("*/*.parquet"))
    return done.stderr


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (one_weight_changed(0.05), ()),
        (conditions_swapped, ()),
        (rows_mixed, ("it answers rows of a batch for one another",)),
        (rounded_to_half, ()),
        (output_scaled("DELTA", 1.01), ("DELTA of row",)),
    ],
    ids=["one weight", "conditions swapped", "rows mixed", "fp16 inside", "scaled by 1.01"],
)
def test_a_server_of_a_wrong_unet_is_refused_at_the_start(edit: Edit, words: tuple[str, ...], tmp_path: Path) -> None:
    """Its configuration is the right one, word by word; the message names the model that rows go to, and the part at fault."""
    repository = with_graph(builtin_repository(), tmp_path / "repository", contract.UNET, edit)
    with EmbeddedServer(repository, threads=1) as server:
        told = refused(server.grpc_url, tmp_path)
    for word in (f"{server.grpc_url} answers the golden rows of 'noise_loss' wrongly", *words):
        assert word in told, told
    assert "of its parts: unet_noise_predictor" in told, told


def test_an_encoder_of_another_scale_is_refused(tmp_path: Path) -> None:
    repository = with_graph(
        builtin_repository(), tmp_path / "repository", contract.VAE_ENCODER, output_scaled("LATENT", 1.01)
    )
    with EmbeddedServer(repository, threads=1) as server:
        assert "the golden rows of 'vae_encoder' wrongly: LATENT" in refused(server.grpc_url, tmp_path)


def test_a_float16_graph_is_refused_where_float32_is_claimed(
    tiny_repository: Path, tiny_half_repository: Path, tmp_path: Path
) -> None:
    """The graph of a real float16 export, whose own repository passes."""
    half = half_graph(tiny_half_repository / contract.UNET / "1" / "model.onnx")
    repository = with_graph(tiny_repository, tmp_path / "repository", contract.UNET, half)
    with EmbeddedServer(repository, threads=1) as server, pytest.raises(ContractError, match=r"noise_loss.*unet_noise"):
        asyncio.run(entered(server.grpc_url))
    with EmbeddedServer(tiny_half_repository, threads=1) as server:
        asyncio.run(entered(server.grpc_url))
        found = [f for f in examine((server.grpc_url,)) if " answers of " in f.what]
    assert len(found) == 7
    assert all(f.ok for f in found), found


async def entered(address: str) -> float:
    """Seconds until a client is ready."""
    started = time.monotonic()
    async with ScoringClient(ClientConfig((address,))):
        return time.monotonic() - started


def test_doctor_says_how_far_every_model_is_off(tmp_path: Path) -> None:
    """Alone and in the largest batch; rows that are mixed up show in the batch alone."""
    repository = with_graph(builtin_repository(), tmp_path / "repository", contract.DIFT, rows_mixed)
    with EmbeddedServer(repository, threads=1) as server:
        found = {
            f.what.rpartition(" ")[2]: f for f in examine((server.grpc_url,), Security()) if " answers of " in f.what
        }
        summary = next(f for f in examine((server.grpc_url,)) if f.what == f"server {server.grpc_url}")
    assert set(found) == {*contract.LEAVES, *contract.ENSEMBLES}
    assert {name for name, f in found.items() if not f.ok} == {"dift_extractor", "patch_features", "patch_scorer"}
    assert all("(batches of 1 and 16)" in f.detail for f in found.values())
    assert "0.001 is allowed" in found["noise_loss"].detail
    assert not summary.ok
    assert "patch_features" in summary.detail


def test_a_server_without_golden_rows_is_used_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, toy_server: EmbeddedServer
) -> None:
    """A repository of an older export: once for each client, and by doctor, with the command that adds them."""
    asyncio.run(entered(toy_server.grpc_url))
    (line,) = [record.getMessage() for record in caplog.records if "golden rows" in record.getMessage()]
    assert "has no golden rows of vae_encoder, noise_loss, patch_features" in line
    assert "selector export --reuse" in line
    (finding,) = [f for f in examine((toy_server.grpc_url,)) if f.what.endswith("golden rows")]
    assert (finding.ok, finding.needed) == (False, False)
    assert "selector export --reuse" in finding.detail


def test_a_replica_that_comes_back_wrong_ends_the_run(tiny_repository: Path, tmp_path: Path) -> None:
    """The server is killed, and what its supervisor starts in its place serves another graph."""
    folder = tmp_path / "repository"
    shutil.copytree(tiny_repository, folder)
    wrong = with_graph(tiny_repository, tmp_path / "wrong", contract.UNET, conditions_swapped)

    async def main(server: EmbeddedServer) -> None:
        async with ScoringClient(ClientConfig((server.grpc_url,))) as client:
            latent = np.zeros(client.geometry.latent, np.float32)
            rows = (loss_row(key, latent, 1, 0, key % DRAWS) for key in range(10**9))
            count = 0
            try:
                async for _ in client.score(rows):
                    count += 1
                    if count == 50:
                        (wrong / contract.UNET / "1" / "model.onnx").replace(
                            folder / contract.UNET / "1" / "model.onnx"
                        )
                        os.kill(server.pid, signal.SIGKILL)
            finally:
                assert client.statistics().golden_failures == 1

    with EmbeddedServer(folder, restarts=10, threads=1) as server:
        with pytest.raises(ContractError, match=r"golden rows of 'noise_loss' wrongly.*unet_noise_predictor"):
            asyncio.run(asyncio.wait_for(main(server), 120))
        until(lambda: Health(server.grpc_url).live(), "the server is live", 60)
