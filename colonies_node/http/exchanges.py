"""Lower nodes whose letters wait for an answer: until there is something to tell them, or their time is over.

A wake-up cannot be lost: who waits has been entered *before* the last look. A newer letter of a node answers the one
before it at once, so a node that lost its connection leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import trio

from colonies_node.core import limits
from colonies_node.core.broker.call import Call
from colonies_node.core.broker.sync import exchange
from colonies_node.core.broker.table import Row
from colonies_node.core.events import Event, OffersChanged, ProcessChanged, ShareChanged, Waiter
from colonies_node.core.model.sync import Letter, SyncMessage
from colonies_node.core.store import shares
from colonies_node.core.store.transaction import Transaction

if TYPE_CHECKING:
    from colonies_node.http.service import Service


@dataclass(eq=False, slots=True)
class _Waiting:
    superseded: bool = False
    arrived: trio.Event = field(default_factory=trio.Event)
    applicants: list[Waiter] = field(default_factory=list)
    link: int = 0


class Exchanges:
    """The letters that wait at a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._present: dict[tuple[str, str], _Waiting] = {}

    async def exchange(self, row: Row, message: SyncMessage, call: Call) -> Letter:
        """Take in a letter and answer it: at once when there is something to tell, else after the time that it gives.
        Raises ColonyError."""
        key = message.colonyname, message.node
        waiting = _Waiting()
        if (before := self._present.pop(key, None)) is not None:
            before.superseded = True
            before.arrived.set()
        if message.timeout > 0:
            self._present[key] = waiting
        look: Callable[[Transaction], Letter] = partial(row.run, message=message, call=call)
        try:
            letter = await self._look(waiting, look)
            if message.timeout > 0 and not exchange.has_news(letter):
                letter = await self._wait(waiting, message, call, letter)
            return letter
        finally:
            self._leave(waiting)
            self._service.note_heard(call)
            if self._present.get(key) is waiting:
                del self._present[key]

    async def _wait(self, waiting: _Waiting, message: SyncMessage, call: Call, letter: Letter) -> Letter:
        """The first letter with news, or the last one without when the time is over."""
        again = partial(exchange.again, message=message, call=call)
        assert call.executor is not None, "checked when the letter was taken in"
        waiting.link = self._service.read(partial(exchange.link_of, message=message, call=call))
        if not waiting.link:
            return letter
        waiting.applicants = exchange.waiters(message, call.executor, waiting.link)
        with trio.move_on_after(min(message.timeout, limits.MAX_LONG_POLL_S)):
            while not (waiting.superseded or self._service.closing):
                letter = await self._look(waiting, again)
                if exchange.has_news(letter):
                    break
                await waiting.arrived.wait()
        return letter

    async def _look(self, waiting: _Waiting, look: Callable[[Transaction], Letter]) -> Letter:
        """What there is to tell now. Whatever comes after the beginning of the look sets `arrived`."""
        if not waiting.superseded:
            waiting.arrived = trio.Event()
        for applicant in waiting.applicants:
            self._service.assignments.room.enter(applicant, waiting.arrived.set)
        letter: Letter = await self._service.write(look)
        for applicant in waiting.applicants:
            self._service.assignments.pass_on(applicant)
        return letter

    def _leave(self, waiting: _Waiting) -> None:
        for applicant in waiting.applicants:
            self._service.assignments.room.leave(applicant)
            self._service.assignments.pass_on(applicant)

    def tell(self, event: Event) -> None:
        """Wake those who are to hear of what happened."""
        if not self._present:
            return
        if isinstance(event, ProcessChanged):
            if not event.process.shared:
                return
            processid = event.process.processid
        elif isinstance(event, ShareChanged):
            processid = event.processid
        elif isinstance(event, OffersChanged):
            for (colonyname, _), waiting in self._present.items():
                if colonyname == event.colonyname:
                    waiting.arrived.set()
            return
        else:
            return
        concerned = self._service.read(partial(shares.links_with_news, processid=processid))
        for waiting in self._present.values():
            if waiting.link in concerned:
                waiting.arrived.set()

    def close(self) -> None:
        """Answer every letter: the server goes."""
        for waiting in self._present.values():
            waiting.arrived.set()

    def __len__(self) -> int:
        return len(self._present)
