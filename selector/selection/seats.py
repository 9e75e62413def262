"""Seats for clusters, by Sainte-Laguë's divisor method.

Owns the deal of a list of queues into one sequence. Must not know of features, images or IPC.

The next seat goes to the queue with the greatest votes / (2 · seats + 1). The method is house-monotone: a larger
house only adds seats, so every prefix of the sequence is itself a fair deal.
"""

from __future__ import annotations

import heapq
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
    heap = [(-strength[number], ties[number], number, 0) for number in range(len(queues))]
    heapq.heapify(heap)
    rows: list[int] = []
    while heap:
        _, tie, number, seats = heapq.heappop(heap)
        rows.append(int(queues[number][seats]))
        if seats + 1 < len(queues[number]):
            heapq.heappush(heap, (-strength[number] / (2 * (seats + 1) + 1), tie, number, seats + 1))
    return np.array(rows, dtype=np.int64)
