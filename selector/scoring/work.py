"""The work of one scoring run: stage I, then stage II, shard by shard, a few shards at a time.

Owns the order of work, the shards in flight and their timing. Must not know flags, servers' lives or history (score.py).
Numbers come from stage_one and stage_two, files from prepare, durability from store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from client.scoring import ClientConfig, ScoringClient
from selector.config import ScoreConfig
from selector.images.datasets import Listing, match_classes, read_class_names
from selector.images.prepare import Crops, Prepared, prepare_crops, prepare_images
from selector.progress import Progress
from selector.records import Box
from selector.scoring.plan import Plan, fingerprint, make_plan
from selector.scoring.shards import ScoredFile, Shard, plan_shards
from selector.scoring.stage_one import score_images
from selector.scoring.stage_two import describe_crops
from selector.store.rows import image_rows, patch_rows
from selector.store.store import Store

_SHARDS_IN_FLIGHT = 2
_PIECE = 64  # files per call of a decoding process

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Spent:
    """Running totals of one run. unet_rows: UNet evaluations; seconds: by stage."""

    unet_rows: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    server_version: str = ""
    restarts: int = 0


class Work:
    """One attempt at the whole; what an earlier attempt committed is not done again."""

    def __init__(
        self,
        config: ScoreConfig,
        listing: Listing,
        progress: Progress,
        pool: ProcessPoolExecutor,
        spent: Spent,
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
        rows_per_image = 2 * plan.draws

        total = sum(len(shard.files) for shard in shards) * rows_per_image

        with self._timed("typicality", total, "UNet rows") as advance:

            async def one(shard: Shard) -> None:
                prepared = await self._prepared(plan, [file.source for file in shard.files])
                class_ids = [file.class_id for file in shard.files]
                scores = await score_images(client, plan, prepared, class_ids, advance)
                self._spent.unet_rows += sum(score.unet_rows for score in scores)
                advance(sum(rows_per_image - score.unet_rows for score in scores))
                rows, maps = image_rows(scores, client.geometry.latent[1:])
                await asyncio.to_thread(store.commit_images, shard.number, rows, maps)

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
