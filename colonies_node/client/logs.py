"""Reading a log as it grows: ask, and ask less often while nothing happens. No server tells of log entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, Self

import trio

from colonies_node.client import records
from colonies_node.client.records import Log
from colonies_node.core.errors import LinkDown
from colonies_node.core.limits import MAX_LOGS

QUICK, SLOW = 0.05, 1.0
"""Seconds between two questions: after news, and once there has been none for a while."""

FIRST: Final = 0
"""The moment before everything that was logged, for `since`."""


class Caller(Protocol):
    """Who asks the server."""

    async def call(self, msgtype: str, /, **fields: Any) -> Any:
        """Send one message and give back the decoded answer. Raises Refused and LinkDown."""


class Pace:
    """When to ask again, and what a lost link is worth saying."""

    def __init__(self, say: Callable[[str], None] = lambda words: None) -> None:
        self.delay = QUICK
        self.answered = False
        self.lost = False
        self._say = say

    def pause(self, news: bool) -> float:
        """Seconds to wait: few after news, else more each time."""
        self.delay = QUICK if news else min(self.delay * 1.5, SLOW)
        return self.delay

    async def next(self, news: bool) -> None:
        """Wait so long."""
        await trio.sleep(self.pause(news))

    def down(self, fault: LinkDown) -> None:
        """Take note of a lost link. A server that never answered is no lost link: that is raised."""
        if not self.answered:
            raise fault
        if not self.lost:
            self._say(f"The link is lost ({fault}); waiting for it.")
        self.lost = True

    def up(self) -> None:
        """Take note of an answer."""
        if self.lost:
            self._say("The link is back.")
        self.answered, self.lost = True, False


async def page(caller: Caller, since: int, **of: Any) -> list[dict[str, Any]]:
    """The next entries of the log of a process (`processid`) or executor (`executorname`), later than `since`
    (nanoseconds): at most MAX_LOGS, and fewer only if there are no more yet."""
    return await caller.call("getlogsmsg", count=MAX_LOGS, since=since, latest=False, **of) or []


class Lines:
    """The log of one process, entry by entry; with `follow` until the process has ended. A lost link is waited out."""

    def __init__(
        self, caller: Caller, ended: Callable[[], Awaitable[bool]], follow: bool, since: int, **of: Any
    ) -> None:
        self._caller = caller
        self._ended = ended
        self._of = of
        self._since = since
        self._pace = Pace()
        self._entries: deque[Log] = deque()
        self._over = False
        self._follow = follow

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Log:
        await trio.lowlevel.checkpoint()
        while not self._entries:
            if self._over:
                raise StopAsyncIteration
            try:
                await self._read()
            except LinkDown as fault:
                self._pace.down(fault)
            if not self._entries and not self._over:
                await self._pace.next(False)
        self._pace.pause(True)
        return self._entries.popleft()

    async def _read(self) -> None:
        # The state is older than this read of the log: of a process that is over, it reads all.
        over = not self._follow or await self._ended()
        found = [records.read(Log, entry) for entry in await page(self._caller, self._since, **self._of)]
        self._pace.up()
        if found:
            self._entries.extend(found)
            self._since = found[-1].timestamp
        self._over = over and len(found) < MAX_LOGS
