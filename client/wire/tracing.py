"""W3C trace context: the `traceparent` header that lets a server's OpenTelemetry spans join the caller's trace.

https://www.w3.org/TR/trace-context/, version 00. Random ids come from the operating system; no result depends on them.
"""

from __future__ import annotations

import re
import secrets

_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")
NEW = "new"
"""In place of a parent: a trace of its own for each client."""


class Trace:
    """One trace, to which every request adds a span. Raises ValueError if the parent is no traceparent of version 00."""

    def __init__(self, parent: str) -> None:
        if parent == NEW:
            self.trace_id, self._flags = secrets.token_hex(16), "01"
            return
        found = _TRACEPARENT.match(parent)
        if found is None:
            raise ValueError(
                f"trace: expected {NEW!r} or a W3C traceparent (00-<32 hex>-<16 hex>-<2 hex>), not {parent!r}"
            )
        self.trace_id, self._flags = found[1], found[3]

    def child(self) -> str:
        """The traceparent of one request."""
        return f"00-{self.trace_id}-{secrets.token_hex(8)}-{self._flags}"
