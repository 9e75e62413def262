"""What only the owner may call of a server that others of this machine can reach, and the key to it.

Shared memory lets a caller have the server map, read and write memory by its name (CVE-2025-23319, 23320 and 23334 begin
there). Settings of traces and of the log name files that the server then writes. Everything else is open.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

HEADER_FILE = "header"
_KEY = "selector-key"
_PROTOCOLS = "shared-memory,trace,logging"


def guard(folder: Path, *, http: bool) -> tuple[tuple[str, ...], Path]:
    """Makes a key. Returns the flags of tritonserver that ask for it, and the file of the header that has it (mode 0600)."""
    value = secrets.token_hex(16)
    file = folder / HEADER_FILE
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as header:
        header.write(f"# of HTTP: {_KEY}: {value}\ntriton-grpc-protocol-{_KEY}: {value}\n")
    flags = (f"--grpc-restricted-protocol={_PROTOCOLS}:{_KEY}={value}",)
    return (*flags, f"--http-restricted-api={_PROTOCOLS}:{_KEY}={value}") if http else flags, file
