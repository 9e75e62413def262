"""Boxes against boxes: overlap, and whether one points at the other. Pure."""

from __future__ import annotations

from selector.records import Box


def centred(box: Box, true: Box) -> bool:
    """Whether a box's centre lies in the true box."""
    row, column = box.top + box.height / 2, box.left + box.width / 2
    return true.top <= row < true.top + true.height and true.left <= column < true.left + true.width


def overlap(box: Box, true: Box) -> float:
    """Intersection over union."""
    height = min(box.top + box.height, true.top + true.height) - max(box.top, true.top)
    width = min(box.left + box.width, true.left + true.width) - max(box.left, true.left)
    common = max(0, height) * max(0, width)
    return common / (box.height * box.width + true.height * true.width - common)
