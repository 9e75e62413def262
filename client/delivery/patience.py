"""How long to wait before a failed request is tried again, and how often a run may try."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from client.ranges import real, refuse_outside, whole


@dataclass(frozen=True)
class Backoff:
    """Waits that double from first_s to longest_s, each shortened at random by up to a half."""

    first_s: float = 0.05
    longest_s: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        refuse_outside({"first_s": real(0, 86400), "longest_s": real(0, 86400)}, self)

    def wait_s(self, retry: int, random: Random) -> float:
        """How long to wait before the retry of this number, counted from 0."""
        # An exponent beyond 30 would exceed any sensible longest_s, and overflow in the end.
        return min(self.longest_s, self.first_s * 2.0 ** min(retry, 30)) * random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class RetryBudget:
    """How many retries a run may spend: `reserve`, and `share` of the requests that were answered.

    It keeps a fleet that half fails from being buried in repetitions, and a night from being spent on them. A refusal by
    a full queue is not charged: it is the server's way of setting the pace.
    """

    reserve: int = 1000
    share: float = 0.2

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        refuse_outside({"reserve": whole(0, 1 << 40), "share": real(0, 1_000_000)}, self)

    def allows(self, retries: int, answered: int) -> bool:
        """Whether one more retry may be made after so many, in a run with so many answered requests."""
        return retries < self.reserve + self.share * answered
