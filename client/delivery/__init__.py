"""Rows become batches, and batches become answers, whichever server gives them."""

from typing import TYPE_CHECKING

from client.doors import door

if TYPE_CHECKING:
    from client.delivery.attempts import Delivery as Delivery
    from client.delivery.attempts import Patience as Patience
    from client.delivery.bounds import Bound as Bound
    from client.delivery.bounds import Room as Room
    from client.delivery.membership import follow as follow
    from client.delivery.outages import told_of_outages as told_of_outages
    from client.delivery.pacing import AdaptiveBound as AdaptiveBound
    from client.delivery.packing import row_weights as row_weights
    from client.delivery.patience import Backoff as Backoff
    from client.delivery.patience import RetryBudget as RetryBudget
    from client.delivery.replica import Replica as Replica
    from client.delivery.replicas import Fleet as Fleet
    from client.delivery.stream import Rows as Rows
    from client.delivery.stream import Stream as Stream
    from client.delivery.validation import check_row as check_row

__all__, __getattr__ = door(
    __name__,
    {
        "attempts": ("Delivery", "Patience"),
        "bounds": ("Bound", "Room"),
        "membership": ("follow",),
        "outages": ("told_of_outages",),
        "pacing": ("AdaptiveBound",),
        "packing": ("row_weights",),
        "patience": ("Backoff", "RetryBudget"),
        "replica": ("Replica",),
        "replicas": ("Fleet",),
        "stream": ("Rows", "Stream"),
        "validation": ("check_row",),
    },
)
