"""The contact sheets: every class's picks in rank order."""

from __future__ import annotations

from collections.abc import Sequence

from selector.report.markup import count, percent, plain, section, signed, text
from selector.report.pictures import THUMBNAIL_PX
from selector.report.values import ClassReport, Pick

PICTURE_BUDGET = 12_000_000
"""Characters that all thumbnails may take; above, every class shows fewer. A page over some 20 MB freezes browsers."""

_COLOURS = 8
_FEW = 20  # up to so many patches are shown at double size


def contact_sheets(classes: Sequence[ClassReport], budget: int = PICTURE_BUDGET) -> str:
    """The section of contact sheets in HTML."""
    pictures = [[pick.picture for pick in one.picks] for one in classes]
    shown = shown_within([[len(picture) for picture in own] for own in pictures], budget)
    chips = "".join(f'<a href="#c{number}">{text(one.name)}</a>' for number, one in enumerate(classes))
    sheets = "".join(
        _sheet(number, one, own[:shown]) for number, (one, own) in enumerate(zip(classes, pictures, strict=True))
    )
    lead = (
        "Every class in rank order: any smaller number of images per class is the beginning of its sheet. "
        "The stripe under a patch is its cluster, grey if unclustered. Point at a patch, or reach it with the "
        "Tab key, for its source, box, typicality and cluster; click to keep them open."
    )
    nav = f'<nav class="chips" aria-label="Classes">{chips}</nav>' if len(classes) > 1 else ""
    return section("picks", "Picks", lead, nav + sheets)


def shown_within(sizes: Sequence[Sequence[int]], budget: int) -> int:
    """The most pictures per class with which all of them fit the budget; at least 1."""
    longest = max((len(own) for own in sizes), default=0)
    total = 0
    for place in range(longest):
        total += sum(own[place] for own in sizes if place < len(own))
        if total > budget:
            return max(1, place)
    return max(1, longest)


def _sheet(number: int, one: ClassReport, pictures: Sequence[str]) -> str:
    patches = "".join(_patch(pick, picture) for pick, picture in zip(one.picks, pictures, strict=False))
    told = f"{count(one.chosen)} of {count(one.patches)} patches"
    if one.clusters:
        told += f" · {one.clusters} cluster{'s' * (one.clusters != 1)} ({text(one.method)})"
    if len(pictures) < one.chosen:
        told += f" · the first {len(pictures)} are shown"
    note = f'<p class="note">{text(one.note)}</p>' if one.note else ""
    body = (
        f'<ol class="sheet{" few" * (len(pictures) <= _FEW)}">{patches}</ol>'
        if patches
        else '<p class="none">No patch was chosen.</p>'
    )
    return (
        f'<article class="class" id="c{number}"><h3>{text(one.name)} <small>{told}</small></h3>{note}{body}</article>'
    )


def _patch(pick: Pick, picture: str) -> str:
    box = pick.box
    cluster = (
        "unclustered" if pick.cluster_label < 0 else f"{pick.cluster_label} (membership {percent(pick.membership)})"
    )
    facts = {
        "rank": str(pick.rank),
        "source": text(pick.source),
        "id": text(pick.image_id),
        "box": f"top {box.top}, left {box.left}, {box.height} × {box.width} px",
        "typicality": f"{signed(pick.typicality)} ± {plain(pick.standard_error)}",
        "cluster": cluster,
    }
    told = "".join(f' data-{name}="{value}"' for name, value in facts.items())
    colour = "loose" if pick.cluster_label < 0 else f"k{pick.cluster_label % _COLOURS}"
    label = f"rank {pick.rank}, typicality {facts['typicality']}, cluster {cluster}, {facts['source']}"
    return (
        f'<li><button type="button" class="patch {colour}"{told} aria-label="{label}">'
        f'<img src="{picture}" alt="" width="{THUMBNAIL_PX}" height="{THUMBNAIL_PX}"><b>{pick.rank}</b></button></li>'
    )
