"""How many rows one replica may hold: a bound that grows while throughput grows and halves when its queue is full.

The bound is tried larger by half; if the replica then answers no more rows a second than before, it goes back and waits
longer before the next try, so a fleet settles near the smallest bound that is as fast as any. The halving is TCP's: a
burst of refusals counts once.
"""

from __future__ import annotations

WORTH = 1.05
"""Throughput must rise by this factor for a larger bound to be kept."""
ROUNDS = 4
"""Bounds of rows that are answered before a throughput is believed."""
_HOLD, _LONGEST_HOLD = 4, 64


class AdaptiveBound:
    """Rows that a replica may hold: `limit`, at first `start`, never above `most` nor below 1."""

    def __init__(self, start: int, most: int) -> None:
        if not 1 <= start <= most:
            raise ValueError(f"a bound must start between 1 and its greatest size {most}, not at {start}")
        self.limit = start
        self.most = most
        self._kept = start
        """The limit to go back to; smaller than `limit` while a larger one is tried."""
        self._kept_rate = 0.0
        self._rows, self._since = 0, 0.0
        self._hold = self._next_hold = _HOLD
        self._halved_at = float("-inf")

    def answered(self, rows: int, now: float, *, pressed: bool) -> None:
        """Counts rows answered. pressed: whether more were waiting for room here; else nothing can be learnt."""
        if not pressed or not self._since:
            self._rows, self._since = 0, now
            return
        self._rows += rows
        if self._rows >= ROUNDS * self.limit and now > self._since:
            self._judge(self._rows / (now - self._since))
            self._rows, self._since = 0, now

    def halve(self, sent_at: float, now: float) -> bool:
        """Halves after a refusal of a request sent at `sent_at`; False if that was before the last halving."""
        if sent_at < self._halved_at:
            return False
        self.limit = self._kept = max(1, self.limit // 2)
        self._kept_rate = 0.0
        self._rows, self._since, self._halved_at = 0, now, now
        self._hold = self._next_hold
        return True

    def _judge(self, rate: float) -> None:
        if self.limit > self._kept:
            if rate >= WORTH * self._kept_rate:
                self._kept, self._kept_rate, self._next_hold = self.limit, rate, _HOLD
                self._try_larger()
            else:
                self.limit = self._kept
                self._hold = self._next_hold
                self._next_hold = min(_LONGEST_HOLD, 2 * self._next_hold)
            return
        self._kept_rate = rate
        self._hold -= 1
        if self._hold <= 0:
            self._try_larger()

    def _try_larger(self) -> None:
        self.limit = min(self.most, self.limit + max(1, self.limit // 2))
