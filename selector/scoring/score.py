"""Scores what is not yet scored: listing → decode → stage I → stage II → store.

Owns the order of work and the shards in flight. Numbers come from stage_one and stage_two, files from prepare,
durability from store. Each shard is committed by itself, so a crash loses at most the shards in flight.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from client.embedded.server import EmbeddedServer
from client.repository import read_identity
from client.scoring import ClientConfig, ScoringClient
from selector.config import ScoreConfig
from selector.errors import UsageError
from selector.images.datasets import Listing, list_items, match_classes, read_class_names
from selector.images.decoder_pool import decoder_pool
from selector.images.prepare import Crops, Prepared, prepare_crops, prepare_images
from selector.progress import Progress
from selector.records import Box
from selector.scoring.plan import Plan, fingerprint, make_plan
from selector.scoring.shards import ScoredFile, Shard, plan_shards
from selector.scoring.stage_one import score_images
from selector.scoring.stage_two import describe_crops
from selector.store.rows import image_rows, patch_rows
from selector.store.store import Store
from selector.store.view import StoreView, view_store

_SHARDS_IN_FLIGHT = 2
_PIECE = 64  # files per call of a decoding process
_HISTORY = "history.json"

Item = TypeVar("Item")
Result = TypeVar("Result")


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
            "seconds": self.seconds,
            "server_restarts": self.restarts,
            "history": self.history,
        }


@dataclass
class _Spent:
    """Running totals of one call of `score`."""

    unet_rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    server_version: str = ""
    restarts: int = 0


def score(config: ScoreConfig, progress: Progress) -> ScoreReport:
    """Brings the store up to date with the data; spends nothing where nothing is missing.

    Raises MismatchError for unknown class folders, StoreError for a store of another configuration, ServerError if a
    server stays away, ContractError for a server that is not what the client needs.
    """
    listing = listing_of(config)
    spent = _Spent()
    if _nothing_to_do(config, listing):
        return ScoreReport(view_store(config.store, listing), 0, {}, 0, read_history(config.store))
    config.store.mkdir(parents=True, exist_ok=True)
    with _server(config, progress, spent) as addresses, decoder_pool(config.decoders) as pool:
        asyncio.run(_Run(config, listing, progress, pool, spent).everything(addresses))
    history = _append_history(config.store, spent)
    return ScoreReport(view_store(config.store, listing), spent.unet_rows, spent.seconds, spent.restarts, history)


def read_history(store: Path) -> list[dict[str, Any]]:
    """One record per scoring run that did work: server version, UNet rows, seconds by stage, restarts."""
    path = store / _HISTORY
    return list(json.loads(path.read_text())) if path.exists() else []


def _append_history(store: Path, spent: _Spent) -> list[dict[str, Any]]:
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
def _server(config: ScoreConfig, progress: Progress, spent: _Spent) -> Iterator[tuple[str, ...]]:
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


class _Run:
    """One attempt at the whole; what an earlier attempt committed is not done again."""

    def __init__(
        self,
        config: ScoreConfig,
        listing: Listing,
        progress: Progress,
        pool: ProcessPoolExecutor,
        spent: _Spent,
    ) -> None:
        self._config, self._listing, self._progress = config, listing, progress
        self._pool, self._spent = pool, spent

    async def everything(self, addresses: tuple[str, ...]) -> None:
        async with ScoringClient(ClientConfig(servers=addresses, security=self._config.security)) as client:
            self._spent.server_version = client.server_version
            plan = make_plan(client.identity, self._config)
            mapping = read_class_names(self._config.class_names) if self._config.class_names else None
            folders = match_classes(self._listing.folders, client.identity.classes, mapping)
            store = Store.create_or_open(self._config.store, fingerprint(client.identity, plan))
            store.write_data_root(self._config.data, folders)
            files = [ScoredFile(item.source, folders[item.folder]) for item in self._listing.items]
            await self._images(client, plan, store, files)
            await self._patches(client, plan, store)

    async def _images(self, client: ScoringClient, plan: Plan, store: Store, files: Sequence[ScoredFile]) -> None:
        shards = plan_shards(files, store.sources(), store.image_shards(), self._config.shard_size)
        total = sum(len(shard.files) for shard in shards) * plan.unet_rows_per_image

        with self._timed("typicality", total, "UNet rows") as advance:

            async def one(shard: Shard) -> None:
                prepared = await self._prepared(plan, [file.source for file in shard.files])
                scores = await score_images(client, plan, prepared, [file.class_id for file in shard.files], advance)
                self._spent.unet_rows += sum(score.unet_rows for score in scores)
                advance(sum(plan.unet_rows_per_image - score.unet_rows for score in scores))
                rows, maps = image_rows(scores, client.geometry.latent[1:])
                await asyncio.to_thread(store.commit_images, shard.number, 0, rows, maps)

            await _bounded(one, shards)

    async def _patches(self, client: ScoringClient, plan: Plan, store: Store) -> None:
        shards = sorted(store.image_shards() - store.patch_shards())
        images = {shard: store.scored_images(shard) for shard in shards}
        total = sum(len(image.boxes) for group in images.values() for image in group)

        with self._timed("features", total, "patches") as advance:

            async def one(shard: int) -> None:
                scored = images[shard]
                wanted = [(image.source, image.image_id, image.boxes) for image in scored]
                crops = await self._crops(wanted, plan.resolution)
                features = await describe_crops(client, crops, [image.class_id for image in scored], advance)
                rows, vectors = patch_rows(scored, features, client.geometry.feature)
                await asyncio.to_thread(store.commit_patches, shard, rows, vectors)

            await _bounded(one, shards)

    async def _prepared(self, plan: Plan, sources: Sequence[str]) -> list[Prepared]:
        loop = asyncio.get_running_loop()
        calls = [
            loop.run_in_executor(
                self._pool, prepare_images, self._config.data, piece, plan.resolution, plan.fit, plan.min_side
            )
            for piece in _pieces(sources)
        ]
        return [image for part in await asyncio.gather(*calls) for image in part]

    async def _crops(self, wanted: Sequence[tuple[str, str, tuple[Box, ...]]], resolution: int) -> list[Crops]:
        loop = asyncio.get_running_loop()
        calls = [
            loop.run_in_executor(self._pool, prepare_crops, self._config.data, piece, resolution)
            for piece in _pieces(wanted)
        ]
        return [crop for part in await asyncio.gather(*calls) for crop in part]

    @contextmanager
    def _timed(self, name: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
        started = time.monotonic()
        try:
            with self._progress.stage(name, total, unit) as advance:
                yield advance
        finally:
            seconds = self._spent.seconds
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - started, 3)


def _pieces(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + _PIECE] for start in range(0, len(items), _PIECE)]


async def _bounded(work: Callable[[Item], Coroutine[Any, Any, None]], items: Sequence[Item]) -> None:
    """Runs `work` on all items, few at a time; the first error cancels the rest and is raised bare."""
    slots = asyncio.Semaphore(_SHARDS_IN_FLIGHT)

    async def one(item: Item) -> None:
        async with slots:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
