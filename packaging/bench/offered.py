"""Functions that the executor of the bench offers."""

from __future__ import annotations

import time

WORK_S = 0.02
"""Processor time of one piece of work."""


def add(first: int, second: int) -> int:
    """Do next to nothing."""
    return first + second


def work() -> int:
    """Keep one core busy for WORK_S of its time."""
    begun, turns = time.thread_time(), 0
    while time.thread_time() - begun < WORK_S:
        turns += 1
    return turns
