"""Whom a command asks for scores, and how long it insists."""

from __future__ import annotations

from dataclasses import replace

from client.embedded.server import EmbeddedServer
from client.scoring import ClientConfig
from selector.config import ScoreConfig


def client_config(config: ScoreConfig, embedded: EmbeddedServer | None = None) -> ClientConfig:
    """The servers of the configuration, or the embedded one, which may take as long as its models do."""
    servers = config.servers if embedded is None else (embedded.grpc_url,)
    asked = ClientConfig(
        servers,
        security=config.security,
        trace=config.trace,
        metrics_address=config.metrics_address,
        repository=config.said,
    )
    if embedded is None:
        return asked
    # It is watched: what is silent for a minute computes. Twice as long covers a restart.
    return replace(asked, attempt_s=embedded.patience_s, deadline_s=2 * embedded.patience_s)
