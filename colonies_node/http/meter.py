"""What the node measures of itself while it works: plain numbers, cheap enough for every request.

They start at 0 with the process and only grow, as Prometheus wants counters (metrics.py shows them). What can name
them is bounded: a message type of the table or "unknown", and a status that we answer with.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import trio

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
"""Seconds, the upper ends of a histogram's buckets: from a read in memory, past an SD card's fsync, to a long poll."""

GONE: Final = 499
"""Instead of a status: the client hung up before it had its answer (as nginx logs it)."""


class Histogram:
    """How many took how long. `counts` is one bucket per bound and a last one for all above."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Exchange:
    """One request as it is measured; the door fills in what it finds out."""

    msgtype: str = "unknown"
    status: int = 200
    since: float | None = None
    """When the request was there whole, by trio's clock; None while it is not."""

    def begin(self) -> None:
        """The request is there: time counts from now on, not while a slow client sends."""
        self.since = trio.current_time()


@dataclass(slots=True)
class Meter:
    """All that is measured."""

    requests: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    """(message type, status) → requests answered."""
    latency: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    """Message type → seconds from the whole request to the end of its answer."""
    commits: dict[bool, Histogram] = field(default_factory=lambda: {False: Histogram(), True: Histogram()})
    """Seconds of the commits that many callers share, and of those (True) that a bulk change has for itself."""
    changes: int = 0
    """Changes that were put on disk."""
    reclaimed: int = 0
    """Processes that were deleted to make room."""

    def answered(self, exchange: Exchange) -> None:
        """Count a request, once its answer is sent."""
        self.requests[exchange.msgtype, exchange.status] += 1
        if exchange.since is not None:
            self.latency[exchange.msgtype].add(trio.current_time() - exchange.since)

    def committed(self, seconds: float, bulk: bool, changes: int) -> None:
        """Count a commit and the changes in it."""
        self.commits[bulk].add(seconds)
        self.changes += changes
