"""From what a configuration says to addresses."""

from __future__ import annotations

import asyncio
import socket

import pytest

from client.addresses import Address, resolve
from client.errors import ServerError


def test_a_name_is_one_server_for_each_of_its_addresses() -> None:
    """And keeps its name, which the certificate carries. localhost is the one name that every machine knows."""
    known = {info[4][0] for info in socket.getaddrinfo("localhost", 8001, type=socket.SOCK_STREAM)}
    found = asyncio.run(resolve(("dns:///localhost:8001", "other:1", "other:1")))
    assert len(found) == len(known) + 1
    assert Address("127.0.0.1:8001", "localhost") in found
    assert found[-1] == Address("other:1")


@pytest.mark.parametrize(
    ("server", "words"),
    [("dns:///nameless", "expected dns:///NAME:PORT"), ("dns:///no.such.invalid:1", "can't be looked up")],
)
def test_a_name_that_can_not_be_looked_up_is_named(server: str, words: str) -> None:
    with pytest.raises(ServerError, match=words):
        asyncio.run(resolve((server,)))
