"""Seats for clusters, by Sainte-Laguë's divisor method.

The next seat goes to the queue with the greatest votes / (2 · seats + 1). The method is house-monotone: a larger
house only adds seats, so every prefix of the sequence is itself a fair deal.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def deal(
    queues: Sequence[NDArray[np.int64]], votes: NDArray[np.float64], typicality: NDArray[np.float64]
) -> NDArray[np.int64]:
    """All rows of the queues in one sequence, each queue's in its own order.

    queues: non-empty, disjoint rows. votes, typicality: float64 by row number, votes >= 0; a queue has its rows' votes
    together, or its size if no row has any. Ties go to the higher median typicality, then the larger queue, then the
    smallest row.
    """
    strength = [float(votes[np.sort(queue)].sum()) for queue in queues]
    if not any(strength):
        strength = [float(len(queue)) for queue in queues]
    ties = [(-float(np.median(typicality[queue])), -len(queue), int(queue.min())) for queue in queues]
    place = np.empty(len(queues), dtype=np.int64)
    place[sorted(range(len(queues)), key=ties.__getitem__)] = np.arange(len(queues))
    seats = [np.arange(len(queue)) for queue in queues]
    claims = [votes_of / (2 * taken + 1) for votes_of, taken in zip(strength, seats, strict=True)]
    queue_of = np.repeat(place, [len(queue) for queue in queues])
    rows: NDArray[np.int64] = np.concatenate([np.empty(0, dtype=np.int64), *queues])
    seat, claim = (np.concatenate([np.empty(0), *parts]) for parts in (seats, claims))
    order: NDArray[np.int64] = rows[np.lexsort((seat, queue_of, -claim))]
    return order
