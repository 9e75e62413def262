"""The Prometheus endpoint, read by plain HTTP while rows are scored."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from urllib.error import HTTPError

import pytest

from client.delivery.rate import Rate
from client.errors import ServerError
from client.metrics import metrics_place, prometheus_text
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
            config = ClientConfig((server.address,), metrics_address="0")
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
                    async with ScoringClient(ClientConfig((server.address,), metrics_address=str(port))):
                        pass
                return client.metrics_url

    url = asyncio.run(main())
    with pytest.raises(OSError, match="refused"):
        read(url)


def test_the_text_is_well_formed() -> None:
    """Every line is a type or a sample, every label's quotes are escaped, every family is declared once."""
    replica = ReplicaStatistics('a"b\\c', "ejected", "gone", 1, 2, 3, 4, 5, 6)
    text = prometheus_text(Statistics(retries={"queue full": 2}, replicas=(replica,)))
    sample = re.compile(r'(# TYPE \w+ (counter|gauge)|\w+(\{\w+="(\\.|[^"\\])*"\})? [\d.]+)')
    lines = text.splitlines()
    assert all(sample.fullmatch(line) for line in lines)
    types = [line.split()[2] for line in lines if line.startswith("#")]
    assert len(types) == len(set(types))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("0", ("127.0.0.1", 0)),
        ("9101", ("127.0.0.1", 9101)),
        ("0.0.0.0:9101", ("0.0.0.0", 9101)),
        ("[::1]:9101", ("::1", 9101)),
        ("node-7.example:9101", ("node-7.example", 9101)),
    ],
)
def test_an_address_of_metrics_is_a_port_of_loopback_or_a_host_with_a_port(text: str, place: tuple[str, int]) -> None:
    assert metrics_place(text) == place


@pytest.mark.parametrize(
    "text", ["node-7", ":9101", "::1:9101", "[::1:9101", "node-7:", "70000", "-1", "1.5", "http://a:1"]
)
def test_what_is_no_address_of_metrics_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"not {text!r}")):
        metrics_place(text)


def test_rows_that_wait_and_the_rate_of_now_are_told_and_other_gauges_join_them() -> None:
    """A gauge that can't be told says NaN, and costs the others nothing."""

    def gone() -> float:
        raise FileNotFoundError("no such folder")

    async def main() -> list[str]:
        async with FakeTriton() as server:
            server.hold.clear()
            config = ClientConfig((server.address,), metrics_address="0", rows_in_flight=8)
            async with ScoringClient(config) as client:
                client.gauges |= {"selector_rows_left": lambda: 7, "selector_store_free_bytes": gone}
                answers = client.score(toy_rows(40))
                scored = asyncio.create_task(anext(answers))
                while server.rows_held < 8 or client.statistics().waiting < 8:
                    await asyncio.sleep(0)
                texts = [await asyncio.to_thread(read, client.metrics_url)]
                server.hold.set()
                await scored
                rest = [result async for result in answers]
                assert len(rest) == 39
                return [*texts, await asyncio.to_thread(read, client.metrics_url)]

    during, after = asyncio.run(main())
    held = {name: number(during, name) for name in ("in_flight", "waiting")}
    assert held == {"in_flight": 8, "waiting": 8}, "twice as many rows are held as may be in flight"
    assert (number(after, "in_flight"), number(after, "waiting")) == (0, 0)
    assert number(during, "rows_per_second") == 0
    assert 0 < number(after, "rows_per_second") <= 40
    assert "selector_rows_left 7\n" in after
    assert "selector_store_free_bytes nan\n" in after


def number(text: str, name: str) -> float:
    return float(re.findall(rf"^selector_client_{name} (\S+)$", text, re.MULTILINE)[0])


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    now = 100.0
    rate = Rate(lambda: now)
    rate.count(10)
    assert rate.per_second() == 10, "of the first second"
    now = 110.5
    rate.count(30)
    assert rate.per_second() == pytest.approx(40 / 10.5)
    now = 135.0
    assert rate.per_second() == pytest.approx(30 / 30), "what is older than the window is forgotten"
    now = 1000.0
    assert rate.per_second() == 0
