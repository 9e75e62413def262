"""The traceparent header."""

from __future__ import annotations

import re

import pytest

from client.wire.tracing import Trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def test_requests_are_spans_of_the_callers_trace() -> None:
    """Same trace, same flags, each with an id of its own."""
    trace = Trace(PARENT)
    first, second = trace.child(), trace.child()
    assert first != second
    for child in (first, second):
        assert re.fullmatch(r"00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-00", child)


def test_a_new_trace_is_sampled_and_differs_from_others() -> None:
    assert Trace("new").trace_id != Trace("new").trace_id
    assert Trace("new").child().endswith("-01")


@pytest.mark.parametrize("parent", ["", "00-0-0-00", PARENT.upper(), PARENT.replace(PARENT[3:35], "0" * 32)])
def test_what_is_no_traceparent_is_refused(parent: str) -> None:
    with pytest.raises(ValueError, match="expected 'new' or a W3C traceparent"):
        Trace(parent)
