"""The Prometheus endpoint, read by plain HTTP while rows are scored."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from urllib.error import HTTPError

import pytest

from client.errors import ServerError
from client.metrics import prometheus_text
from client.scoring import ClientConfig, ScoringClient
from client.statistics import ReplicaStatistics, Statistics
from tests.client.fake_triton import FakeTriton, Fault, toy_rows


def read(url: str) -> str:
    """What the endpoint says."""
    with urllib.request.urlopen(url, timeout=5) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(response.read().decode())


def test_counts_are_served_on_loopback_as_long_as_the_client_lives() -> None:
    """And the port is free afterwards."""

    async def main() -> str:
        async with FakeTriton() as server:
            server.script.append(Fault("UNAVAILABLE", 'odd "text"'))
            config = ClientConfig((server.address,), metrics_port=0)
            async with ScoringClient(config) as client:
                rows = [result async for result in client.score(toy_rows(24))]
                assert len(rows) == 24
                text = await asyncio.to_thread(read, client.metrics_url)
                assert "selector_client_rows_total 24\n" in text
                assert 'selector_client_retries_total{cause="unavailable"} 1\n' in text
                assert f'selector_client_replica_rows_total{{replica="{server.address}"}} 24\n' in text
                with pytest.raises(HTTPError, match="404"):
                    await asyncio.to_thread(read, client.metrics_url + "x")
                port = int(re.findall(r":(\d+)/", client.metrics_url)[0])
                with pytest.raises(ServerError, match=f"metrics: port {port} of 127.0.0.1 can't be used"):
                    async with ScoringClient(ClientConfig((server.address,), metrics_port=port)):
                        pass
                return client.metrics_url

    url = asyncio.run(main())
    with pytest.raises(OSError, match="refused"):
        read(url)


def test_the_text_is_well_formed() -> None:
    """Every line is a type or a sample, every label's quotes are escaped, every family is declared once."""
    replica = ReplicaStatistics('a"b\\c', "ejected", "gone", 1, 2, 3, 4, 5, 6)
    text = prometheus_text(Statistics(retries={"queue full": 2}, replicas=(replica,)))
    sample = re.compile(r'(# TYPE \w+ (counter|gauge)|\w+(\{\w+="(\\.|[^"\\])*"\})? \d+)')
    lines = text.splitlines()
    assert all(sample.fullmatch(line) for line in lines)
    types = [line.split()[2] for line in lines if line.startswith("#")]
    assert len(types) == len(set(types))
