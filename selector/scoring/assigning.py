"""The images of a shard, without labels: latents → losses of classes → the class of each, as far as one is clearly nearest.

What the store knows already is not asked for again: neither on a second run, nor where another --min-margin judges otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from client.rows import Failure, Row, loss_row
from selector.images.listing import joined, row_in
from selector.images.prepare import FAILED, FILTERED, UNREAD
from selector.scoring.assignment import Assigned, AssignmentBudget, Standing, evaluations
from selector.scoring.stage_one import Encoded, Scorer
from selector.store.store import Store

UNASSIGNED = -1
"""The class_id of a file that got no class."""
ASSIGNED_COLUMNS = ("assigned_margin", "assigned_standard_error", "assigned_unet_rows")
COLUMNS = ("source", "image_id", "status", "class_id", *ASSIGNED_COLUMNS)

_NAMES_SHOWN = 10

Latents = Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True)
class Remembered:
    """An image that has its class in the store. status: "filtered" if its margin was too small then."""

    image_id: str
    status: str
    assigned: Assigned


class Known(Protocol):
    """What is known of the classes of images: a `Memory`, or a mapping."""

    def get(self, source: str, /) -> Remembered | None:
        """Of one image; None if it has no class yet."""


class Memory:
    """What a store knows of the classes that the model chose."""

    def __init__(self, rows: pa.Table) -> None:
        """rows: the columns of COLUMNS of all images that have a class, sorted by source."""
        self._rows, self._source = rows, joined(rows["source"])

    def get(self, source: str) -> Remembered | None:
        """Of one image; None if it has no class yet."""
        row = row_in(self._source, source)
        if row < 0:
            return None
        values = self._rows.slice(row, 1).to_pylist()[0]
        assigned = Assigned(values["class_id"], *(values[name] for name in ASSIGNED_COLUMNS))
        return Remembered(values["image_id"], values["status"], assigned)

    def judged_otherwise(self, min_margin: float) -> pa.Array:
        """Sources that this least margin keeps and the store's filtered, or the other way round."""
        enough = pc.greater_equal(self._rows["assigned_margin"], min_margin)
        kept, filtered = (pc.equal(self._rows["status"], status) for status in ("ok", FILTERED))
        return joined(self._rows["source"].filter(pc.or_(pc.and_(kept, pc.invert(enough)), pc.and_(filtered, enough))))

    def line(self, listed: pa.Array, classes: Sequence[str]) -> str:
        """What the model made of the listed images, for whoever is to choose a --min-margin."""
        rows = self._rows.filter(pc.is_in(self._source, value_set=listed))
        if not len(rows):
            return "no image has a class"
        filtered = pc.sum(pc.equal(rows["status"], FILTERED)).as_py()
        nearest = set(rows["class_id"].unique().to_pylist())
        bare = [name for class_id, name in enumerate(classes) if class_id not in nearest]
        shown = ", ".join(bare[:_NAMES_SHOWN]) + (" …" if len(bare) > _NAMES_SHOWN else "")
        tenth, half = np.quantile(rows["assigned_margin"].to_numpy(), [0.1, 0.5], method="lower")
        return (
            f"{len(rows)} images have their class from the model; margins: a tenth up to {tenth:.2g}, half up to {half:.2g}; "
            f"{filtered} filtered by --min-margin" + (f"; nearest to no image: {shown}" if bare else "")
        )


def remembered(store: Store) -> Memory:
    """What the store knows of the classes of its images."""
    rows = store.images(*COLUMNS)
    return Memory(rows.filter(pc.not_equal(rows["class_id"], UNASSIGNED)))


async def assign_classes(
    client: Scorer,
    budget: AssignmentBudget,
    classes: int,
    encoded: Encoded,
    known: Known,
    min_margin: float,
    advance: Callable[[int], None],
) -> tuple[Encoded, dict[int, Assigned], int]:
    """The images, those without a clear class being filtered; place → class of all that have one; UNet evaluations spent.

    known: counts where the content is the same, such as what `remembered` gave. `advance` gets the most that the images could
    cost.
    """
    found: dict[int, Assigned] = {}
    for i in encoded.latents:
        before = known.get(encoded.images[i].source)
        if before and before.image_id == encoded.images[i].image_id:
            found[i] = before.assigned
    asked = {i: latent for i, latent in encoded.latents.items() if i not in found}
    advance(budget.most_unet_rows(classes) * (len(encoded.images) - len(asked)))
    now, failures, spent = await _assigned(client, budget, classes, asked, advance)
    found |= now
    unclear = {
        i: (
            FILTERED,
            f"no class is clearly nearest: margin {one.margin:.2g} ± {one.standard_error:.2g} below --min-margin {min_margin:g}",
        )
        for i, one in found.items()
        if one.margin < min_margin
    }
    lost = {i: (FAILED if failure.lasting else UNREAD, failure.reason) for i, failure in failures.items()}
    return encoded.without(unclear | lost), found, spent


async def _assigned(
    client: Scorer, budget: AssignmentBudget, classes: int, latents: Latents, advance: Callable[[int], None]
) -> tuple[dict[int, Assigned], dict[int, Failure], int]:
    """Round by round, all images of a round side by side."""
    standings = {i: Standing.of(classes) for i in latents}
    spent = dict.fromkeys(latents, 0)
    found: dict[int, Assigned] = {}
    failures: dict[int, Failure] = {}
    while standings:
        going = {}
        for i, standing in standings.items():
            on = None if i in failures else standing.going_on(budget)
            if on is not None:
                going[i] = on
                continue
            advance(budget.most_unet_rows(classes) - spent[i])
            if i not in failures:
                found[i] = Assigned(*standing.nearest(), spent[i])
        for i, standing in going.items():
            spent[i] += (budget.after(standing.draws) - standing.draws) * evaluations(len(standing.classes))
        losses = await _losses(client, budget, going, latents, failures, advance)
        standings = {i: standing.with_draws(losses[i]) for i, standing in going.items()}
    return found, failures, sum(spent.values())


async def _losses(
    client: Scorer,
    budget: AssignmentBudget,
    going: Mapping[int, Standing],
    latents: Latents,
    failures: dict[int, Failure],
    advance: Callable[[int], None],
) -> dict[int, NDArray[np.float64]]:
    """The losses of the next round by image, float64 [further draws, classes that are still in].

    A row's prompt and reference are two classes, with the same noise.
    """
    numbers = {i: budget.numbers[standing.draws : budget.after(standing.draws)] for i, standing in going.items()}
    losses = {i: np.full((len(numbers[i]), len(standing.classes)), np.nan) for i, standing in going.items()}

    def rows() -> Iterator[Row]:
        for i, standing in going.items():
            prompts = (standing.classes + 1).tolist()
            for place, draw in enumerate(numbers[i]):
                for first in range(0, len(prompts), 2):
                    pair = prompts[first : first + 2]
                    yield loss_row((i, place, first), latents[i], pair[0], pair[-1], draw)

    async for outcome in client.score(rows()):
        i, place, first = cast(tuple[int, int, int], outcome.key)
        if isinstance(outcome, Failure):
            reason = f"class, draw {numbers[i][place]}: {outcome.reason}"
            failures.setdefault(i, Failure(i, reason, outcome.lasting))
        else:
            pair = [float(outcome.outputs[name][0]) for name in ("LOSS_PROMPT", "LOSS_REFERENCE")]
            width = losses[i].shape[1] - first
            losses[i][place, first : first + 2] = pair[:width]
        advance(2)
    return losses
