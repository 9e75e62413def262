"""Who the client believes, and who it says it is: certificates and secret headers.

A secret comes from a file or the environment, never from a command line; it is kept out of `repr`, and so out of logs
and manifests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from client.errors import ClientError

SYSTEM = "system"
"""In place of a CA's file: the root certificates that come with gRPC."""

# What gRPC says when TLS fails → whether it can pass by itself, and what to do. The texts are of grpcio 1.66 to 1.85.
_ADVICE_OF_TLS = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        False,
        "the server's certificate is not signed by the authority in --tls-ca, has expired, or is not for this address: "
        "give the PEM file of the authority that signed it",
    ),
    (
        "WRONG_VERSION_NUMBER",
        False,
        "the server speaks plaintext on this port: leave --tls-ca out, or give its TLS port",
    ),
    ("create security handshaker", False, "the files of --tls-cert and --tls-key do not belong together"),
    (
        "Socket closed",
        True,
        "does the server ask for a client certificate, of an authority that it knows? give --tls-cert and --tls-key",
    ),
)
_ADVICE_OF_PLAINTEXT = (("Socket closed", True, "does this port speak TLS? give --tls-ca FILE, or --tls-ca system"),)
_ADVICE = (
    (
        "protocol is restricted",
        False,
        "the header is missing or wrong: put a line NAME: VALUE into a file for --header-file, or into SELECTOR_HEADER",
    ),
)

_LOOPBACK = re.compile(r"(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d+)?$|unix(-abstract)?:")
_HEADER = re.compile(r"^([0-9A-Za-z_.-]+):\s*(\S.*)$")


class SecurityError(ClientError):
    """A certificate, key or header that can't be used, or would be sent where it can be read."""


@dataclass(frozen=True)
class Security:
    """What every connection of a client uses; the default is plaintext without headers.

    tls_ca: PEM file of the authority that signed the servers' certificates, or "system"; None is plaintext. tls_cert,
    tls_key: PEM files of this client's own certificate, for mutual TLS. headers: (name, value), sent with every call.
    """

    tls_ca: str | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        """Raises SecurityError for what can't work."""
        if (self.tls_cert is None) != (self.tls_key is None):
            raise SecurityError("mutual TLS needs both the certificate and its key: give --tls-cert and --tls-key")
        if self.tls_cert is not None and self.tls_ca is None:
            raise SecurityError("a client certificate needs TLS: give --tls-ca FILE, or --tls-ca system")

    def certificates(self) -> tuple[bytes | None, bytes | None, bytes | None] | None:
        """PEM of CA, key and certificate, each None where gRPC's default holds; None for plaintext."""
        if self.tls_ca is None:
            return None
        authority = None if self.tls_ca == SYSTEM else _pem(Path(self.tls_ca), "--tls-ca")
        if self.tls_cert is None or self.tls_key is None:
            return authority, None, None
        return authority, _pem(self.tls_key, "--tls-key"), _pem(self.tls_cert, "--tls-cert")

    def check_address(self, address: str) -> None:
        """Raises SecurityError if a bearer token would leave this machine in plaintext."""
        names = {name for name, _ in self.headers}
        if self.tls_ca is None and "authorization" in names and not is_loopback(address):
            raise SecurityError(
                f"the authorization header would travel to {address} in plaintext: give --tls-ca FILE, or "
                "--tls-ca system"
            )


def advice(message: str, *, tls: bool) -> tuple[str, bool]:
    """What to do about a failed call with this text, empty if nothing is known, and whether it can pass by itself."""
    for text, passes, what in (*_ADVICE, *(_ADVICE_OF_TLS if tls else _ADVICE_OF_PLAINTEXT)):
        if text in message:
            return what, passes
    return "", True


def is_loopback(address: str) -> bool:
    """Whether an address leads to this machine by name alone."""
    return _LOOPBACK.match(address) is not None


def read_headers(text: str, source: str) -> tuple[tuple[str, str], ...]:
    """Lines "NAME: VALUE" as headers; empty lines and lines that begin with # are skipped.

    Raises SecurityError that names the source and the line's number, never its content.
    """
    headers = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _HEADER.match(line.strip())
        if found is None or not found[2].isascii():
            raise SecurityError(
                f"{source}, line {number}: expected NAME: VALUE in ASCII, such as authorization: Bearer …"
            )
        headers.append((found[1].lower(), found[2]))
    return tuple(headers)


def headers_from(file: Path | None, environment: str | None) -> tuple[tuple[str, str], ...]:
    """The headers of a file and those of an environment variable's value. Raises SecurityError if the file can't be read."""
    headers = read_headers(environment, "SELECTOR_HEADER") if environment else ()
    if file is None:
        return headers
    try:
        return (*read_headers(file.read_text(encoding="utf-8"), f"--header-file {file}"), *headers)
    except OSError as error:
        raise SecurityError(f"--header-file {file} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecurityError(f"--header-file {file} is no text in UTF-8: expected lines NAME: VALUE") from None


def _pem(path: Path, option: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SecurityError(f"{option} {path} can't be read: {error.strerror}") from None
    if b"-----BEGIN" not in content:
        raise SecurityError(f"{option} {path} is no PEM file (it has no -----BEGIN line)")
    return content
