"""The real server behind a proxy that delays, throttles, truncates, resets and swallows: right values or none."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from client.delivery.patience import Backoff
from client.embedded.server import EmbeddedServer
from client.errors import ServerError
from client.rows import Answer
from client.scoring import ClientConfig, ScoringClient
from tests.integration.faulty_proxy import (
    FaultyProxy,
    Mistreat,
    delaying,
    resetting,
    swallowing,
    throttling,
    truncating,
)  # fmt: skip
from tests.integration.test_served_scoring import assert_right, row

pytestmark = pytest.mark.server
ROWS = 400


@pytest.mark.parametrize(
    ("fault", "disturbed", "transport"),
    [
        (lambda: delaying(random.Random(1), 0.02), False, "auto"),
        (lambda: throttling(200_000), False, "auto"),
        (lambda: truncating(random.Random(2), 0.03), True, "auto"),
        (lambda: resetting(random.Random(3), 0.03), True, "auto"),
        (lambda: resetting(random.Random(3), 0.03), True, "shared-memory"),
    ],
    ids=["delayed", "throttled", "truncated", "reset", "reset with shared memory"],
)
def test_every_row_is_answered_once_and_right(
    toy_server: EmbeddedServer, fault: Callable[[], Mistreat], disturbed: bool, transport: str
) -> None:
    """Whatever the line does, short of nothing at all."""

    async def main() -> None:
        async with FaultyProxy(toy_server.grpc_url) as proxy:
            config = ClientConfig((proxy.address,), backoff=Backoff(longest_s=0.2), transport=transport)
            async with asyncio.timeout(60), ScoringClient(config) as client:
                proxy.mistreat = fault()
                seen = set()
                async for result in client.score(row(key) for key in range(ROWS)):
                    assert isinstance(result, Answer), result
                    assert_right(result)
                    assert result.key not in seen
                    seen.add(result.key)
                assert len(seen) == ROWS
                statistics = client.statistics()
                assert bool(statistics.retries or statistics.replicas[0].ejections) == disturbed

    asyncio.run(main())


def test_a_line_that_swallows_everything_is_given_up_at_the_deadline(toy_server: EmbeddedServer) -> None:
    """Not a hang."""

    async def main() -> None:
        async with FaultyProxy(toy_server.grpc_url) as proxy:
            config = ClientConfig((proxy.address,), deadline_s=1.5, attempt_s=0.5)
            async with ScoringClient(config) as client:
                proxy.mistreat = swallowing
                async with asyncio.timeout(10):
                    with pytest.raises(ServerError, match="no answer for 8 rows of noise_loss after"):
                        async for _ in client.score(row(key) for key in range(ROWS)):
                            pass

    asyncio.run(main())
