"""Golden rows are asked at the start, and of every replica that comes back; fakes whose answers a test can bend."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from client import contract
from client.errors import ContractError, ServerError
from client.golden import Golden, expected, golden_parameters, inputs
from client.rows import loss_row
from client.scoring import ScoringClient
from tests.client.fake_triton import LATENT, FakeTriton, Fault, toy_rows
from tests.client.test_scoring import assert_right, collect, config
from tests.toy_repository import GEOMETRY, toy_loss

MODEL = contract.models(GEOMETRY)[contract.NOISE_LOSS]


def toy_golden(rows: int = 4) -> Golden:
    """Golden rows of the toy's noise_loss, by its arithmetic in numpy."""
    asked = Golden(0, rows, {})
    given = inputs(asked, MODEL)
    places = zip(*(given[name] for name in ("LATENT", "PROMPT_ID", "REFERENCE_ID", "DRAW")), strict=True)
    answers = [
        toy_loss(latent, int(prompt[0]), int(reference[0]), int(draw[0])) for latent, prompt, reference, draw in places
    ]
    arrays = {tensor.name: np.stack([answer[tensor.name] for answer in answers]) for tensor in MODEL.outputs}
    return Golden(0, rows, {name: expected(name, array, 1e-4) for name, array in arrays.items()})


class GoldenTriton(FakeTriton):
    """FakeTriton with golden rows. scaled: by how much its DELTA is too large; turned: whether a batch's rows come in reverse."""

    def __init__(self, *, scaled: float = 1.0, turned: bool = False, **settings: Any) -> None:
        super().__init__(**settings)
        self.scaled, self.turned = scaled, turned
        for key, text in golden_parameters(toy_golden()).items():
            self.configs[contract.NOISE_LOSS].parameters[key].string_value = text

    def _answer(self, request: Any, rows: int) -> Any:
        response = super()._answer(request, rows)
        for place, tensor in enumerate(response.outputs):
            array = np.frombuffer(response.raw_output_contents[place], np.float32).reshape(tuple(tensor.shape))
            array = array[::-1] if self.turned else array
            if tensor.name == "DELTA":
                array = array * np.float32(self.scaled)
            response.raw_output_contents[place] = array.tobytes()
        return response


async def enter(*servers: FakeTriton, **settings: Any) -> None:
    async with ScoringClient(config(*servers, **settings)):
        pass


@pytest.mark.parametrize(("max_batch", "rows"), [(8, 4), (4, 4), (3, 3), (1, 1)])
def test_one_request_of_different_rows_is_sent_and_a_right_answer_is_believed(max_batch: int, rows: int) -> None:
    """As many as the model takes at once, up to four."""

    async def main() -> None:
        async with GoldenTriton(max_batch=max_batch) as server, ScoringClient(config(server)) as client:
            assert server.batches == [rows]
            assert_right(await collect(client.score(toy_rows(20))), set(range(20)))

    asyncio.run(main())


@pytest.mark.parametrize("scaled", [1.01, 0.999, float("nan")])
def test_a_wrong_answer_is_refused_with_model_tensor_and_difference(scaled: float) -> None:
    async def main() -> None:
        async with GoldenTriton(scaled=scaled) as server:
            with pytest.raises(
                ContractError, match=r"'noise_loss' wrongly: DELTA of row \d is off by \S+ of its size, 0.0001"
            ):
                await enter(server)

    asyncio.run(main())


def test_rows_that_are_answered_for_one_another_are_told_as_that() -> None:
    """One row alone is answered rightly, so a server of batches of one passes."""

    async def main() -> None:
        async with GoldenTriton(turned=True) as server:
            with pytest.raises(ContractError, match="it answers rows of a batch for one another"):
                await enter(server)
        async with GoldenTriton(turned=True, max_batch=1) as server:
            await enter(server)

    asyncio.run(main())


def test_one_wrong_server_among_right_ones_refuses_the_start() -> None:
    """Rows would go to it, and nobody would know which."""

    async def main() -> None:
        async with GoldenTriton() as good, GoldenTriton(scaled=1.01) as wrong:
            with pytest.raises(ContractError, match=f"{wrong.address} answers the golden rows"):
                await enter(good, wrong)

    asyncio.run(main())


def test_a_full_queue_is_waited_for_and_a_refusal_is_not() -> None:
    """A model that does not take its own golden rows is another one."""

    async def main() -> None:
        async with GoldenTriton() as server:
            server.script.extend([Fault("UNAVAILABLE", "Exceeds maximum queue size")] * 2)
            await enter(server)
            assert server.batches == [4, 4, 4]
            server.script.append(Fault("INVALID_ARGUMENT"))
            with pytest.raises(ContractError, match="noise_loss does not answer its golden rows: INVALID_ARGUMENT"):
                await enter(server)
            server.script.extend([Fault("INTERNAL")] * 2)
            with pytest.raises(ServerError, match="noise_loss does not answer its golden rows: INTERNAL"):
                await enter(server)

    asyncio.run(main())


def test_a_server_without_golden_rows_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeTriton() as server, ScoringClient(config(server)) as client:
            assert_right(await collect(client.score(toy_rows(20))), set(range(20)))

    asyncio.run(main())
    (line,) = [record.getMessage() for record in caplog.records if "golden rows" in record.getMessage()]
    assert "no golden rows of vae_encoder, noise_loss, patch_features: its answers are not checked" in line


def test_a_damaged_record_is_refused_with_its_model() -> None:
    async def main() -> None:
        async with GoldenTriton() as server:
            server.configs[contract.NOISE_LOSS].parameters["golden"].string_value = "{"
            with pytest.raises(ContractError, match="model 'noise_loss': its parameter 'golden' holds no golden rows"):
                await enter(server)

    asyncio.run(main())


@pytest.mark.parametrize("golden", [True, False], ids=["says so", "without golden rows of its own"])
def test_a_replica_that_comes_back_wrong_ends_the_run(golden: bool) -> None:
    """It is held against the golden rows of the start, whatever it brings."""

    async def main() -> None:
        async with GoldenTriton() as good, GoldenTriton() as first:
            port = int(first.address.rpartition(":")[2])
            async with ScoringClient(config(good, first)) as client:
                assert_right(await collect(client.score(toy_rows(16))), set(range(16)))
                await first.__aexit__()
                impostor = GoldenTriton(port=port, scaled=1.01)
                if not golden:
                    del impostor.configs[contract.NOISE_LOSS].parameters["golden"]
                async with impostor:
                    with pytest.raises(ContractError, match=f"{first.address} answers the golden rows"):
                        await collect(client.score(loss_row(key, LATENT, 1, 0, 0) for key in range(10**9)))
                    assert impostor.batches == [4]  # it got no row of the run

    asyncio.run(main())
