"""A server without Triton's extensions: a repository says what it serves, and the client chains what it lacks."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client import contract
from client.contract import Tensor
from client.errors import ContractError, ServerError
from client.golden import golden_parameters
from client.inspection import answers, inspect
from client.rows import Answer, Failure, Result, Row, encode_row, feature_row, loss_row
from client.scoring import ScoringClient
from client.statistics import Statistics
from client.wire import Security
from export_scripts.gates.golden import from_graphs, in_onnx_runtime
from export_scripts.repository.triton_config import add_parameters
from tests.client.fake_core import FakeCore
from tests.client.fake_triton import LATENT, FakeTriton, Fault
from tests.client.test_scoring import collect, config
from tests.toy_repository import GEOMETRY, IDENTITY, toy_feature, toy_latent, toy_loss, write_toy_repository

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy repository with golden rows, as its own graphs answer them."""
    folder = write_toy_repository(tmp_path_factory.mktemp("toy") / "repository")
    models = contract.models(GEOMETRY)
    graphs = {name: folder / name / "1" / "model.onnx" for name in contract.LEAVES}
    made = from_graphs(models, "fp32", in_onnx_runtime(models, graphs, 1), {}, list(models))
    for name, golden in made.items():
        add_parameters(folder / name, golden_parameters(golden))
    return folder


def everything(count: int) -> list[Row]:
    """Rows of all models that have rows, and of `patch_scorer`."""
    losses = [loss_row(("loss", i), LATENT, 1 + i % 3, i % 4, i % 4) for i in range(count)]
    indices = {
        name: np.array([number], np.int32) for name, number in (("PROMPT_ID", 1), ("REFERENCE_ID", 3), ("DRAW", 3))
    }
    whole = Row(contract.PATCH_SCORER, "whole", {"IMAGE": IMAGE, **indices})
    return [*losses, encode_row("latent", IMAGE), feature_row("feature", IMAGE, 2), whole]


def scored(
    served: Path,
    rows: list[Row],
    prepare: Callable[[FakeCore], object] = lambda server: None,
    trouble: Callable[[FakeCore], object] = lambda server: None,
    said: Path | None = None,
    **changes: Any,
) -> tuple[dict[Any, Result], Statistics, FakeCore]:
    """Scores rows on a prepared server, which gets into trouble once its golden rows are answered."""

    async def main() -> tuple[dict[Any, Result], Statistics, FakeCore]:
        async with FakeCore(served) as server:
            prepare(server)
            changed = {"repository": said or served, **changes}
            async with ScoringClient(config(server, **changed)) as client:  # type: ignore[arg-type]
                trouble(server)
                server.asked.clear()
                return await collect(client.score(rows)), client.statistics(), server

    return asyncio.run(main())


def outputs(result: Result) -> dict[str, np.ndarray]:
    assert isinstance(result, Answer), result
    return dict(result.outputs)


def typed(server: FakeCore) -> None:
    server.typed, server.echo = True, False


@pytest.mark.parametrize("prepare", [lambda server: None, typed], ids=["raw", "typed, ids lost"])
def test_all_models_are_answered_by_the_four_leaves(repository: Path, prepare: Callable[[FakeCore], object]) -> None:
    """As the arithmetic of the toy repository says, whichever way a server writes numbers."""
    results, statistics, server = scored(repository, everything(20), prepare)
    for i in range(20):
        for name, value in toy_loss(LATENT, 1 + i % 3, i % 4, i % 4).items():
            np.testing.assert_allclose(outputs(results["loss", i])[name], value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs(results["latent"])["LATENT"], toy_latent(IMAGE), rtol=1e-5)
    np.testing.assert_allclose(outputs(results["feature"])["FEATURE"], toy_feature(IMAGE, 2), rtol=1e-5)
    whole = outputs(results["whole"])
    np.testing.assert_allclose(whole["FEATURE"], toy_feature(IMAGE, 1), rtol=1e-5)
    np.testing.assert_allclose(whole["DELTA"], toy_loss(toy_latent(IMAGE), 1, 3, 3)["DELTA"], rtol=1e-5, atol=1e-6)
    assert set(server.asked) == set(contract.LEAVES)
    assert statistics.rows == 23


