"""How much room the store's disk has left, and what that allows: the policy for a full disk, as plain numbers.

    low        less than the reserve is free: new work of a low priority is refused
    critical   less than half of it is free: all new work is refused

While less than twice the reserve is free (`short`) the node makes room by itself, where it may (store/reclaim.py). What
has been accepted goes on at every level: it is assigned, logs, closes and is told to other nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from colonies_node.core import limits
from colonies_node.core.errors import Unavailable


class Level(IntEnum):
    """What of new work is refused: nothing, that of a low priority, all."""

    NONE = 0
    LOW = 1
    CRITICAL = 2


class Sizes(NamedTuple):
    """Bytes of the store's file, of its log, free on their disk, and of pages in the file that are free again
    (`spare`)."""

    file: int
    log: int
    free: int
    spare: int


@dataclass(slots=True)
class Pressure:
    """The present state; whoever measures it changes it. `free` and `needed` are bytes: what there is, and what ends
    the present level."""

    level: Level = Level.NONE
    free: int = 0
    needed: int = 0
    priority: int = 0
    """Work of a lower priority is refused at LOW."""
    short: bool = False
    """Whether the node should make room."""

    def measure(self, sizes: Sizes, reserve: int, priority: int) -> None:
        """Judge by what the store measures; `reserve` in bytes.

        A level that was reached is left at an eighth more than its bound, so that it does not come and go with each
        commit.
        """
        self.free = usable(sizes, reserve)
        self.priority, self.short = priority, self.free < 2 * reserve
        before, self.level, self.needed = self.level, Level.NONE, reserve
        for level, bound in ((Level.LOW, reserve), (Level.CRITICAL, reserve // 2)):
            needed = bound + bound // 8 if before >= level else bound
            if self.free < needed:
                self.level, self.needed = level, needed

    def admit(self, priority: int) -> None:
        """Raise Unavailable if new work of this priority may not be stored now."""
        if self.level is Level.NONE or (self.level is Level.LOW and priority >= self.priority):
            return
        what = f"new work of a priority below {self.priority}" if self.level is Level.LOW else "new work"
        remedy = f"submit it with priority {self.priority} or higher, " if self.level is Level.LOW else ""
        raise Unavailable(
            f"The disk of the server is nearly full: {mebibytes(self.free)} are free, and {what} needs"
            f" {mebibytes(self.needed)}; nothing was stored: {remedy}free some space there, or try again later"
        )


ROOMY: Final = Pressure()
"""Nothing is refused: there is room, or no policy."""


def usable(sizes: Sizes, reserve: int) -> int:
    """Bytes that the store can still grow by.

    Pages that are free inside the file count as free: the file uses them before it grows. But each change goes through
    the log first, which needs room of its own on the disk: without an eighth of the reserve for that, they help nobody.
    """
    return sizes.free + (sizes.spare if sizes.free + sizes.log >= reserve // 8 else 0)


def log_room(sizes: Sizes, reserve: int) -> int:
    """Bytes that the log may have before it is folded.

    What is in it takes room twice until then: in the log, and in the file as soon as the fold begins. Of a disk that
    gets full the log gets an eighth of what is left above the reserve, so that what is free now is a good guess of what
    will be.
    """
    least = max(reserve // limits.RESERVE_PART, limits.CHECKPOINT_SHORT_PAGES * limits.PAGE)
    return max((usable(sizes, reserve) - reserve) // 8, least)


def mebibytes(number: int) -> str:
    """Bytes for a sentence: `63.5 MiB`."""
    return f"{number / (1 << 20):.1f} MiB"
