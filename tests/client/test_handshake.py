"""What a client reads from a server's configs before the first row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from client import contract
from client.errors import ContractError, ServerError
from client.handshake import Served, shake_hands
from client.wire.connection import Connection
from tests.client.fake_triton import FakeTriton
from tests.toy_repository import GEOMETRY, IDENTITY


def shaken(prepare: Callable[[FakeTriton], object]) -> Served:
    """The handshake with a prepared server."""

    async def main() -> Served:
        async with FakeTriton() as server:
            prepare(server)
            connection = Connection(server.address)
            try:
                return await shake_hands(connection, 5.0)
            finally:
                await connection.close()

    return asyncio.run(main())


def test_geometry_and_identity_are_read_from_the_configs_alone() -> None:
    """Nothing but the server's address is needed."""
    served = shaken(lambda server: None)
    assert (served.geometry, served.identity) == (GEOMETRY, IDENTITY)
    assert served.models == contract.models(GEOMETRY)
    assert (served.version, served.max_batch, served.instances) == ("0.0.fake", 8, 1)


def _wider_delta(server: FakeTriton) -> None:
    server.configs[contract.UNET].output[0].dims[0] = 5


def _half_latent(server: FakeTriton) -> None:
    server.configs[contract.NOISE_LOSS].input[0].data_type = 10  # TYPE_FP16


def _missing_model(server: FakeTriton) -> None:
    del server.configs[contract.PATCH_SCORER]


def _lost_parameter(server: FakeTriton) -> None:
    del server.configs[contract.UNET].parameters["timesteps"]


def _old_version(server: FakeTriton) -> None:
    server.configs[contract.DIFT].parameters["spec_version"].string_value = "0"


def _other_range(server: FakeTriton) -> None:
    server.configs[contract.UNET].parameters["index_range.DRAW"].string_value = "0,63"


def _other_wiring(server: FakeTriton) -> None:
    steps = server.configs[contract.PATCH_FEATURES].ensemble_scheduling.step
    steps[0].output_map["LATENT"] = "SOMETHING"


def _no_batches(server: FakeTriton) -> None:
    server.configs[contract.DIFT].max_batch_size = 0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_wider_delta, ("unet_noise_predictor", "outputs", "expected DELTA FP32 [4, 4]", "served DELTA FP32 [5, 4]")),
        (_half_latent, ("noise_loss", "expected", "LATENT FP32", "served", "LATENT FP16")),
        (_missing_model, ("lacks the models patch_scorer", "it serves", "vae_encoder", "selector export")),
        (_lost_parameter, ("unet_noise_predictor", "timesteps")),
        (_old_version, ("dift_extractor", "'0'", "needs 1")),
        (_other_range, ("unet_noise_predictor", "'DRAW', '0,3'", "'DRAW', '0,63'")),
        (_other_wiring, ("patch_features", "steps", "SOMETHING")),
        (_no_batches, ("dift_extractor", "max_batch_size", "served 0")),
    ],
)
def test_a_server_of_another_kind_is_refused_with_expected_against_served(
    spoil: Callable[[FakeTriton], None], words: tuple[str, ...]
) -> None:
    """The message names the model and both sides."""
    with pytest.raises(ContractError) as caught:
        shaken(spoil)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_address_where_nothing_listens_is_named() -> None:
    """Within the time given."""

    async def main() -> None:
        async with FakeTriton() as server:
            address = server.address
        connection = Connection(address)
        try:
            with pytest.raises(ServerError, match=f"{address} was not ready within 0.3 s: UNAVAILABLE"):
                await shake_hands(connection, 0.3)
        finally:
            await connection.close()

    asyncio.run(main())
