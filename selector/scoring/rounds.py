"""What is left to do in a round of a race: which images of which shard, read from the store.

Owns the way from a store's rows to a decision and its work. Must not know servers or how a decision is reached (racing.py).
A decision looks at all images of the store and holds for the shards that had none so far; it is written down before its first
row is spent. So a run that was killed goes on with the same images, and images that come later race without giving an earlier
one another draw, whose features would then be stale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from selector.images.prepare import FAILED, OK, Prepared
from selector.scoring.plan import Plan
from selector.scoring.racing import Candidate, Last, admitted, going_on
from selector.scoring.shards import ScoredFile, Shard
from selector.store.store import Store

_COLUMNS = ["source", "image_id", "class_id", "status", "typicality"]


@dataclass(frozen=True)
class Decision:
    """Who of these shards goes on into a round: class_id → the last one; none of a class that is not there."""

    shards: tuple[int, ...]
    last: dict[int, Last]


def work_left(store: Store, plan: Plan, round: int) -> list[Shard]:
    """The shards of a round after the first that are not committed yet, with the files that go on; decides where needed."""
    if plan.race is None:
        raise ValueError("the full grid has one round")
    committed = store.images()
    candidates = {shard: _candidates(store, shard, round - 1) for shard, at in committed if at == round - 1}
    decisions = [_decision(content) for content in store.read_races(round)]
    undecided = store.image_shards().difference(*(decision.shards for decision in decisions))
    if undecided:
        everyone = [candidate for _, group in sorted(candidates.items()) for candidate in group]
        last = going_on(everyone, _class_sizes(store), plan.race.shares[round])
        decision = Decision(tuple(sorted(undecided)), last)
        store.write_race(round, decision.shards[0], _content(decision))
        decisions.append(decision)
    left = []
    for decision in decisions:
        for shard in decision.shards:
            chosen = admitted(candidates.get(shard, []), decision.last)
            if chosen and (shard, round) not in committed:
                left.append(Shard(shard, tuple(ScoredFile(c.source, c.class_id, c.image_id) for c in chosen)))
    return sorted(left, key=lambda shard: shard.number)


def unchanged(image: Prepared, file: ScoredFile) -> Prepared:
    """The image as it was read for a later round, failed if its bytes are not those of the first one."""
    if image.status != OK or image.image_id == file.image_id:
        return image
    return Prepared(image.source, file.image_id, FAILED, "the file changed while it was being scored")


def _candidates(store: Store, shard: int, round: int) -> list[Candidate]:
    rows = store.image_rows(shard, round, _COLUMNS)
    return [
        Candidate(row["source"], row["image_id"], row["class_id"], row["typicality"][0])
        for row in rows
        if row["status"] == "ok"
    ]


def _class_sizes(store: Store) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for shard in store.image_shards():
        for row in store.image_rows(shard, 0, ["class_id", "status"]):
            sizes[row["class_id"]] = sizes.get(row["class_id"], 0) + (row["status"] == "ok")
    return sizes


def _content(decision: Decision) -> dict[str, object]:
    last = {str(class_id): [end.typicality, end.image_id] for class_id, end in sorted(decision.last.items())}
    return {"shards": list(decision.shards), "last": last}


def _decision(content: dict[str, Any]) -> Decision:
    last = {int(class_id): Last(float(end[0]), str(end[1])) for class_id, end in content["last"].items()}
    return Decision(tuple(content["shards"]), last)
