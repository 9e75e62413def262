"""A selection from a store becomes a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from selector.config import ExportConfig
from selector.folders.files import file_errors
from selector.images.listing import Listing
from selector.output.classes import output_classes
from selector.output.cutting import Cutter
from selector.output.folder import SOFT_LABELS_FILE, write_selection
from selector.output.table import selection_table
from selector.selection.selection import Selection
from selector.store.view import StoreView


def publish(
    final: Path,
    view: StoreView,
    chosen: Selection,
    listing: Listing,
    cutter: Cutter,
    manifest: Mapping[str, Any],
    config: ExportConfig,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Writes the selection's folder and returns its manifest, as `write_selection` does.

    note: takes a line if several picks are of one image, which is handed out once.
    """
    classes = output_classes(view.class_names, view.names)
    sources = view.patches.source[chosen.row]
    folders = listing.folders_of(sources)
    picks = selection_table(chosen, view.patches, classes, view.scored.rows(sources), folders)
    labelled = (final / SOFT_LABELS_FILE).is_file()
    with file_errors(final):
        written = write_selection(
            final, picks, classes, cutter.pictures, manifest, config, str(view.fingerprint["fit"])
        )
    if again := len(picks) - written["export"]["handed_out"]:
        note(
            f"{again} picks are further windows of images that are handed out already (--take image): each image is once there"
        )
    if labelled and not (final / SOFT_LABELS_FILE).is_file():
        note(
            f"{final / SOFT_LABELS_FILE} was of other pictures and went with them: label these (selector label {final})"
        )
    return written
