"""Real servers with TLS, mutual TLS and a restricted protocol, and what a client is told that does not fit."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from client.embedded.server import EmbeddedServer
from client.errors import ServerError
from client.rows import Answer
from client.scoring import ClientConfig, ScoringClient
from client.wire.security import Security
from selector.cli import cli
from tests.integration.certificates import PROBLEM, Certificates, make_certificates
from tests.integration.faulty_proxy import FaultyProxy, flipping
from tests.integration.test_served_scoring import assert_right, row

pytestmark = [pytest.mark.server, pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))]

SECRET = "correct-horse"
HEADER = ("triton-grpc-protocol-key", SECRET)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secured(toy_repository: Path, certificates: Certificates) -> Iterator[dict[str, str]]:
    """Addresses: "tls" wants a header as well, "mutual" a client's certificate."""
    files = (
        f"--grpc-server-cert={certificates.server}",
        f"--grpc-server-key={certificates.server_key}",
        f"--grpc-root-cert={certificates.ca}",
    )
    restricted = f"--grpc-restricted-protocol=inference,health,metadata,model-config,model-repository:key={SECRET}"
    authority = str(certificates.ca)
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                EmbeddedServer(toy_repository, threads=1, grpc_port=0, arguments=(*flags, *files), security=security)
            ).grpc_url
            for name, flags, security in (
                ("tls", ("--grpc-use-ssl=true", restricted), Security(tls_ca=authority, headers=(HEADER,))),
                (
                    "mutual",
                    ("--grpc-use-ssl-mutual=true",),
                    Security(authority, certificates.client, certificates.client_key),
                ),
            )
        }


def refusal(address: str, security: Security) -> str:
    """What a client says that can't enter."""

    async def main() -> None:
        async with ScoringClient(ClientConfig((address,), security=security, ready_s=1.0)):
            pass

    with pytest.raises(ServerError) as caught:
        asyncio.run(main())
    assert SECRET not in str(caught.value)
    return str(caught.value)


def score(address: str, security: Security, rows: int = 40, **changes: Any) -> ScoringClient:
    """Scores rows and checks every answer."""

    async def main() -> ScoringClient:
        config = ClientConfig((address,), security=security, **changes)
        async with ScoringClient(config) as client:
            seen = set()
            async for result in client.score(row(key) for key in range(rows)):
                assert isinstance(result, Answer)
                assert_right(result)
                seen.add(result.key)
            assert len(seen) == rows
            return client

    return asyncio.run(main())


def test_rows_are_answered_over_tls_with_a_header(secured: dict[str, str], certificates: Certificates) -> None:
    score(secured["tls"], Security(tls_ca=str(certificates.ca), headers=(HEADER,)))


def test_the_bench_command_enters_and_tells_no_secret(
    secured: dict[str, str], certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELECTOR_HEADER", ": ".join(HEADER))
    flags = ("--server", secured["tls"], "--tls-ca", str(certificates.ca), "--concurrency", "2")
    short = ("--window", "0.15", "--max-windows", "3", "--requests", str(tmp_path / "requests"))
    done = CliRunner().invoke(cli, ["bench", *flags, *short, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    (level,) = json.loads(done.stdout)["levels"]
    assert level["answered"] > level["failed"] == 0
    assert SECRET not in done.output + (tmp_path / "requests").read_text()


def test_rows_are_answered_over_mutual_tls(secured: dict[str, str], certificates: Certificates) -> None:
    own = {"tls_cert": certificates.client, "tls_key": certificates.client_key}
    score(secured["mutual"], Security(tls_ca=str(certificates.ca), **own))


def test_a_server_of_another_authority_is_refused_at_once(secured: dict[str, str], certificates: Certificates) -> None:
    message = refusal(secured["tls"], Security(tls_ca=str(certificates.other_ca), headers=(HEADER,)))
    assert "not signed by the authority in --tls-ca" in message
    assert "within" not in message  # it did not wait for what can't come


@pytest.mark.parametrize("other", [False, True])
def test_without_a_certificate_that_the_server_knows_the_message_asks_for_one(
    secured: dict[str, str], certificates: Certificates, other: bool
) -> None:
    own = {"tls_cert": certificates.other_client, "tls_key": certificates.other_client_key} if other else {}
    assert "--tls-cert and --tls-key" in refusal(secured["mutual"], Security(tls_ca=str(certificates.ca), **own))


def test_a_key_of_another_certificate_is_named(secured: dict[str, str], certificates: Certificates) -> None:
    own = {"tls_cert": certificates.client, "tls_key": certificates.server_key}
    assert "do not belong together" in refusal(secured["mutual"], Security(tls_ca=str(certificates.ca), **own))


def test_plaintext_to_a_tls_port_asks_for_the_authority(secured: dict[str, str]) -> None:
    assert "does this port speak TLS? give --tls-ca" in refusal(secured["tls"], Security(headers=(HEADER,)))


def test_tls_to_a_plaintext_port_says_to_leave_it_out(toy_server: EmbeddedServer, certificates: Certificates) -> None:
    assert "leave --tls-ca out" in refusal(toy_server.grpc_url, Security(tls_ca=str(certificates.ca)))


@pytest.mark.parametrize("headers", [(), ((HEADER[0], "wrong"),)], ids=["missing", "wrong"])
def test_a_missing_or_wrong_header_is_asked_for(
    secured: dict[str, str], certificates: Certificates, headers: tuple[tuple[str, str], ...]
) -> None:
    message = refusal(secured["tls"], Security(tls_ca=str(certificates.ca), headers=headers))
    assert "--header-file" in message
    assert "expecting header 'triton-grpc-protocol-key'" in message


def test_flipped_bits_under_tls_cost_retries_and_never_a_value(
    secured: dict[str, str], certificates: Certificates
) -> None:
    """TLS notices; the client connects again."""
    own = {"tls_cert": certificates.client, "tls_key": certificates.client_key}
    security = Security(tls_ca=str(certificates.ca), **own)

    async def main() -> None:
        async with (
            asyncio.timeout(60),
            FaultyProxy(secured["mutual"]) as proxy,
            ScoringClient(ClientConfig((proxy.address,), security=security)) as client,
        ):
            proxy.mistreat = flipping(random.Random(3), 0.02)
            seen = set()
            async for result in client.score(row(key) for key in range(800)):
                assert_right(result)
                seen.add(result.key)
            proxy.mistreat = None
            assert len(seen) == 800
            statistics = client.statistics()
            assert statistics.retries or statistics.replicas[0].ejections

    asyncio.run(main())
