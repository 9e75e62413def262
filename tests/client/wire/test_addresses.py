"""From what a configuration says to addresses."""

from __future__ import annotations

import asyncio
import socket

import pytest

from client.config import ClientConfig
from client.errors import ServerError
from client.wire.addresses import Address, host_and_port, read_servers, resolve


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


@pytest.mark.parametrize(
    ("server", "place"),
    [
        ("localhost:8001", ("localhost", 8001)),
        ("triton_1.my-net:1", ("triton_1.my-net", 1)),
        ("10.0.0.7:65535", ("10.0.0.7", 65535)),
        ("[::1]:8001", ("::1", 8001)),
        ("[fe80::1%eth0]:8001", ("fe80::1%eth0", 8001)),
        ("dns:///triton.example:8001", ("triton.example", 8001)),
        ("dns:8001", ("dns", 8001)),
        ("ipv4:10.0.0.7:8001", ("10.0.0.7", 8001)),
        ("ipv6:[::1]:8001", ("::1", 8001)),
        ("unix:/run/triton/sock:8001", None),
        ("unix:///run/triton/sock", None),
    ],
)
def test_what_grpc_takes_is_an_address(server: str, place: tuple[str, int] | None) -> None:
    assert host_and_port(server) == place
    assert read_servers(f" {server} ,other:1") == (server, "other:1")
    assert ClientConfig((server,)).servers == (server,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://127.0.0.1:8001", "an address has no http://"),
        ("grpc://127.0.0.1:8001", "an address has no grpc://"),
        ("HTTPS://a", "an address has no HTTPS://"),
        ("dns://8.8.8.8/a:8001", "an address has no dns://"),
        ("localhost", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("8001", "the host is missing"),
        (":8001", "the host is missing"),
        ("127.0.0.1:8001/", "no path"),
        ("a:8001/v2", "no path"),
        ("::1:8001", "an IPv6 address stands in brackets"),
        ("a:8001 b:8001", "separated by commas"),
        ("a:8001;b:8001", "separated by commas"),
        ("a:8001:8002", "more than one port"),
        ("a:0", "the port must be a whole number from 1 to 65535, not '0'"),
        ("a:65536", "the port must be"),
        ("a:-1", "the port must be"),
        ("a:grpc", "the port must be"),
        ("a:٨٠٠١", "the port must be"),
        ("a:", "the port must be"),
        ("300.0.0.1:8001", "no IPv4 address"),
        ("[::g]:8001", "no IPv6 address"),
        ("user@a:8001", "no name of a host"),
        ("a..b:8001", "no name of a host"),
        ("x" * 64 + ".example:8001", "no name of a host"),
        ("", "names no server"),
        (",", "names no server"),
        ("a:8001,", "a part of the list is empty"),
        ("a:8001,,b:8001", "a part of the list is empty"),
        ("a:8001,A:8001", "named twice"),
        ("unix:", "expected the path of a socket"),
        ("unix:/" + "x" * 120, "at most 107 bytes"),
    ],
)
def test_what_can_be_no_address_is_refused_by_its_reason(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refused:
        read_servers(text)
    assert says in str(refused.value)


def test_the_library_refuses_the_same_addresses() -> None:
    with pytest.raises(ValueError, match="the port is missing"):
        ClientConfig(("localhost",))
