"""In the other direction: KServe's own client against the embedded server, beside ours (`make test-oip`).

tests/integration/test_patch_scorer.py has the same by tritonclient's.
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import numpy as np
import pytest

from client import contract
from client.embedded.server import EmbeddedServer
from client.rows import Answer, Row
from client.scoring import ClientConfig, ScoringClient
from selector.builtin import builtin_repository
from tests.interoperability.servers import MISSING, PYTHON

pytestmark = [
    pytest.mark.slow,
    pytest.mark.mlserver,
    pytest.mark.server,
    pytest.mark.skipif(bool(MISSING), reason=MISSING),
]


def test_kserves_client_gets_of_patch_scorer_what_ours_gets(tmp_path: Path) -> None:
    """Three rows in one request."""
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    indices = {"PROMPT_ID": [9, 1, 4], "REFERENCE_ID": [3, 0, 5], "DRAW": [5, 63, 0]}
    inputs = {"IMAGE": images} | {name: np.array(values, np.int32)[:, None] for name, values in indices.items()}
    np.savez(tmp_path / "given.npz", **inputs)
    with EmbeddedServer(builtin_repository(), threads=1) as server:
        script = Path(__file__).with_name("kserve_client.py")
        command = [PYTHON, script, server.grpc_url, tmp_path / "given.npz", tmp_path / "found.npz"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        expected = asyncio.run(ours(server.grpc_url, inputs))
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == {"DELTA", "LOSS_PROMPT", "LOSS_REFERENCE", "FEATURE"}
        for name, array in found.items():
            np.testing.assert_allclose(array, np.stack([row[name] for row in expected]), rtol=1e-5, atol=1e-6)


async def ours(address: str, inputs: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    rows = [Row(contract.PATCH_SCORER, i, {name: array[i] for name, array in inputs.items()}) for i in range(3)]
    async with ScoringClient(ClientConfig((address,))) as client:
        results = {result.key: result async for result in client.score(rows)}
    answers = [results[i] for i in range(3)]
    assert all(isinstance(answer, Answer) for answer in answers)
    return [dict(answer.outputs) for answer in answers if isinstance(answer, Answer)]
