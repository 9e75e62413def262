"""What was not taken, in words: lines for the person who watches, and the reasons behind a class that is short."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from selector.images.listing import Listing, Skipped
from selector.images.recognition import suffix_of
from selector.images.sources.files import KINDS
from selector.images.sources.walk import ARCHIVE, NO_IMAGE, OWN
from selector.store.outcomes import DUPLICATE, SKIPPED, Crossing, Outcomes, across_text

_KINDS_SHOWN = 4
_NAMES_SHOWN = 10


def loss_lines(listing: Listing) -> list[str]:
    """One line for every kind of loss, with its count and the first example; none if nothing was passed over."""
    by_kind: dict[str, list[Skipped]] = {}
    for one in listing.passed_over:
        by_kind.setdefault(_kind(one.reason), []).append(one)
    return [
        f"{len(lost)} passed over, counted like failed files, such as {lost[0].source}: {lost[0].reason}"
        for lost in by_kind.values()
    ]


def listing_lines(listing: Listing, exclude: Sequence[str] = ()) -> list[str]:
    """What else is worth a line: our own output among the data, archives, classes without images, idle patterns."""
    lines = []
    for start, text in ((OWN, "our own output in the data is no image"), (ARCHIVE, "archives are not looked into")):
        found = [
            f"{one.source}{one.reason.removeprefix(start)}" for one in listing.skipped if one.reason.startswith(start)
        ]
        if found:
            lines.append(f"{text}: {_listed(found)}")
    deeper = sorted({one.source.rpartition("/")[0] for one in listing.skipped if _is_container(one)})
    if deeper and not len(listing):
        lines.append(f"shards or Parquet files lie in {_listed(deeper)}: if they are the data, name that folder")
    empty = [folder for folder, count in listing.counts().items() if not count]
    if empty:
        lines.append(f"class folders without an image: {_listed(empty)}")
    used = {one.reason for one in listing.skipped}
    idle = [pattern for pattern in exclude if f"excluded by --exclude {pattern}" not in used]
    return lines + [f"--exclude {pattern} left nothing out" for pattern in idle]


def _is_container(one: Skipped) -> bool:
    return "/" in one.source and suffix_of(one.source) in KINDS and one.reason in (ARCHIVE, NO_IMAGE)


def fresh_lines(listing: Listing, before: Listing | None) -> list[str]:
    """What was listed again although a listing was kept; nothing if nothing was."""
    if before is None or before.asked != listing.asked or not listing.fresh:
        return []
    names = [name or "beside the class folders" for name in listing.fresh]
    return [f"{len(names)} of {len(listing.parts)} parts of the data changed since they were listed: {_listed(names)}"]


def across_lines(crossings: Collection[Crossing], across: str = "first") -> list[str]:
    """What is said of the same bytes under several classes; nothing if there are none."""
    if not crossings:
        return []
    taken = {"first": "the first path's class has them", "drop": "no class has them"}[across]
    return [f"{across_text(crossings)}: {taken} (--across-classes {across})"]


def bare_class_lines(names: Collection[str], explain: Callable[[Collection[str]], Mapping[str, str]]) -> list[str]:
    """One line about the classes that have nothing to choose from, with the reasons; none if there are none."""
    shown = list(names)[:_NAMES_SHOWN]
    if not shown:
        return []
    why = explain(shown)
    return [f"no usable image in {_listed([f'{n} ({why[n]})' if why.get(n) else n for n in names])}"]


def explainer(
    outcomes: Outcomes, class_of: Mapping[str, str], class_names: Mapping[int, str] | None = None
) -> Callable[[Collection[str]], dict[str, str]]:
    """A function from class names to why their files gave nothing, such as "5 damaged, 3 duplicates of bag/…".

    class_of: class folder → class name. class_names: of class_ids, where outcomes have some: the sources of containers do not
    begin with a class folder. What is no image by its nature counts only where nothing else explains a class.
    """

    def explain(names: Collection[str]) -> dict[str, str]:
        lost = {name: Counter[str]() for name in names}
        beside = {name: Counter[str]() for name in names}
        rows = outcomes.lost()
        for outcome, class_id in zip(rows, rows.rows["class_id"].to_pylist(), strict=True):
            name = (class_names or {}).get(class_id) or class_of.get(outcome.source.partition("/")[0])
            if name in lost:
                (beside if outcome.status == SKIPPED else lost)[name][_kind(outcome.reason)] += 1
        return {name: _counted(lost[name] or beside[name]) for name in names}

    return explain


def _counted(kinds: Counter[str]) -> str:
    shown = [
        f"{count} {kind.replace(DUPLICATE, 'duplicates of ') if count > 1 else kind}"
        for kind, count in kinds.most_common(_KINDS_SHOWN)
    ]
    rest = kinds.total() - sum(count for _, count in kinds.most_common(_KINDS_SHOWN))
    return ", ".join(shown) + (f", {rest} for other reasons" if rest else "")


def _kind(reason: str) -> str:
    """The reason without what differs from file to file."""
    if reason.startswith(DUPLICATE):
        return f"{DUPLICATE}{reason.removeprefix(DUPLICATE).partition('/')[0]}/…"
    if reason.startswith("damaged or cut short"):
        return "damaged"
    if reason.startswith("the same bytes as "):
        return "with the same bytes under another class"
    side = re.fullmatch(r"\d+×\d+ pixels: the shorter side is (below \d+)", reason)
    if side:
        return f"too small (shorter side {side[1]})"
    if re.match(r"\d+ × \d+ pixels, more", reason):
        return "with too many pixels"
    return re.split(r":| \(", reason)[0]


def _listed(names: Sequence[str]) -> str:
    more = f" … and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