def test_an_ensemble_that_the_server_has_is_not_chained(repository: Path) -> None:
    results, _, server = scored(
        repository, everything(4), lambda server: server.models.append(contract.NOISE_LOSS), rows_in_flight=64
    )
    for name, value in toy_loss(LATENT, 2, 1, 1).items():
        np.testing.assert_allclose(outputs(results["loss", 1])[name], value, rtol=1e-5, atol=1e-6)
    assert server.asked[contract.NOISE_LOSS] == 1
    assert server.asked[contract.PATCH_FEATURES] == 0


def test_without_a_repository_the_error_says_what_to_give(repository: Path) -> None:
    with pytest.raises(ContractError, match=r"\(core 7\) can't say what it serves.*--repository DIR beside --server"):
        scored(repository, [], repository=None)


def test_a_leaf_that_is_not_there_is_named(repository: Path) -> None:
    with pytest.raises(ContractError, match=r"does not have the models dift_extractor of .*repository"):
        scored(repository, [], lambda server: server.models.remove(contract.DIFT))


def _latent(datatype: str, *shape: int) -> Callable[[FakeCore], object]:
    return lambda server: server.metadata.update({contract.UNET: (Tensor("LATENT", datatype, shape),)})


@pytest.mark.parametrize("shape", [(-1, 3, 4, 4), (8, 3, 4, 4), (-1, -1, -1, -1)])
def test_metadata_may_leave_dimensions_open(repository: Path, shape: tuple[int, ...]) -> None:
    results, _, _ = scored(repository, everything(1), _latent("FP32", *shape))
    assert len(results) == 4


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_latent("FP16", -1, 3, 4, 4), r"LATENT: expected FP32 \[n, 3, 4, 4\].*say FP16 \[-1, 3, 4, 4\]"),
        (_latent("FP32", -1, 3, 8, 8), r"LATENT: expected FP32 \[n, 3, 4, 4\].*say FP32 \[-1, 3, 8, 8\]"),
        (_latent("FP32", 3, 4, 4), r"LATENT: expected FP32 \[n, 3, 4, 4\].*say FP32 \[3, 4, 4\]"),
        (
            lambda server: server.metadata.update({contract.DIFT: (Tensor("SAMPLE", "FP32", (-1, 4)),)}),
            "tensor SAMPLE: expected none of this name",
        ),
    ],
)
def test_metadata_that_contradict_the_repository_are_refused(
    repository: Path, prepare: Callable[[FakeCore], object], words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        scored(repository, [], prepare)


@pytest.mark.parametrize("transport", ["stream", "shared-memory"])
def test_a_transport_of_tritons_asked_for_by_name_is_refused(repository: Path, transport: str) -> None:
    """MLServer has a method of the stream's name that speaks another protocol."""
    with pytest.raises(ServerError, match=f"transport {transport} is an extension of Triton's.*choose unary or auto"):
        scored(repository, [], transport=transport)


def test_auto_sends_large_requests_in_unary_calls_and_says_nothing(
    repository: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("client.wire.transports.STREAM_BYTES", 1)
    monkeypatch.setattr("client.wire.transports.SHARED_BYTES", 1)
    with caplog.at_level(logging.DEBUG):
        results, statistics, _ = scored(repository, everything(8))
    assert len(results) == 11
    assert (statistics.shared_requests, statistics.shared_fallbacks) == (0, 0)
    assert not [record for record in caplog.records if record.name.startswith("client")]


def test_a_chained_inference_is_retried_as_one(repository: Path) -> None:
    """From its first step: another server may be the one that answers."""
    faults = {contract.UNET: deque([Fault("UNAVAILABLE")])}
    rows = everything(4)[:4]
    results, statistics, _ = scored(repository, rows, trouble=lambda server: server.script.update(faults))
    assert all(isinstance(result, Answer) for result in results.values())
    assert (statistics.retries, statistics.requests) == ({"unavailable": 1}, 2)


def test_a_row_that_fails_in_a_step_fails_alone(repository: Path) -> None:
    """NaN between the steps stays in its row."""

    def spoil(array: np.ndarray) -> np.ndarray:
        return np.where(array == 2, np.float32("nan"), array)  # COND of prompt 2

    results, _, _ = scored(repository, everything(6)[:6], trouble=lambda server: server.spoil.update(COND=spoil))
    failed = {key for key, result in results.items() if isinstance(result, Failure)}
    assert failed == {("loss", 1), ("loss", 4)}


def test_a_step_that_answers_otherwise_than_declared_ends_the_run(repository: Path) -> None:
    def spoil(array: np.ndarray) -> np.ndarray:
        return array.reshape(-1)  # as TorchServe does

    with pytest.raises(
        ContractError, match=r"'prompt_embedding' answered COND wrongly: expected float32 \[4, 2, 5\], got"
    ):
        scored(repository, everything(4)[:4], trouble=lambda server: server.spoil.update(COND=spoil))


def test_a_server_of_other_weights_is_refused_by_its_answers(repository: Path) -> None:
    """Nothing else tells it from the right one: it says nothing of itself. The part at fault is named."""
    with pytest.raises(
        ContractError, match=r"the golden rows of 'noise_loss' wrongly.*of its parts: unet_noise_predictor"
    ):
        scored(repository, [], lambda server: server.spoil.update(DELTA=lambda array: array * np.float32(1.01)))


def test_a_repository_without_golden_rows_is_no_proof(repository: Path, tmp_path: Path) -> None:
    older = write_toy_repository(tmp_path / "older")
    with pytest.raises(
        ContractError, match=r"has no golden rows of vae_encoder, .*selector export --reuse .*older adds them"
    ):
        scored(repository, [], said=older)


def test_both_kinds_of_servers_score_side_by_side(repository: Path) -> None:
    async def main() -> None:
        async with FakeCore(repository) as core, FakeTriton() as triton:
            both = config(core, triton, repository=repository)  # type: ignore[arg-type]
            async with ScoringClient(both) as client:
                results = await collect(client.score(everything(64)[:64]))
        assert all(isinstance(result, Answer) for result in results.values())
        assert core.asked[contract.UNET]
        assert triton.batches

    asyncio.run(main())


def test_a_server_that_says_what_it_serves_must_serve_the_repository(repository: Path) -> None:
    """Whatever the order of draws: calibration writes another one, and asks a server that does not know it yet."""

    async def enter(identity: contract.Identity) -> contract.Identity:
        async with (
            FakeTriton(identity=identity) as server,
            ScoringClient(config(server, repository=repository)) as client,
        ):
            return client.identity

    calibrated = replace(IDENTITY, draw_order=(3, 2, 1, 0), auto_draws=2)
    assert asyncio.run(enter(calibrated)) == calibrated
    with pytest.raises(
        ContractError, match=r"does not serve .*: precision: expected fp32, served fp16; leave --repository"
    ):
        asyncio.run(enter(replace(IDENTITY, precision="fp16")))


def test_the_doctor_tells_of_every_model(repository: Path) -> None:
    async def main() -> None:
        async with FakeCore(repository, [contract.VAE_ENCODER, contract.UNET, contract.NOISE_LOSS]) as server:
            found = await inspect(server.address, Security())
        assert found.software == "core 7"
        by_name = {model.name: model for model in found.models}
        assert by_name[contract.UNET].ready
        assert not by_name[contract.DIFT].ready
        assert by_name[contract.PATCH_SCORER].ready
        assert "asks its steps" in by_name[contract.PATCH_SCORER].detail
        assert by_name[contract.NOISE_LOSS].detail.startswith("ready")
        async with FakeCore(repository) as server:
            asked = await answers(server.address, Security(), repository)
        assert {one.name for one in asked} == set(by_name)
        assert all(one.worst is not None and one.worst.allowed and one.batches == (1, 8) for one in asked)

    asyncio.run(main())
