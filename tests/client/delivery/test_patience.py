"""The table of statuses and the backoff."""

from __future__ import annotations

from random import Random

import pytest

from client.delivery.patience import Backoff, RetryBudget
from client.wire.statuses import Remedy, cause, remedy


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("UNAVAILABLE", Remedy.RETRY),
        ("CANCELLED", Remedy.RETRY),
        ("DEADLINE_EXCEEDED", Remedy.RETRY),
        ("INTERNAL", Remedy.ISOLATE),
        ("INVALID_ARGUMENT", Remedy.STOP),
        ("NOT_FOUND", Remedy.STOP),
        ("UNIMPLEMENTED", Remedy.STOP),
        ("UNAUTHENTICATED", Remedy.STOP),
        ("A_STATUS_OF_THE_FUTURE", Remedy.STOP),
    ],
)
def test_only_what_can_pass_is_retried(status: str, expected: Remedy) -> None:
    """The table of statuses, with the unknown on the safe side."""
    assert remedy(status, "text") is expected


def test_a_restricted_protocol_is_not_mistaken_for_a_server_that_restarts() -> None:
    """Triton says UNAVAILABLE to both."""
    assert remedy("UNAVAILABLE", "This protocol is restricted, expecting header 'x'") is Remedy.STOP


@pytest.mark.parametrize(
    "message", ["Received RST_STREAM with error code 2", "Stub process 'unet_0_0' is not healthy."]
)
def test_what_is_no_rows_fault_is_retried_whole(message: str) -> None:
    """Halving a batch would end in innocents called guilty."""
    assert remedy("INTERNAL", message) is Remedy.RETRY
    assert remedy("INVALID_ARGUMENT", message) is Remedy.STOP


def test_a_budget_is_a_reserve_and_a_share_of_what_was_answered() -> None:
    """The bound itself is not allowed."""
    budget = RetryBudget(reserve=10, share=0.5)
    assert budget.allows(9, 0)
    assert not budget.allows(10, 0)
    assert budget.allows(10, 1)
    assert not budget.allows(15, 10)


def test_a_full_queue_is_counted_apart_from_a_server_that_is_gone() -> None:
    """Triton says UNAVAILABLE to both; an operator needs to know which."""
    assert cause("UNAVAILABLE", "Exceeds maximum queue size") == "queue full"
    assert cause("UNAVAILABLE", "Request timeout expired") == "queue timeout"
    assert cause("UNAVAILABLE", "connection refused") == "unavailable"


def test_waits_double_to_a_limit_and_differ_between_clients() -> None:
    """Jitter keeps clients that failed together from returning together."""
    backoff = Backoff(first_s=0.1, longest_s=1.0)
    for retry, full in ((0, 0.1), (1, 0.2), (2, 0.4), (4, 1.0), (5000, 1.0)):
        waits = [backoff.wait_s(retry, Random(seed)) for seed in range(50)]
        assert full / 2 <= min(waits) < max(waits) <= full
