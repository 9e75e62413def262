"""The main job after scoring: select, export, manifest and report, from a store and the original images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from client.repository import read_identity
from selector.builtin import builtin_scenes
from selector.config import ScoreConfig, SelectConfig
from selector.errors import SelectorError, UsageError
from selector.folders.locks import held
from selector.images.class_folders import matched_folders
from selector.images.class_names import composed, read_class_names
from selector.images.labels import Labels
from selector.images.listing import Listing
from selector.images.locations import Data
from selector.images.originals import Originals, originals
from selector.order_pool import order_pool
from selector.output.cutting import Cutter, cutting_pool
from selector.output.folder import REPORT_FILE, holds, left_out_of, refuse_foreign, settings_of, taken_in
from selector.output.manifest import Spent, manifest_of, report_input
from selector.output.publish import publish
from selector.progress import Progress
from selector.report import shown_of, write_report
from selector.scoring.further_patches import further_patches, with_further
from selector.selection.order_cache import OrderCache
from selector.selection.selection import Selection, refuse_short
from selector.selection.selection import select as select_patches
from selector.store.fingerprint import is_unlabelled
from selector.store.kept_listing import keep_if_fresh, listed
from selector.store.losses import across_lines, bare_class_lines, explainer, listing_lines, loss_lines
from selector.store.outcomes import listing_outcomes
from selector.store.outcomes_table import has_outcomes, outcomes_path, write_outcomes
from selector.store.store import Store
from selector.store.view import StoreView, view_store


def run(scoring: ScoreConfig, selection: SelectConfig, progress: Progress, *, named_out: bool = True) -> dict[str, Any]:
    """Scores what is missing, then selects and exports; returns the manifest.

    named_out: whether somebody chose the output folder; otherwise one that holds scores of other data raises UsageError.
    """
    from selector.scoring.score import listing_of, score  # what speaks with servers; a selection needs none of it

    refuse_foreign(selection.out, selection.ipc)
    Store.refuse_foreign(scoring.store)
    if not named_out:
        _refuse_other_data(scoring, selection.out)
    listing = listing_of(scoring, progress)
    _refuse_hopeless(scoring, selection, listing)
    report = score(scoring, progress, listing)
    with held(selection.out, wait=selection.wait, note=progress.note):
        spent, view = Spent(report.unet_rows, report.restarts, dict(report.seconds)), report.view
        if selection.across_classes != "first":
            view = view_store(scoring.store, report.listing, view.unread, selection.across_classes)
            write_outcomes(scoring.store, view.outcomes)
        with _cutting_pool(scoring.store, report.listing, selection) as pool:
            return _publish(report.listing, view, selection, spent, progress, pool)


def select(store: Path, data: Data | None, selection: SelectConfig, progress: Progress) -> dict[str, Any]:
    """Selects and exports from a store; returns the manifest."""
    _give_memory_back()
    if selection.ray is not None:
        store = store.resolve()  # processes elsewhere read features of it
    refuse_foreign(selection.out, selection.ipc)
    listing = _listed(store, data, selection, progress)
    for line in loss_lines(listing):
        progress.warn(line)
    for line in listing_lines(listing, selection.exclude):
        progress.note(line)
    with _cutting_pool(store, listing, selection) as pool:
        view = view_store(store, listing, across=selection.across_classes)
        if view.counts["gone"]:
            progress.note(f"{view.counts['gone']} scored files are no longer in {listing.root}: they are left out")
        if view.counts["unscored"]:
            progress.note(
                f"{view.counts['unscored']} files of {listing.root} are not scored: only the others are chosen from"
            )
        with held(selection.out, wait=selection.wait, note=progress.note):
            return _publish(listing, view, selection, Spent(), progress, pool)


def report(
    store: Path,
    data: Data | None,
    out: Path,
    ipc: int,
    asked: Mapping[str, Any],
    progress: Progress,
    wait: bool = True,
    relist: bool = False,
    labels: Labels | None = None,
) -> Path:
    """Writes the report of an existing selection again. asked: order, on_short and seed where they were named.

    They are the selection's own; raises UsageError for others, SelectorError if the store gives other picks by now.
    """
    folder = out / f"ipc-{ipc}"
    across, exclude = left_out_of(folder)
    made = settings_of(folder) | {"across_classes": across}
    for name, value in asked.items():
        if value != made[name]:
            flag = name.replace("_", "-")
            raise UsageError(
                f"{folder} was selected with --{flag} {made[name]}, not {value}: select again, or leave it away"
            )
    selection = SelectConfig(ipc, out, **made, exclude=exclude, labels=labels, relist=relist)
    listing = _listed(store, data, selection, progress)
    view = view_store(store, listing, across=across)
    with held(out, wait=wait, note=progress.note), originals(listing, view.scored) as images:
        view, chosen = _chosen(view, selection, images, progress)
        if not holds(folder, chosen, view.patches):
            raise SelectorError(f"{folder} holds other picks than {store} gives now: select again (selector select)")
        cutter = Cutter(images, 0)
        return write_report(folder / REPORT_FILE, report_input(view, chosen, images, cutter, Spent(), taken_in(folder)))


def _give_memory_back() -> None:
    """Takes jemalloc for the columns of millions of images, which come and go.

    A selection from 1.28 million images took 813 MB so; by the default allocator, mimalloc, 950 to 1,090.
    """
    with suppress(NotImplementedError):  # not built into this pyarrow
        pa.set_memory_pool(pa.jemalloc_memory_pool())


def _listed(store: Path, data: Data | None, selection: SelectConfig, progress: Progress) -> Listing:
    opened = Store.open(store)
    scored = opened.read_data_root()
    root = data or scored.root
    labels = scored.labels if selection.labels is None else selection.labels
    if not root.exists():
        raise SelectorError(f"the images were scored at {root}, which is gone: name their new place (--data)")
    listing = listed(
        store,
        root,
        selection.relist,
        progress.note,
        exclude=selection.exclude,
        own=(store, selection.out),
        labels=labels,
        unlabelled=is_unlabelled(opened.read_fingerprint()),
    )
    keep_if_fresh(store, listing)
    return listing


def _refuse_other_data(scoring: ScoreConfig, out: Path) -> None:
    """Two data sets of one name have the same default folder."""
    from selector.scoring.score import data_root_of

    before, now = data_root_of(scoring.store), scoring.data.resolve()
    if before not in (None, now) and now != builtin_scenes().resolve():
        raise UsageError(
            f"{out} holds scores of {before}, not of {now}: name a folder for the output (--out), or the same one on purpose if "
            "the data moved"
        )


def _refuse_hopeless(scoring: ScoreConfig, selection: SelectConfig, listing: Listing) -> None:
    """Folders that are no classes, or have too few files for enough patches: said before the first row is spent."""
    if scoring.unlabelled:
        return
    classes: Mapping[str, int | str] = {folder: composed(folder) for folder in listing.folders}
    if scoring.known_repository is not None:
        mapping = read_class_names(scoring.class_names) if scoring.class_names else None
        identity = read_identity(scoring.known_repository)
        classes = matched_folders(listing, identity.classes, mapping, identity.class_names)
    most = scoring.limit_per_class or len(listing)
    files = {folder: scoring.patches_per_image * min(count, most) for folder, count in listing.counts().items()}
    one_folder_each = scoring.class_names is None and len(set(classes.values())) == len(classes)
    if one_folder_each and selection.on_short != "patches":
        explain = explainer(listing_outcomes(listing), {folder: folder for folder in listing.folders})
        refuse_short(files, selection.ipc, selection.on_short, explain)


def _chosen(
    view: StoreView, selection: SelectConfig, images: Originals, progress: Progress
) -> tuple[StoreView, Selection]:
    """The selection, and the view with the patches that its rows number."""
    if not view.class_names:
        raise SelectorError(
            f"{view.store} has no image of a clear class: score again with a smaller --min-margin, or see outcomes.csv beside it"
        )
    cache, further = OrderCache(view.store / "orders"), None
    if selection.on_short == "patches":
        counts = np.bincount(view.patches.class_id, minlength=max(view.class_names) + 1)
        further = further_patches(view, images, [c for c in view.class_names if counts[c] < selection.ipc])
    ordering = progress.stage("order", len(view.class_names), "classes")
    with order_pool(selection.workers, selection.ray) as pool, ordering as advance:
        chosen = select_patches(
            view.patches,
            view.class_names,
            selection.ipc,
            order=selection.order,
            on_short=selection.on_short,
            seed=selection.seed,
            cache=cache,
            pool=pool,
            further=further,
            advance=advance,
            explain=explainer(view.outcomes, view.folders, view.class_names),
            told_in=str(outcomes_path(view.store)) if has_outcomes(view.store) else "",
        )
    if cache.problem:
        progress.note(f"the orders of classes can't be kept ({cache.problem}): the next selection makes them again")
    if further is not None:
        view = replace(view, patches=with_further(view.patches, further))
    return view, chosen


def _cutting_pool(store: Path, listing: Listing, selection: SelectConfig) -> AbstractContextManager[Executor | None]:
    classes = len(listing.folders) or len(Store.open(store).read_fingerprint()["classes"])
    return cutting_pool(selection.ipc * classes, selection.workers)


def _publish(
    listing: Listing,
    view: StoreView,
    selection: SelectConfig,
    spent: Spent,
    progress: Progress,
    pool: Executor | None,
) -> dict[str, Any]:
    for line in across_lines(view.crossings, selection.across_classes):
        progress.warn(line)
    started = time.monotonic()
    with originals(listing, view.scored) as images:
        view, chosen = _chosen(view, selection, images, progress)
        bare = [view.class_names[number] for number in view.class_names if not len(chosen.class_rows[number])]
        for line in bare_class_lines(bare, explainer(view.outcomes, view.folders, view.class_names)):
            progress.warn(line)
        spent.seconds["select"] = round(time.monotonic() - started, 3)
        started = time.monotonic()
        manifest = manifest_of(view, chosen, selection, spent)
        folder = refuse_foreign(selection.out, selection.ipc)
        cutter = Cutter(images, shown_of(len(view.class_names)), pool)
        manifest = publish(folder, view, chosen, listing, cutter, manifest, selection.export, progress.note)
        spent.seconds["export"] = round(time.monotonic() - started, 3)
        shown = report_input(view, chosen, images, cutter, spent, selection.export.take)
        write_report(folder / REPORT_FILE, shown)
    return manifest
