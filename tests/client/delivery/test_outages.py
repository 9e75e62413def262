"""What is said when no server answers: by scripted times, and at servers that go, stand still and come back."""

from __future__ import annotations

import asyncio
import time

import pytest

from client.delivery.outages import Outage
from client.scoring import ScoringClient
from tests.client.fake_triton import FakeTriton, toy_rows
from tests.client.test_scoring import assert_right, collect, config


def test_an_outage_is_told_once_then_every_minute_then_its_end() -> None:
    outage = Outage(gives_up_s=300)
    told = {}
    for tenths in range(1500):
        now = tenths / 10
        up = not 10 < now <= 140
        line = outage.line(now, now if up else 10.0, ["a:1"] if up else [], [] if up else ["a:1 is silent"])
        if line:
            told[now] = line
    assert told == {
        12.5: "no server answers for 2 s (a:1 is silent): waiting for up to 300 s until one is back",
        72.5: "still no server answers for 62 s (a:1 is silent): waiting for up to 300 s until one is back",
        132.5: "still no server answers for 122 s (a:1 is silent): waiting for up to 300 s until one is back",
        140.1: "a:1 answers again after 130 s",
    }


def test_a_pause_that_nobody_notices_is_not_told() -> None:
    outage = Outage(300)
    assert [outage.line(t, 0.0, [], ["gone"]) for t in (0.5, 1.0, 2.0)] == ["", "", ""]
    assert outage.line(2.4, 2.4, ["a:1"], []) == ""


async def line(lines: list[str], part: str, within_s: float) -> str:
    """The first line with this part."""
    async with asyncio.timeout(within_s):
        while not (found := [text for text in lines if part in text]):
            await asyncio.sleep(0.01)
    return found[0]


def test_the_only_server_that_goes_is_named_within_5_s_with_its_reason_and_so_is_its_return() -> None:
    async def main() -> None:
        lines: list[str] = []
        server = FakeTriton()
        await server.__aenter__()
        port = int(server.address.rpartition(":")[2])
        settings = config(server, deadline_s=30)
        async with ScoringClient(settings) as client, client.outages_told(lines.append):
            assert_right(await collect(client.score(toy_rows(16))), set(range(16)))
            await server.__aexit__()
            rows = asyncio.create_task(collect(client.score(toy_rows(64))))
            gone = await line(lines, "no server answers", 5)
            assert f"127.0.0.1:{port}" in gone
            assert "UNAVAILABLE" in gone
            assert gone.endswith("waiting for up to 30 s until one is back")
            assert "\n" not in gone
            async with FakeTriton(port=port):
                await line(lines, f"127.0.0.1:{port} answers again after ", 10)
                assert_right(await rows, set(range(64)))
        assert len(lines) == 2

    asyncio.run(main())


def test_a_server_that_stands_still_is_told_and_one_that_is_slow_is_not() -> None:
    """Both hold rows for long; only one of them says meanwhile that it is ready."""

    async def main() -> None:
        lines: list[str] = []
        async with FakeTriton() as server:
            settings = config(server, deadline_s=60)
            async with ScoringClient(settings) as client, client.outages_told(lines.append):
                server.hold.clear()
                rows = asyncio.create_task(collect(client.score(toy_rows(16))))
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    await line(lines, "no server answers", 5)
                assert time.monotonic() - began >= 5
                server.stands_still = True
                assert f"{server.address} is silent" in await line(lines, "no server answers", 5)
                server.stands_still = False
                server.hold.set()
                assert_right(await rows, set(range(16)))
                await line(lines, "answers again", 5)

    asyncio.run(main())


def test_one_of_two_servers_is_no_outage() -> None:
    async def main() -> None:
        lines: list[str] = []
        async with FakeTriton() as good:
            bad = FakeTriton()
            await bad.__aenter__()
            async with ScoringClient(config(good, bad)) as client, client.outages_told(lines.append):
                await bad.__aexit__()
                began = time.monotonic()
                while time.monotonic() - began < 4:
                    assert_right(await collect(client.score(toy_rows(16))), set(range(16)))
        assert lines == []

    asyncio.run(main())
