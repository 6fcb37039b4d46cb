"""What one reply may hold: lists end there, so that no request makes the node gather more than it can afford."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from colonies_node.core import limits

T = TypeVar("T")


def fitting(found: Iterable[T], size: Callable[[T], int]) -> list[T]:
    """The first of them, up to limits.MAX_REPLY characters together, at least one. What is behind is not looked at."""
    kept: list[T] = []
    total = 0
    for one in found:
        total += size(one)
        if kept and total > limits.MAX_REPLY:
            break
        kept.append(one)
    return kept
