"""A small HTTP server of a folder that answers ranges, ETags and listings, and can refuse what has no key."""

from __future__ import annotations

import hashlib
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class RangeServer(ThreadingHTTPServer):
    """root: the folder. key: what the query must have as `key`, "" for nothing. failing: answers 503 to so many requests."""

    daemon_threads = True

    def __init__(
        self, root: Path, key: str = "", ranges: bool = True, certificate: tuple[Path, Path] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self._scheme = "https"
        self.root, self.key, self.ranges = root, key, ranges
        self.failing = 0
        self.served: list[tuple[str, str]] = []  # (path, range)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: RangeServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        path = self.server.root / unquote(asked.path).lstrip("/")
        if self.server.failing:
            self.server.failing -= 1
            self._answer(503, b"later")
        elif self.server.key and parse_qs(asked.query).get("key") != [self.server.key]:
            self._answer(403, b"no key")
        elif path.is_dir():
            links = "".join(f'<a href="{entry.name}">{entry.name}</a>\n' for entry in sorted(path.iterdir()))
            self._answer(200, links.encode(), {"Content-Type": "text/html"})
        elif not path.is_file():
            self._answer(404, b"")
        else:
            self._file(path)

    do_HEAD = do_GET

    def _file(self, path: Path) -> None:
        content = path.read_bytes()
        tags = {"ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        if self.server.ranges:
            tags["Accept-Ranges"] = "bytes"
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.server.served.append((path.name, self.headers.get("Range", "") if self.command == "GET" else "head"))
        if span is None or not self.server.ranges:
            self._answer(200, content, tags)
            return
        first, last = int(span[1]), min(int(span[2]), len(content) - 1)
        self._answer(206, content[first : last + 1], tags | {"Content-Range": f"bytes {first}-{last}/{len(content)}"})

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def serving(
    root: Path, key: str = "", ranges: bool = True, certificate: tuple[Path, Path] | None = None
) -> Iterator[RangeServer]:
    """The server, running until the end of the context. certificate: PEM files of a certificate and its key, for https."""
    server = RangeServer(root, key, ranges, certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
