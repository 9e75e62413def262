"""Scores what is not yet scored: listing → decode → stage I → stage II → store.

Owns what a run is from outside: its listing, its server, its history and its report. The work itself lies in work.py. Each
shard is committed by itself, so a crash loses at most the shards in flight.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from selector.config import ScoreConfig
from selector.errors import UsageError
from selector.images.datasets import Listing, list_items
from selector.images.decoder_pool import decoder_pool
from selector.progress import Progress
from selector.scoring.plan import fingerprint, make_plan
from selector.scoring.work import Spent, Work
from selector.store.store import Store
from selector.store.view import StoreView, view_store

_HISTORY = "history.json"


@dataclass(frozen=True)
class ScoreReport:
    """What a scoring run did. unet_rows: UNet evaluations spent now; history: of every run of this store."""

    view: StoreView
    unet_rows: int
    seconds: dict[str, float]
    restarts: int
    history: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready summary."""
        return {
            "counts": self.view.counts,
            "unet_rows": self.unet_rows,
            "unet_rows_in_store": self.view.unet_rows,
            "seconds": self.seconds,
            "server_restarts": self.restarts,
            "history": self.history,
        }


def score(config: ScoreConfig, progress: Progress) -> ScoreReport:
    """Brings the store up to date with the data; spends nothing where nothing is missing.

    Raises MismatchError for unknown class folders, StoreError for a store of another configuration, ServerError if a
    server stays away, ContractError for a server that is not what the client needs.
    """
    listing = listing_of(config)
    spent = Spent()
    if _nothing_to_do(config, listing):
        return ScoreReport(view_store(config.store, listing), 0, {}, 0, read_history(config.store))
    config.store.mkdir(parents=True, exist_ok=True)
    with _server(config, progress, spent) as addresses, decoder_pool(config.decoders) as pool:
        asyncio.run(Work(config, listing, progress, pool, spent).everything(addresses))
    history = _append_history(config.store, spent)
    view = view_store(config.store, listing)
    return ScoreReport(view, spent.unet_rows, spent.seconds, spent.restarts, history)


def read_history(store: Path) -> list[dict[str, Any]]:
    """One record per scoring run that did work: server version, UNet rows, seconds by stage, restarts."""
    path = store / _HISTORY
    return list(json.loads(path.read_text())) if path.exists() else []


def _append_history(store: Path, spent: Spent) -> list[dict[str, Any]]:
    history = read_history(store)
    history.append(
        {
            "server_version": spent.server_version,
            "unet_rows": spent.unet_rows,
            "seconds": spent.seconds,
            "server_restarts": spent.restarts,
        }
    )
    temporary = store / (_HISTORY + ".tmp")
    temporary.write_text(json.dumps(history, indent=2) + "\n")
    temporary.replace(store / _HISTORY)
    return history


def listing_of(config: ScoreConfig) -> Listing:
    listing = list_items(config.data)
    if not listing.items:
        raise UsageError(f"{config.data} holds no files in class folders")
    if config.limit_per_class:
        kept: dict[str, int] = {}
        items = []
        for item in listing.items:
            kept[item.folder] = kept.get(item.folder, 0) + 1
            if kept[item.folder] <= config.limit_per_class:
                items.append(item)
        listing = replace(listing, items=tuple(items))
    return listing


def _nothing_to_do(config: ScoreConfig, listing: Listing) -> bool:
    """Whether every file of the listing is in the store; for the embedded server the configuration is checked as well."""
    if not Store.exists(config.store):
        return False
    store = Store.open(config.store)
    if not config.servers:
        identity = read_identity(config.repository)
        store = Store.create_or_open(config.store, fingerprint(identity, make_plan(identity, config)))
    return not (store.image_shards() - store.patch_shards()) and {i.source for i in listing.items} <= store.sources()


@contextmanager
def _server(config: ScoreConfig, progress: Progress, spent: Spent) -> Iterator[tuple[str, ...]]:
    """Addresses of the servers to use. The embedded one, if it dies, is started again by its supervisor on its ports."""
    if config.servers:
        yield config.servers
        return
    started = time.monotonic()
    with EmbeddedServer(config.repository, log=config.server_log or config.store / "server.log", restarts=5) as server:
        spent.seconds["server start"] = round(time.monotonic() - started, 3)
        progress.note(f"embedded Triton {server.version} on {server.grpc_url}, log {server.log}")
        yield (server.grpc_url,)
        spent.restarts = server.restarts
        if spent.restarts:
            progress.note(f"the embedded server died and was replaced {spent.restarts} times")
