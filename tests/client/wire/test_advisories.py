"""What is known against old servers, and that it is said once of each."""

from __future__ import annotations

import asyncio

import pytest

from client import handshake
from client.delivery import outages
from client.scoring import ScoringClient
from client.wire import advisories, advisory
from selector import doctor
from tests.client.fake_triton import FakeTriton, toy_rows
from tests.client.test_scoring import collect, config, until

NUMBERS = ("CVE-2025-23310", "CVE-2025-23311", "CVE-2025-23319", "CVE-2025-23320", "CVE-2025-23334")


@pytest.fixture
def as_if_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers of this machine are judged as those of another."""
    monkeypatch.setattr(advisories, "is_loopback", lambda address: False)


@pytest.mark.parametrize("version", ["2.0.0", "2.51.0", "2.59.0", "2.59.0dev"])
def test_a_server_before_25_07_is_warned_of_with_every_number(version: str) -> None:
    said = advisory("gpu1:8001", version)
    assert said.startswith(f"gpu1:8001 is Triton {version}, which can be taken over")
    assert all(number in said for number in NUMBERS)
    assert "25.07 or later" in said


@pytest.mark.parametrize("version", ["2.59.1", "2.60.0", "2.70.0", "3.0.0", "1.7.1", "0.21.0", "0.0.fake", ""])
def test_a_later_server_or_one_that_is_no_triton_is_not_warned_of(version: str) -> None:
    """MLServer's 1.7.1 is no Triton of old."""
    assert advisory("gpu1:8001", version) == ""


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8001", "localhost:8001", "[::1]:8001", "unix:/run/s:1", "unix-abstract:s"]
)
def test_a_server_of_this_machine_is_not_warned_of(address: str) -> None:
    assert advisory(address, "2.51.0") == ""


@pytest.mark.usefixtures("as_if_elsewhere")
def test_each_old_server_of_a_client_is_named_once_the_late_one_when_it_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "LATE_S", 1.0)
    monkeypatch.setattr(outages, "POLL_S", 0.02)
    said: list[str] = []

    async def main() -> tuple[str, ...]:
        async with FakeTriton() as gone:
            port = int(gone.address.rpartition(":")[2])
        old, late, new = FakeTriton(), FakeTriton(port=port), FakeTriton()
        old.version, late.version, new.version = "2.51.0", "2.59.0", "2.59.1"
        async with old, new, ScoringClient(config(gone, old, new)) as client, client.outages_told(said.append):
            await collect(client.score(toy_rows(64)))
            async with late:
                await until(lambda: any("joined" in line for line in said))
                await collect(client.score(toy_rows(64)))
            return client.advisories

    known = asyncio.run(main())
    assert [line for line in said if "CVE" in line] == list(known)
    assert sorted(line.split()[3] for line in known) == ["2.51.0,", "2.59.0,"]


@pytest.mark.usefixtures("as_if_elsewhere")
def test_the_doctor_names_an_old_server_once_and_goes_on() -> None:
    async def main() -> list[doctor.Finding]:
        async with FakeTriton() as server:
            server.version = "2.51.0"
            return await asyncio.to_thread(doctor.examine, (server.address,))

    findings = asyncio.run(main())
    (known,) = [finding for finding in findings if "CVE" in finding.detail]
    assert (known.ok, known.needed) == (False, False)
    assert all(finding.ok for finding in findings if finding.needed)
