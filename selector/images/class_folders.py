"""The class of every class folder of a listing, and what to do where the folders are not those of classes.

Names are matched by class_names.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from selector.errors import MismatchError
from selector.images.class_names import are_positions, class_label, composed, match_classes
from selector.images.listing import Listing
from selector.images.locations import Location

_PLACES_SHOWN = 3


def matched_folders(
    listing: Listing,
    classes: Sequence[str],
    mapping: Mapping[str, str] | None = None,
    class_names: Sequence[str] = (),
) -> dict[str, int]:
    """Folder → class_id, as `match_classes` has it; raises MismatchError that says where classes seem to lie instead."""
    try:
        return match_classes(listing.folders, classes, mapping, class_names)
    except MismatchError as error:
        names = set(map(composed, (*classes, *class_names, *(mapping or {}))))
        unknown = [folder for folder in listing.folders if composed(folder) not in names]
        hint = _hint(listing, unknown, names)
        raise MismatchError(f"{error}\n{hint}" if hint else str(error)) from None


def position_lines(folders: Mapping[str, int], classes: Sequence[str], names: Sequence[str] = ()) -> list[str]:
    """One line where numbers were taken as positions of classes; none else."""
    if not are_positions([*folders], classes, names):
        return []
    shown = [
        f"{folder} is {class_label(classes[place], (names or classes)[place])}"
        for folder, place in sorted(folders.items(), key=lambda pair: pair[1])
    ]
    more = " …" if len(shown) > _PLACES_SHOWN else ""
    return [
        f"labels are numbers, taken as positions in the repository's classes: {', '.join(shown[:_PLACES_SHOWN])}{more}"
    ]


def _hint(listing: Listing, unknown: Sequence[str], names: set[str]) -> str:
    root = listing.root
    if isinstance(root, Location):
        return ""
    deeper = _deeper(listing, unknown, names)
    if deeper:
        shown = ", ".join(deeper[:_PLACES_SHOWN]) + (" …" if len(deeper) > _PLACES_SHOWN else "")
        if root.is_dir():
            return f"The classes lie deeper, in {shown}: name that folder as the data, as in: selector run {root / deeper[0]}"
        return (
            f"The classes lie deeper in the archive, in {shown}: unpack it and name that folder as the data, or pack the folder "
            f"alone: tar -C {deeper[0]} -cf {Path(deeper[0]).name}.tar ."
        )
    here = root.resolve()
    if composed(here.name) in names and root.is_dir():
        return f"{here} itself has the name of a class: name the folder above it as the data, as in: selector run {here.parent}"
    counts = listing.counts()
    empty = [folder for folder in unknown if not counts[folder]]
    if empty:
        options = " ".join(f"--exclude {folder}" for folder in empty[:_PLACES_SHOWN])
        return f"Folders without an image, if they are no classes, can be left out: {options}"
    return ""


def _deeper(listing: Listing, unknown: Sequence[str], names: set[str]) -> list[str]:
    """The folders, all equally deep, below which most folders have names of classes; the shallowest such."""
    strangers = set(unknown)
    below: dict[str, set[str]] = {}
    for folder in {
        source.rpartition("/")[0]
        for source, top in listing.pairs()
        if top in strangers and source.startswith(f"{top}/")
    }:
        parts = folder.split("/")
        for depth in range(1, len(parts)):
            below.setdefault("/".join(parts[:depth]), set()).add(composed(parts[depth]))
    places = [place for place, inner in below.items() if 2 * len(inner & names) > len(inner)]
    least = min((place.count("/") for place in places), default=0)
    return sorted(place for place in places if place.count("/") == least)
