"""The gate that only a server can give: the repository loads, and is served exactly as its configs declare.

Owns that check with the real tritonserver of the client's wheel. Must not know pipelines or graphs.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from client.errors import ClientError
from client.handshake import Served, shake_hands
from client.wire import Connection
from export_scripts.errors import NotServed
from export_scripts.repository.exported import read_exported
from export_scripts.steps import Steps

READY_S = 300.0


def check_served(folder: Path, wanted: bool | None, steps: Steps) -> None:
    """Starts the embedded server on the repository in `folder` and compares every model with the spec.

    wanted: None is "wherever that server runs". Raises NotServed that says what failed.
    """
    problem = embedded_problem()
    if wanted is False or (wanted is None and problem is not None):
        steps.tell(f"repository: not served before publishing: {problem or 'as asked'}")
        return
    if problem is not None:
        raise NotServed(f"the gate of the served repository can't run here: {problem}")
    declared = read_exported(folder)
    with steps.step("served and compared with its configs"):
        try:
            # Warm-up runs every model once at both ends of its batch sizes.
            with EmbeddedServer(folder, ready_timeout_s=READY_S) as server:
                served = asyncio.run(_shake(server.grpc_url))
        except ClientError as error:
            raise NotServed(f"the server does not serve the repository as declared: {error}") from error
    if (served.geometry, served.identity) != (declared.geometry, declared.identity):
        raise NotServed(
            f"declared {declared.geometry} and {declared.identity}, served {served.geometry} and {served.identity}"
        )


async def _shake(address: str) -> Served:
    connection = Connection(address)
    try:
        return await shake_hands(connection, READY_S)
    finally:
        await connection.close()
