"""Settings of the property tests: no time limit per example, since these run on shared machines and touch disks."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
