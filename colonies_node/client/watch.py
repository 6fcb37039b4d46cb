"""News of processes: who waits for one sleeps until the server tells that it has ended.

The subscriptions of all who wait share websockets, each with as many as a server allows. What comes is no answer, only
a reason to ask: the reference tells a process with the outputs of before its end. A websocket that is lost is opened
again, with the subscriptions of those who still wait, and each of them is told at once if its process has ended
meanwhile. Where there is none, who waits asks now and then.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

import msgspec
import trio

from colonies_node.client.logs import Pace
from colonies_node.core import limits
from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.states import ProcessState
from colonies_node.http.backoff import Backoff
from colonies_node.http.client import Client as Wire
from colonies_node.http.listening import Listening

ENDS: Final = (ProcessState.SUCCESS, ProcessState.FAILED, ProcessState.CANCELLED)

MAX_WATCHED: Final = limits.MAX_SUBSCRIPTIONS // len(ENDS) - 1
"""Processes that one websocket can watch in its life: nothing ends a subscription but its time."""

SUBSCRIBED_S: Final = 3600
"""Seconds of a subscription: then the server drops the websocket, and it is opened again."""

UNUSED_S: Final = 5.0
"""Seconds that a websocket stays open when nobody waits: the next process may be waited for at once."""

LOOK_S: Final = 30.0
"""Seconds after which to look all the same: the reference does not tell of all that happens in a workflow."""


_R = TypeVar("_R")


@asynccontextmanager
async def tended() -> AsyncIterator[trio.Nursery]:
    """A nursery whose tasks end with the block. What the block raises comes out as it is, not in a group."""
    fault: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as error:
            fault = error
        nursery.cancel_scope.cancel()
    if fault is not None:
        raise fault


class News:
    """What somebody who waits for a process is told."""

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._event = trio.Event()

    def tell(self) -> None:
        """There is something to look at."""
        self._event.set()

    async def next(self, pause: float) -> None:
        """Wait for news; without a websocket for so many seconds."""
        with trio.move_on_after(LOOK_S if self._line.connected else pause):
            await self._event.wait()
        self._event = trio.Event()


class Watch:
    """The websockets of one client; `nursery` is where they are tended."""

    def __init__(self, wire: Wire, nursery: trio.Nursery) -> None:
        self._wire = wire
        self._nursery = nursery
        self.lines: list[_Line] = []

    @contextmanager
    def of(self, processid: str) -> Iterator[News]:
        """News of a process, for as long as the block."""
        self.lines = [line for line in self.lines if not line.over]
        line = next((line for line in self.lines if line.has_room), None)
        if line is None:
            line = _Line(self._wire)
            self.lines.append(line)
            self._nursery.start_soon(line.run)
        news = News(line)
        line.enter(processid, news)
        try:
            yield news
        finally:
            line.leave(processid, news)


async def until(look: Callable[[], Awaitable[_R | None]], watch: Watch, processid: str, pace: Pace) -> _R:
    """What `look` finds when it finds something: it is asked now, and whenever there may be news of the process.

    A lost link is waited out, once there was an answer: before that, LinkDown is raised.
    """
    if (found := await look()) is not None:
        return found
    pace.up()
    with watch.of(processid) as news:
        while True:
            await news.next(pace.pause(False))
            try:
                found = await look()
                pace.up()
            except LinkDown as fault:
                pace.down(fault)
            if found is not None:
                return found


class _News(msgspec.Struct):
    processid: str = ""


class _Line:
    """One websocket and those who wait on it."""

    def __init__(self, wire: Wire) -> None:
        self.connected = self.over = False
        self._wire = wire
        self._waiting: dict[str, set[News]] = {}
        self._asked: set[str] = set()
        """What the server was asked to tell on the websocket that is open."""
        self._changed = trio.Event()

    @property
    def asked_for_all(self) -> bool:
        """Whether the server tells of all that is waited for."""
        return self._waiting.keys() <= self._asked

    @property
    def has_room(self) -> bool:
        """Whether one more process can be watched."""
        return len(self._asked | self._waiting.keys()) < MAX_WATCHED

    def enter(self, processid: str, news: News) -> None:
        """Let somebody wait."""
        self._waiting.setdefault(processid, set()).add(news)
        self._change()

    def leave(self, processid: str, news: News) -> None:
        """Somebody waits no more."""
        self._waiting[processid].discard(news)
        if not self._waiting[processid]:
            del self._waiting[processid]
        self._change()

    async def run(self) -> None:
        """Keep the websocket open for as long as it is of use."""
        backoff = Backoff(first=0.2, cap=10)
        while not self.over:
            try:
                async with self._wire.listening() as listening, trio.open_nursery() as nursery:
                    self.connected = True
                    backoff.reset()
                    nursery.start_soon(self._hear, listening)
                    await self._ask(listening)
                    nursery.cancel_scope.cancel()
            except* LinkDown:
                pass
            finally:
                self.connected = False
                self._asked.clear()
                for processid in self._waiting:
                    self._tell(processid)
            if not self.over:
                with trio.move_on_after(backoff.pause()):
                    await self._unused()
                    self.over = True

    async def _ask(self, listening: Listening) -> None:
        """Subscribe for everybody who comes, until nobody does."""
        while not self.over:
            self._changed = trio.Event()
            for processid in self._waiting.keys() - self._asked:
                self._asked.add(processid)
                for state in ENDS:
                    await listening.subscribe(
                        "subscribeprocessmsg", processid=processid, state=int(state), timeout=SUBSCRIBED_S
                    )
            if self._changed.is_set():
                continue
            if self._waiting:
                await self._changed.wait()
                continue
            with trio.move_on_after(UNUSED_S):
                await self._changed.wait()
                continue
            self.over = True

    async def _hear(self, listening: Listening) -> None:
        while True:
            try:
                news = msgspec.json.decode(await listening.next(), type=_News)
            except Refused:
                # It does not say of which process: all look, and who asked for what may not be is told so.
                for processid in self._waiting:
                    self._tell(processid)
            except msgspec.MsgspecError:
                raise LinkDown("the event is not in our protocol") from None
            else:
                self._tell(news.processid)

    async def _unused(self) -> None:
        """Return once nobody waits."""
        while self._waiting:
            self._changed = trio.Event()
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()

    def _tell(self, processid: str) -> None:
        for news in self._waiting.get(processid, ()):
            news.tell()
