"""What a run of the bench was asked for, validated once."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from client import contract
from client.bench.arrivals import ARRIVALS
from client.bench.measure import Measuring
from client.bench.ranges import LOADS
from client.bench.samples import PERCENTILES
from client.embedded.devices import ON_CORES, Device
from client.ranges import refuse_outside
from client.wire import Security, check_servers


@dataclass(frozen=True)
class BenchConfig:
    """What to measure.

    model: a served model or "scoring-path". servers: as in `ClientConfig`; none starts the embedded one on `repository`.
    said: what the servers are said to serve, as `repository` of `ClientConfig`.
    batch: rows of a request (images of a shard for the path), 0 for the most the model takes. concurrency: levels of the
    closed loop; used unless `rates` (requests/s) or `limit_ms` (search) is given. percent: percentile that the search
    holds below limit_ms. bare: compare with the engine in process, `rounds` times round_s seconds each way. threads: of
    each ONNX session, 0 for one per core. draws: of the path. device: of the embedded server and of `bare`.
    """

    repository: Path
    model: str = contract.NOISE_LOSS
    servers: tuple[str, ...] = ()
    batch: int = 0
    concurrency: tuple[int, ...] = (1, 2, 4)
    rates: tuple[float, ...] = ()
    arrivals: str = "constant"
    limit_ms: float | None = None
    percent: int = 99
    measuring: Measuring = field(default_factory=Measuring)
    bare: bool = False
    rounds: int = 5
    round_s: float = 4.0
    threads: int = 0
    draws: int = 12
    seed: int = 0
    transport: str = "auto"
    security: Security = field(default_factory=Security)
    device: Device = ON_CORES
    said: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what can't work."""
        if self.servers and self.device != ON_CORES:
            raise ValueError(f"device {self.device} is for the embedded server, and servers that are named have theirs")
        refuse_outside(LOADS, self)
        check_servers(self.servers)
        if not self.concurrency:
            raise ValueError("concurrency must have at least one level")
        if self.arrivals not in ARRIVALS:
            raise ValueError(f"arrivals must be {' or '.join(ARRIVALS)}, not {self.arrivals!r}")
        if self.percent not in PERCENTILES:
            raise ValueError(f"percentile must be one of {', '.join(map(str, PERCENTILES))}, not {self.percent}")

    @property
    def onnx_threads(self) -> int:
        """Threads of each ONNX session."""
        return self.threads or len(os.sched_getaffinity(0))
