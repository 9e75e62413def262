"""The work of one scoring run: stage I, then stage II, shard by shard, a few shards at a time.

Numbers come from stage_one and stage_two, files from prepare, durability from store.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from client.contract import Identity
from client.scoring import ClientConfig, ScoringClient
from selector.config import ScoreConfig
from selector.errors import SelectorError
from selector.images.class_folders import matched_folders, position_lines
from selector.images.class_names import read_class_names
from selector.images.listing import Listing, rows_in
from selector.images.prepare import CHANGED, UNREAD
from selector.progress import Progress
from selector.scoring.assigning import UNASSIGNED, Known, assign_classes, remembered
from selector.scoring.assignment import Assigned
from selector.scoring.reading import Files
from selector.scoring.remaining import failed_features, settled
from selector.scoring.rows import image_rows, patch_rows
from selector.scoring.settings import ScoringSettings, fingerprint, settings_of
from selector.scoring.shards import Shard, cut_shards, first_spare, part_rows, spare_numbers
from selector.scoring.sharing import Turns, committed_as
from selector.scoring.stage_one import Encoded, encode_images, score_images
from selector.scoring.stage_two import describe_crops
from selector.store.claims import Claims
from selector.store.store import Store, Undescribed

_SHARDS_IN_FLIGHT = 2


@dataclass
class Spent:
    """Running totals of one run. unet_rows: UNet evaluations; commits: of shards; seconds: by stage.

    unread: source → why it came to nothing, for files that the next run tries again.
    """

    unet_rows: int = 0
    commits: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    server_version: str = ""
    restarts: int = 0


def opened_store(
    config: ScoreConfig, listing: Listing, identity: Identity, settings: ScoringSettings
) -> tuple[Store, dict[str, int]]:
    """The store, made if there is none, and folder → class_id of the listing, of none where there are no labels.

    Raises StoreError if the store is of another configuration or has another class for a folder, MismatchError for a folder
    that is no class.
    """
    folders: dict[str, int] = {}
    if not config.unlabelled:
        mapping = read_class_names(config.class_names) if config.class_names else None
        folders = matched_folders(listing, identity.classes, mapping, identity.class_names)
    store = Store.create_or_open(config.store, fingerprint(identity, settings))
    store.check_folders(folders)
    return store, folders


class Work:
    """One attempt at the whole; what an earlier attempt committed is not done again."""

    def __init__(
        self,
        config: ScoreConfig,
        listing: Listing,
        progress: Progress,
        pool: ProcessPoolExecutor,
        spent: Spent,
        keep: Callable[[], None],
        claims: Claims,
    ) -> None:
        """keep: is called as soon as there is a store, which is to keep the listing. claims: this process's, registered."""
        self._config, self._listing, self._progress = config, listing, progress
        self._files, self._spent, self._keep = Files(pool), spent, keep
        self._known: Known = {}
        self._left: dict[str, int] = {}
        """Rows that the stages have still to get answered, at most."""
        self._turns = Turns(claims, progress.note, _SHARDS_IN_FLIGHT)

    async def everything(self, asked: ClientConfig) -> None:
        config = self._config
        async with ScoringClient(asked) as client, client.outages_told(self._progress.warn):
            client.gauges["selector_rows_left"] = lambda: sum(tuple(self._left.values()))  # asked in a thread
            client.gauges["selector_store_free_bytes"] = lambda: shutil.disk_usage(config.store).free
            if client.metrics_url:
                self._progress.warn(f"metrics of this run: {client.metrics_url}")
            self._spent.server_version = client.server_version
            settings = settings_of(client.identity, self._config)
            store, folders = opened_store(self._config, self._listing, client.identity, settings)
            for line in position_lines(folders, client.identity.classes, client.identity.class_names):
                self._progress.note(line)
            store.write_data_root(config.data, folders, config.labels, config.limit_per_class)
            await asyncio.to_thread(store.sweep)
            await asyncio.to_thread(self._keep)
            class_of = np.array([folders.get(folder, UNASSIGNED) for folder in self._listing.folders], np.int32)
            mine = part_rows(self._listing.reading_order(), config.shard_size, config.part)
            async with self._turns.claims.beating():
                await self._round(client, settings, store, class_of, mine, wait=True)
                if config.steal and not mine.all():
                    await self._round(client, settings, store, class_of, np.ones_like(mine), wait=False)

    async def _round(
        self,
        client: ScoringClient,
        settings: ScoringSettings,
        store: Store,
        class_of: NDArray[np.int32],
        mine: NDArray[np.bool_],
        *,
        wait: bool,
    ) -> None:
        """Both stages of these rows of the listing. wait: for what other processes work on."""
        self._turns.wait, retry = wait, self._config.retry_failed
        taken = store.image_shards()  # before what is done is looked for: others go on committing
        done = await asyncio.to_thread(settled, store, self._listing, retry_failed=retry)
        if self._config.unlabelled:
            self._known = memory = await asyncio.to_thread(remembered, store)
            anew = rows_in(self._listing.sources, memory.judged_otherwise(self._config.min_margin))
            done[anew[anew >= 0]] = False
        again = failed_features(store) if retry else None
        await self._images(client, settings, store, class_of, done | ~mine, taken)
        changed = await self._patches(client, settings, store, mine, again)
        if changed:  # while they were being scored: once more, from the start
            rows = rows_in(self._listing.sources, pa.array(sorted(changed), pa.string()))
            done = np.ones(len(self._listing), np.bool_)
            done[rows] = False
            await self._images(client, settings, store, class_of, done, store.image_shards())
            await self._patches(client, settings, store, mine)

    async def _images(
        self,
        client: ScoringClient,
        settings: ScoringSettings,
        store: Store,
        class_of: NDArray[np.int32],
        done: NDArray[np.bool_],
        taken: Collection[int],
    ) -> None:
        """class_of: the class_id of every class folder of the listing. done: bool, by its rows. taken: numbers of shards."""
        listing = self._listing
        spare = spare_numbers(first_spare(len(listing), self._config.shard_size, taken), self._config.part)
        shards = cut_shards(listing.reading_order(), done, taken, self._config.shard_size, spare)
        rows_per_image, budget = 2 * settings.draws, settings.assignment
        most = rows_per_image + (budget.most_unet_rows(settings.classes) if budget else 0)
        files = sum(len(shard.rows) for shard in shards)
        self._left["features"] = files * self._config.patches_per_image  # until they are counted

        with self._timed("typicality", files * most, "UNet rows", each=2) as advance:

            async def one(number: int, shard: Shard) -> None:
                rows = shard.rows
                if await asyncio.to_thread(store.has, "images", number):  # by another process
                    there = (await asyncio.to_thread(store.committed_rows, "images", number, "source"))["source"]
                    rows = rows[rows_in(there, listing.sources.take(pa.array(rows))) < 0]
                    advance((len(shard.rows) - len(rows)) * most)
                    if not len(rows):
                        return
                prepared = await self._files.prepared(settings, listing.places(rows))
                self._note_unread([(i.source, i.reason) for i in prepared if i.status == UNREAD], shard.of)
                encoded = await encode_images(client, prepared)
                encoded, found = await self._classes(client, settings, encoded, advance)
                labels = class_of[listing.folder[rows]].tolist()
                class_ids = [found[i].class_id if i in found else label for i, label in enumerate(labels)]
                scores = await score_images(client, settings, encoded, class_ids, advance)
                scores = [replace(score, assigned=found.get(i)) for i, score in enumerate(scores)]
                self._spent.unet_rows += sum(score.unet_rows for score in scores)
                advance(sum(rows_per_image - score.unet_rows for score in scores))
                lost = [(s.prepared.source, s.prepared.reason) for s in scores if s.prepared.status == UNREAD]
                self._note_unread(lost, shard.of)
                kept = [score for score in scores if score.prepared.status != UNREAD]
                if kept:
                    made = image_rows(kept, client.geometry.latent[1:])
                    await asyncio.to_thread(committed_as, store, "images", number, spare, *made)
                    self._note_done([score.prepared.source for score in kept])

            await self._turns.each("images", {shard.number: shard for shard in shards}, one)

    async def _classes(
        self,
        client: ScoringClient,
        settings: ScoringSettings,
        encoded: Encoded,
        advance: Callable[[int], None],
    ) -> tuple[Encoded, dict[int, Assigned]]:
        """Where labels say the classes, the images as they are."""
        budget, least, known = settings.assignment, self._config.min_margin, self._known
        if budget is None:
            return encoded, {}
        encoded, found, spent = await assign_classes(client, budget, settings.classes, encoded, known, least, advance)
        self._spent.unet_rows += spent
        return encoded, found

    async def _patches(
        self,
        client: ScoringClient,
        settings: ScoringSettings,
        store: Store,
        mine: NDArray[np.bool_],
        again: pa.Array | None = None,
    ) -> set[str]:
        """Describes what has windows and no features, of these rows of the listing; returns the sources whose files changed."""
        sources = self._listing.sources if mine.all() else self._listing.sources.filter(pa.array(mine))
        taken = store.patch_shards()  # before what is missing is looked for: others go on committing
        groups = await asyncio.to_thread(store.undescribed, sources, again)
        total = sum(len(image.boxes) for group in groups for image in group.images)
        first = first_spare(len(self._listing), self._config.shard_size, taken | store.image_shards())
        spare = spare_numbers(first, self._config.part)
        work = {next(spare) if group.shard in taken else group.shard: group for group in groups}
        changed: set[str] = set()

        with self._timed("features", total, "patches") as advance:

            async def one(number: int, group: Undescribed) -> None:
                images = group.images
                if await asyncio.to_thread(store.has, "patches", number):  # by another process
                    have = await asyncio.to_thread(store.committed_rows, "patches", number, "source")
                    there = set(have["source"].to_pylist())
                    images = tuple(image for image in images if image.source not in there)
                    advance(sum(len(image.boxes) for image in group.images if image.source in there))
                    if not images:
                        return
                rows = rows_in(self._listing.sources, pa.array([image.source for image in images], pa.string()))
                places = self._listing.places(rows)
                wanted = [(at, image.image_id, image.boxes) for at, image in zip(places, images, strict=True)]
                crops = await self._files.crops(wanted, settings.resolution)
                self._note_unread([(c.source, c.reason) for c in crops if c.status == UNREAD], group.of)
                changed.update(crop.source for crop in crops if crop.reason == CHANGED)
                class_ids = [image.class_id for image in images]
                features = await describe_crops(client, crops, class_ids, advance)
                self._note_unread([(f.source, f.reason) for f in features if f.status == UNREAD], group.of)
                both = zip(images, features, strict=True)
                kept = [(image, feature) for image, feature in both if feature.status != UNREAD]
                if kept:
                    images, described = zip(*kept, strict=True)
                    made = patch_rows(images, described, client.geometry.feature)
                    await asyncio.to_thread(committed_as, store, "patches", number, spare, *made)
                    self._note_done([image.source for image in images])

            await self._turns.each("patches", work, one)
        return changed

    def _note_unread(self, lost: Sequence[tuple[str, str]], of: int) -> None:
        """Remembers files that came to nothing for what lies around them; raises SelectorError if that is most of `of`."""
        self._spent.unread.update(lost)
        if 2 * len(lost) > of:
            source, reason = lost[0]
            raise SelectorError(
                f"{len(lost)} of {of} files could not be read at once, the first {self._config.data / source}: {reason}. The "
                "run stops, and nothing of this is recorded: make them readable, then run the same command again"
            )

    def _note_done(self, sources: Iterable[str]) -> None:
        self._spent.commits += 1
        for source in sources:
            self._spent.unread.pop(source, None)

    @contextmanager
    def _timed(self, name: str, total: int, unit: str, each: int = 1) -> Iterator[Callable[[int], None]]:
        """each: units of a row."""
        started, done = time.monotonic(), 0

        def count(units: int) -> None:
            nonlocal done
            done += units
            self._left[name] = (total - done) // each
            advance(units)

        self._left[name] = total // each
        try:
            with self._progress.stage(name, total, unit) as advance:
                yield count
        finally:
            self._left[name] = 0
            seconds = self._spent.seconds
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - started, 3)
