"""Scores what is not yet scored: listing → decode → stage I → stage II → store.

The work itself lies in work.py. Each shard is committed by itself, so a crash loses at most the shards in flight.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from client.scoring import ClientConfig
from selector.config import ScoreConfig
from selector.errors import SelectorError, UsageError
from selector.images.listing import Listing
from selector.images.locations import Data
from selector.processes import begin_work, process_pool, run_in_loop
from selector.progress import Progress
from selector.scoring.asking import client_config
from selector.scoring.assigning import remembered
from selector.scoring.on_ray import spread
from selector.scoring.remaining import failed_features, settled
from selector.scoring.settings import settings_of
from selector.scoring.shards import part_rows
from selector.scoring.work import Spent, Work, opened_store
from selector.store.claims import Claims, writers
from selector.store.kept_listing import keep_if_fresh, listed
from selector.store.losses import listing_lines, loss_lines
from selector.store.outcomes_table import refuse_foreign_table, write_outcomes
from selector.store.store import DATA_FILE, Store
from selector.store.view import StoreView, view_store

_LONG_START_S = 120.0  # is said before, so that nobody takes the silence for a hang


@dataclass(frozen=True)
class ScoreReport:
    """What a scoring run did. unet_rows: UNet evaluations spent now; history: of every run of this store."""

    view: StoreView
    listing: Listing
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


def score(config: ScoreConfig, progress: Progress, listing: Listing | None = None) -> ScoreReport:
    """Brings the store up to date with the data; spends nothing where nothing is missing. Writes outcomes.csv beside it.

    listing: what `listing_of` gave, if that is known.

    Raises MismatchError for unknown class folders, StoreError for a store of another configuration, ServerError if a
    server stays away, ContractError for a server that is not what the client needs, UsageError for a folder of another kind,
    SelectorError where most files can't be read.
    """
    if config.ray is not None:
        spread(config, progress, _spent_by)  # what is left then is done here
    listing = listing or listing_of(config, progress)
    Store.refuse_foreign(config.store)
    refuse_foreign_table(config.store)
    for line in loss_lines(listing):
        progress.warn(line)
    for line in listing_lines(listing, config.exclude):
        progress.note(line)
    index, count = config.part
    part = f"part {index + 1}/{count}" if count > 1 else ""
    claims = Claims(config.store, part)
    others = writers(config.store)
    with claims.registered():
        if others:
            who = ", ".join(str(other) + (f" ({other.part})" if other.part else "") for other in others[:8])
            if not config.wait:
                raise SelectorError(
                    f"{config.store} is being scored by {who}: wait for it to end, leave --no-wait away to share the work, or "
                    "name another folder"
                )
            progress.note(f"{config.store} is being scored by {who}: the work is shared")
        return _score(config, listing, progress, claims)


def _spent_by(config: ScoreConfig) -> int:
    return score(config, Progress(quiet=True)).unet_rows


def data_root_of(store: Path) -> Data | None:
    """Where the images of the store at the path lay when it was used last; None if there is no store, or it does not say."""
    if not (store / DATA_FILE).is_file() or not Store.exists(store):
        return None
    return Store.open(store).read_data_root().root


def _score(config: ScoreConfig, whole: Listing, progress: Progress, claims: Claims) -> ScoreReport:
    spent, listing = Spent(), whole.limited(config.limit_per_class)
    before, now = data_root_of(config.store), config.data.resolve()
    if before not in (None, now):
        progress.note(
            f"{config.store} was made from {before}: a file of {now} counts as scored where its path is the same"
        )

    keep = partial(keep_if_fresh, config.store, whole)
    if _nothing_to_do(config, listing):
        keep()
    else:
        with _server(config, progress, spent, claims) as asked, process_pool(config.decoders, begin_work) as pool:
            work = Work(config, listing, progress, pool, spent, keep, claims)
            run_in_loop(lambda: work.everything(asked))
    store = Store.open(config.store)
    if spent.commits:
        store.append_history(
            {
                "server_version": spent.server_version,
                "unet_rows": spent.unet_rows,
                "seconds": spent.seconds,
                "server_restarts": spent.restarts,
            }
        )
    view = view_store(config.store, listing, spent.unread)
    write_outcomes(config.store, view.outcomes)
    if config.unlabelled:
        progress.note(remembered(store).line(listing.sources, view.fingerprint["classes"]))
    if view.unread:
        source, reason = next(iter(view.unread.items()))
        progress.note(
            f"{len(view.unread)} files could not be read, the first {source}: {reason}. The next run tries again"
        )
    return ScoreReport(view, listing, spent.unet_rows, spent.seconds, spent.restarts, store.read_history())


def listing_of(config: ScoreConfig, progress: Progress) -> Listing:
    """The files of the data, of which those are listed that no listing kept in the store has. UsageError if there are none."""
    listing = listed(
        config.store,
        config.data,
        config.relist,
        progress.note,
        exclude=config.exclude,
        own=(config.store,),
        labels=config.labels,
        unlabelled=config.unlabelled,
    )
    if not len(listing):
        told = [*loss_lines(listing), *listing_lines(listing, config.exclude)]
        where = "" if config.unlabelled else " in class folders"
        raise UsageError(f"{config.data} holds no images{where}" + "".join(f"; {line}" for line in told))
    return listing


def _nothing_to_do(config: ScoreConfig, listing: Listing) -> bool:
    """Whether the store, which is compared with what is asked, has everything. Running servers are always asked for theirs."""
    if config.servers or not Store.exists(config.store):
        return False
    identity = read_identity(config.repository)
    store, folders = opened_store(config, listing, identity, settings_of(identity, config))
    retry = config.retry_failed
    mine = part_rows(listing.reading_order(), config.shard_size, config.part)
    if config.steal:
        mine[:] = True
    if not settled(store, listing, retry_failed=retry)[mine].all():
        return False
    if config.unlabelled and len(remembered(store).judged_otherwise(config.min_margin)):
        return False
    if store.undescribed(listing.sources.filter(pa.array(mine)), failed_features(store) if retry else None):
        return False
    store.write_data_root(config.data, folders, config.labels, config.limit_per_class)
    return True


@contextmanager
def _server(config: ScoreConfig, progress: Progress, spent: Spent, claims: Claims) -> Iterator[ClientConfig]:
    """The servers to use, and how. The embedded one, if it dies, is started again by its supervisor on its ports."""
    if config.servers:
        yield client_config(config)
        return
    started, own = time.monotonic(), "server.log" if claims.alone() else f"server.log.{claims.writer.id}"
    server = EmbeddedServer(
        config.repository, log=config.server_log or config.store / own, device=config.device, restarts=5
    )
    if server.patience_s >= _LONG_START_S:
        progress.note(f"the embedded server loads large models, for up to {server.patience_s / 60:.0f} minutes")
    with server:
        spent.seconds["server start"] = round(time.monotonic() - started, 3)
        progress.note(f"embedded Triton {server.version} on {server.grpc_url}, log {server.log}")
        yield client_config(config, server)
        spent.restarts = server.restarts
        if spent.restarts:
            progress.note(f"the embedded server died and was replaced {spent.restarts} times")
