"""An authority and certificates of it, made by the openssl command for one test session."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROBLEM = None if shutil.which("openssl") else "the openssl command, which makes the certificates, is not installed"


@dataclass(frozen=True)
class Certificates:
    """PEM files: the authority, a server's and a client's certificate and key of it, and an authority nobody knows."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    other_ca: Path
    other_client: Path
    other_client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Certificates for 127.0.0.1 and localhost, good for a day."""
    for authority in ("ca", "other-ca"):
        _openssl(
            folder, "req", "-x509", *_new_key(authority), "-out", f"{authority}.pem", "-days", "1",
            "-subj", f"/CN=test {authority}", "-addext", "basicConstraints=critical,CA:TRUE",
        )  # fmt: skip
    for name, authority in (("server", "ca"), ("client", "ca"), ("other-client", "other-ca")):
        _openssl(folder, "req", *_new_key(name), "-out", f"{name}.csr", "-subj", f"/CN={name}")
        names = folder / f"{name}.ext"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-days", "1", "-extfile", names.name,
        )  # fmt: skip
    files = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    others = ("other-ca.pem", "other-client.pem", "other-client.key")
    return Certificates(*(folder / name for name in (*files, *others)))


def _new_key(name: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
