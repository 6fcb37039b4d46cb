"""What waits to be sent on one connection: so much and no more."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import trio

from colonies_node.core import limits

T = TypeVar("T")


class Line(Generic[T]):
    """Things in the order in which they go out, each with its size in bytes."""

    def __init__(self) -> None:
        self.sent = trio.Event()
        """Set while nothing waits to be sent."""
        self._waiting: deque[tuple[T, int]] = deque()
        self._size = 0
        self._more = trio.Event()

    def put(self, thing: T, size: int) -> bool:
        """Send this after what waits already; False if there is no room. One has room however large it is."""
        if self._waiting and (len(self._waiting) >= limits.MAX_UNSENT_FRAMES or self._size + size > limits.MAX_UNSENT):
            return False
        self.put_last(thing, size)
        return True

    def put_last(self, thing: T, size: int) -> None:
        """Send this, also if there is no room."""
        if self.sent.is_set():
            self.sent = trio.Event()
        self._waiting.append((thing, size))
        self._size += size
        self._more.set()

    async def next(self) -> T:
        """What to send now; waits for it."""
        while not self._waiting:
            self.sent.set()
            self._more = trio.Event()
            await self._more.wait()
        thing, size = self._waiting.popleft()
        self._size -= size
        return thing

    def drain(self) -> list[T]:
        """What will not be sent any more."""
        left = [thing for thing, _ in self._waiting]
        self._waiting.clear()
        self._size = 0
        return left
