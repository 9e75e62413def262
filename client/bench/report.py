"""What came of a run of the bench: plain values, ready to be printed, written or drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from client.bench.bare import Comparison
from client.bench.config import BenchConfig
from client.bench.measure import Level
from client.bench.probe import ServerSide


@dataclass(frozen=True)
class Report:
    """What came of a run.

    leaves: the models that compute for the measured one, itself if it is one; none for the scoring path. server: what it calls
    itself. machine_load: the 1-minute load average at its start and end, this run's own load included. kept_rate: the search's
    answer in requests per second, None without a search. retries: by cause, of the client's own, all levels together; they hide
    in latencies.
    """

    config: BenchConfig
    leaves: tuple[str, ...]
    request_rows: int
    server: str
    server_version: str
    embedded: bool
    cores: int
    machine_load: tuple[float, float]
    levels: tuple[Level, ...]
    kept_rate: float | None = None
    comparison: Comparison | None = None
    retries: Mapping[str, int] = field(default_factory=dict)

    @property
    def best(self) -> Level:
        """The level of most rows per second."""
        return max(self.levels, key=lambda level: level.rows_per_s)

    def whole_model(self, level: Level) -> ServerSide | None:
        """The server's side of the measured model, an ensemble with the queues of its steps; None for the scoring path.

        An ensemble counts its steps' computing as its own, but not their queues (seen with 2.51). batch: of the leaf that
        computes longest.
        """
        by_name = {side.model: side for side in level.servers}
        own = by_name.get(self.config.model)
        if own is None:
            return None
        leaves = [by_name[name] for name in self.leaves if name in by_name]
        longest = max(leaves, key=lambda side: side.compute_infer_us * side.requests, default=own)
        queues_us = sum(side.queue_us * side.requests / own.requests for side in leaves if side is not own)
        return replace(own, queue_us=own.queue_us + queues_us, batch=longest.batch)
