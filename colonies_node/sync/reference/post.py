"""Stands in for the client of a link whose upstream is a reference server: letters go in, answers come out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from colonies_node.core import limits
from colonies_node.core.broker.sync import offers
from colonies_node.core.errors import ColonyError, Refused
from colonies_node.core.identity import Signer, digest
from colonies_node.core.model.sync import Item, Letter, Mark, Offered, SyncMessage, Upstream
from colonies_node.core.states import ExecutorState
from colonies_node.core.store import links
from colonies_node.core.store.transaction import Transaction
from colonies_node.sync.link import Node
from colonies_node.sync.reference.errands import Errands
from colonies_node.sync.reference.seats import Seat, Seats
from colonies_node.sync.reference.server import Door, Server, is_membership
from colonies_node.sync.reference.watch import Watch

LATE_S: Final = 5.0
"""Seconds beyond its time for which an answer with work is waited for: one that is cut off has to be looked for."""

PAUSED_S: Final = 30.0
"""Seconds between two questions for work where the server answers at once instead of waiting."""


class Reference:
    """A `sync.link.Post` for the reference server behind `door`.

    `key` is the private key of the link's executor there, `owner` that of the colony there, if it is at hand: it lets
    the executor in. The processes of the link are read from `node`, and noted there.
    """

    def __init__(self, node: Node, upstream: Upstream, door: Door, key: str, owner: Signer | None = None) -> None:
        self.nodeid = digest(upstream.url.rstrip("/").encode())
        """Who the server is to this node."""
        self._node = node
        self._name = upstream.name
        self._server = Server(door, upstream.upstreamcolony or upstream.colonyname)
        self._seats = Seats(self._server, key, upstream, owner)
        self._errands = Errands(node, upstream.name, self._server, self._seats)
        self._watch = Watch(node, upstream.name, self._server, self._seats, self._errands)
        self._turn = trio.Lock()
        self._waiting: trio.CancelScope | None = None
        self._letters = 0
        self._done = Mark()
        self._fault: ColonyError | None = None

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far."""
        return self._server.sent, self._server.received

    async def exchange(self, letter: SyncMessage, patience: float) -> Letter:
        """Do what a letter says, and tell what there is to tell; with nothing of either, wait as long as it says.

        A letter of many processes takes as long as they need, whatever the patience: what was done is known in the
        store. A letter that waits is answered with the next one. Raises Refused or LinkDown.
        """
        self._letters += 1
        number = self._letters
        if self._waiting is not None:
            self._waiting.cancel()
        async with self._turn:
            answer = await self._answer(letter)
        if number < self._letters:
            # What a newer letter carries must not look as if it had not come.
            async with self._turn:
                if self._fault is not None:
                    raise self._fault
                answer.have = self._node.read(partial(self._mark, letter=letter))
        return answer

    async def _answer(self, letter: SyncMessage) -> Letter:
        self._fault = None
        try:
            await self._seats.take(letter.accept or [])
            items, need = await self._errands.run(letter.items or ())
            if letter.batch:
                self._done = Mark(timeline=letter.timeline, batch=letter.batch)
                self._watch.stir()
            if trio.current_time() >= self._watch.due:
                items += await self._watch.look()
            await self._watch.take(letter.accept or [], min(letter.free, limits.MAX_FREE))
            if letter.timeout > 0 and not items and not need and not self._watch.given():
                items = await self._wait(letter)
        except ColonyError as fault:
            if isinstance(fault, Refused) and is_membership(fault):
                self._seats.forget()
            self._fault = fault
            raise
        found = self._offered()
        return Letter(
            node=self.nodeid,
            have=self._node.read(partial(self._mark, letter=letter)),
            items=items + self._watch.given(),
            need=need,
            offers=None if offers.digest(found) == letter.offered else found,
        )

    async def _wait(self, letter: SyncMessage) -> list[Item]:
        """What comes to be told in the time of the letter: work for us, or news of what both know."""
        deadline = trio.current_time() + letter.timeout
        items: list[Item] = []
        faults: list[ColonyError] = []

        async def watch() -> bool:
            while max(trio.current_time(), self._watch.due) < deadline:
                await trio.sleep_until(self._watch.due)
                items.extend(await self._watch.look())
                if items or self._watch.given():
                    return True
            await trio.sleep_until(deadline)
            return False

        async def poll(seat: Seat) -> bool:
            while (left := int(deadline - trio.current_time())) > 0:
                began = trio.current_time()
                if await self._watch.wait(seat, left):
                    return True
                await trio.sleep_until(min(began + PAUSED_S, deadline))
            return False

        async def until_news(work: Callable[[], Awaitable[bool]]) -> None:
            try:
                news = await work()
            except ColonyError as fault:
                faults.append(fault)
                news = True
            if news:
                nursery.cancel_scope.cancel()

        try:
            with trio.CancelScope(deadline=deadline + LATE_S) as self._waiting:
                async with trio.open_nursery() as nursery:
                    for seat in self._asking(letter):
                        nursery.start_soon(until_news, partial(poll, seat))
                    nursery.start_soon(until_news, watch)
        finally:
            self._waiting = None
        if faults:
            raise faults[0]
        return items

    def _asking(self, letter: SyncMessage) -> list[Seat]:
        """Our executors that wait for work: not more than may get some, and others each time."""
        seats = [self._seats.of_type(executortype) for executortype in dict.fromkeys(letter.accept or ())]
        first = self._letters % len(seats) if seats else 0
        return (seats[first:] + seats[:first])[: max(letter.free, 0)]

    def _mark(self, tx: Transaction, letter: SyncMessage) -> Mark:
        """The last letter of this node that was done whole."""
        link = links.upstream(tx, self._name)
        confirmed = link.confirmed if link else 0
        if self._done.timeline == letter.timeline and self._done.batch >= confirmed:
            return self._done
        return Mark(timeline=links.written_in(tx, confirmed), batch=confirmed)

    def _offered(self) -> list[Offered]:
        """What the other executors there are."""
        approved = [one for one in self._seats.listed if one.state == ExecutorState.APPROVED]
        return [
            offers.of_executor(one.executortype, one.executorname, one.locationname, one.capabilities)
            for one in approved[: offers.MOST]
        ]
