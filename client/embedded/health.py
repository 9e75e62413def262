"""What the embedded server says of itself over loopback HTTP: liveness, failed models, version."""

from __future__ import annotations

import http.client
import json
from typing import Any

from client.errors import EmbeddedError

TIMEOUT_S = 5.0


def live(http_url: str) -> bool:
    """Whether the server at "host:port" answers its liveness check."""
    try:
        status, _ = _ask(http_url, "GET", "/v2/health/live")
    except (OSError, http.client.HTTPException):
        return False  # nothing listens yet
    return status == 200


def failed_models(http_url: str) -> dict[str, str]:
    """Model name → why it is not ready; empty if all are and the server calls itself ready."""
    failed = {
        entry["name"]: entry.get("reason") or "not loaded, since a model that it needs was not"
        for entry in _json(http_url, "POST", "/v2/repository/index")
        if entry.get("state") != "READY"
    }
    if not failed and _ask(http_url, "GET", "/v2/health/ready")[0] != 200:
        return {"(server)": "every model is ready, but the server's readiness check fails"}
    return failed


def version(http_url: str) -> str:
    """The server's version, such as "2.51.0"."""
    return str(_json(http_url, "GET", "/v2")["version"])


def _json(http_url: str, method: str, path: str) -> Any:
    status, body = _ask(http_url, method, path)
    if status != 200:
        text = body.decode(errors="replace")
        raise EmbeddedError(f"{method} {path} of the server at {http_url} answers {status}: {text}")
    return json.loads(body)


def _ask(http_url: str, method: str, path: str) -> tuple[int, bytes]:
    # http.client rather than urllib: no proxy of the environment stands between us and loopback.
    connection = http.client.HTTPConnection(http_url, timeout=TIMEOUT_S)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
