"""How much room the store has, looked at while the node works: before a commit, once a second at most, or sooner when
much was written.

So what a change in that commit is told (core/pressure.py) is never older than a second, however long the node was idle
and whoever filled the disk meanwhile. An idle node does not look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import trio

from colonies_node.core.broker.call import Rules
from colonies_node.core.errors import StoreError
from colonies_node.core.pressure import Level, Pressure, Sizes, log_room, mebibytes

log = logging.getLogger(__name__)

FRESH_S = 1.0
"""Seconds for which a look is good. It takes some 20 microseconds."""


class Disk:
    """The state of the store's disk. `size` measures; `keep_log_under` is told how many bytes the log may have."""

    def __init__(self, size: Callable[[], Sizes], keep_log_under: Callable[[int], None]) -> None:
        self.pressure = Pressure()
        self._size = size
        self._keep_log_under = keep_log_under
        self._stale_at = float("-inf")

    def look(self, rules: Rules, *, now: bool = False, fold: Callable[[], bool] | None = None) -> bool:
        """Measure again, unless that was done a moment ago; with `now` also then. Whether it was done.

        `fold` folds the log and gives its room back: that comes before any judgement.
        """
        if not rules.disk_reserve or (trio.current_time() < self._stale_at and not now):
            return False
        self._stale_at = trio.current_time() + FRESH_S
        try:
            sizes = self._size()
            if fold and sizes.log > log_room(sizes, rules.disk_reserve) and fold():
                sizes = self._size()
        except (StoreError, OSError):
            return False  # the commit that comes now says what is wrong with the disk
        level = self.pressure.level
        self.pressure.measure(sizes, rules.disk_reserve, rules.disk_priority)
        self._keep_log_under(log_room(sizes, rules.disk_reserve))
        if self.pressure.level != level:
            _say(self.pressure, level)
        return True


def _say(pressure: Pressure, before: Level) -> None:
    free = mebibytes(pressure.free)
    if pressure.level is Level.CRITICAL:
        log.error("the disk is nearly full, %s are free: all new work is refused, what was accepted goes on", free)
    elif pressure.level is Level.LOW:
        log.warning(
            "the disk is %s full, %s are free: new work of a priority below %d is refused",
            "still nearly" if before is Level.CRITICAL else "nearly",
            free,
            pressure.priority,
        )
    else:
        log.warning("the disk has room again, %s are free: all work is taken", free)
