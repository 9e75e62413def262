"""The gate that only a server can give: the repository loads, and is served exactly as its configs declare."""

from __future__ import annotations

import asyncio
from pathlib import Path

from client import ClientConfig, ScoringClient
from client.contract import Geometry, Identity
from client.embedded.patience import patience_s
from client.embedded.server import EmbeddedServer
from client.embedded.wheel import embedded_problem
from client.errors import ClientError
from export_scripts.errors import NotServed
from export_scripts.repository.exported import read_exported
from export_scripts.steps import Steps

READY_S = 300.0


def check_served(folder: Path, wanted: bool | None, steps: Steps) -> None:
    """Starts the embedded server on the repository in `folder`, compares models with the spec and answers with golden rows.

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
            # Warm-up runs every model once at both ends of its batch sizes, a large one with a row alone (overlay.py).
            with EmbeddedServer(folder, ready_timeout_s=max(READY_S, patience_s(folder))) as server:
                served = asyncio.run(_served(server.grpc_url, patience_s(folder)))
        except ClientError as error:
            raise NotServed(f"the server does not serve the repository as declared: {error}") from error
    if served != (declared.geometry, declared.identity):
        raise NotServed(f"declared {declared.geometry} and {declared.identity}, served {served[0]} and {served[1]}")


async def _served(address: str, patience_s: float) -> tuple[Geometry, Identity]:
    config = ClientConfig((address,), ready_s=READY_S, attempt_s=patience_s, deadline_s=patience_s)
    async with ScoringClient(config) as client:
        return client.geometry, client.identity
