"""Which servers are known to be taken over by whoever reaches them, and what to do about it.

Read in NVIDIA's security bulletin of August 2025: all of these are fixed in the container 25.07, a patch of 25.06 = 2.59.0 that
says 2.59.1 (25.08 is 2.60.0). An address of this machine is not judged: who is let near it there, SECURITY.md says.
"""

from __future__ import annotations

import re

from client.wire.security import is_loopback

FIXED, FIXED_IN = (2, 59, 1), "25.07"
_TRITON = re.compile(r"^2\.(\d+)\.(\d+)")
"""Triton's versions begin with 2; other servers of the protocol have none such yet, and are not judged."""


def advisory(address: str, version: str) -> str:
    """What is known against a server of this version at this address, with what to do; "" for nothing."""
    found = _TRITON.match(version)
    if found is None or is_loopback(address) or (2, int(found[1]), int(found[2])) >= FIXED:
        return ""
    return (
        f"{address} is Triton {version}, which can be taken over without a password: through its HTTP port (CVE-2025-23310, "
        "CVE-2025-23311), and through the Python backend with shared memory (CVE-2025-23319, CVE-2025-23320, CVE-2025-23334): "
        f"use the container {FIXED_IN} or later, and let nobody else near its ports until then (SECURITY.md)"
    )
