"""A link to an upstream at work: letters from the store to the client, answers back into the store."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import trio

from colonies_node.core.broker.call import Live
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.broker.sync.handout import Look
from colonies_node.core.broker.sync.upstreams import Wish
from colonies_node.core.errors import ColonyError, Conflict, LinkDown, StoreError
from colonies_node.core.model.sync import Letter, SyncMessage, Upstream
from colonies_node.core.rules import Rule, Value, parse
from colonies_node.core.store import links, processes
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.transaction import Transaction
from colonies_node.sync.machine import PATIENCE_S, Act, Machine

log = logging.getLogger(__name__)

LINGER_S = 0.02
"""After a change, this long until the letter is written: what else happens in this moment goes with it."""

LOOK_S = 5.0
"""Seconds between two looks at rules whose answer changes with time, while something waits."""

TIMELY = frozenset(("waited", "queue", "battery", "charging", "load", "temperature", "memory", "disk"))
"""Names whose value changes by itself."""


class Node(Protocol):
    """What the link needs of the node that it belongs to (http/service.py)."""

    async def write(self, change: Callable[[Transaction], Any]) -> Any: ...

    def read(self, look: Callable[[Transaction], Any]) -> Any: ...

    def clock(self) -> int: ...

    def closed(self) -> str: ...


class Post(Protocol):
    """What carries a letter to the upstream, and gives its answer. Raises Refused or LinkDown."""

    async def exchange(self, letter: SyncMessage, patience: float) -> Letter: ...

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far."""
        ...


class Link:
    """One upstream. `readings` gives what the device says now; `earlier` the upstreams that come first; `plain` says
    that the upstream is a server without letters, which cannot be told the input of a process."""

    def __init__(
        self,
        node: Node,
        nodeid: str,
        upstream: Upstream,
        post: Post,
        live: Live,
        *,
        readings: Callable[[], Mapping[str, Value]] = dict,
        earlier: Callable[[], tuple[tuple[LinkRow, tuple[Rule, ...]], ...]] = tuple,
        plain: bool = False,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.upstream = upstream
        self.live = live
        self.rules = tuple(parse(rule) for rule in upstream.offload or ())
        self.machine = Machine(dice, budget=upstream.budget)
        self._node = node
        self._nodeid = nodeid
        self._post = post
        self._readings = readings
        self._earlier = earlier
        self._look = Look(self.rules, upstream.window, plain=plain)
        self._timely = any(rule.names & TIMELY for rule in self.rules)
        self._moved = trio.Event()
        self._lingers = False
        self._need: list[str] = []
        self._answered = 0

    def changed(self) -> None:
        """Something happened here that the upstream may have to hear of."""
        self.machine.changed()
        if not self._moved.is_set():
            self._lingers = True
            self._moved.set()

    def now(self) -> None:
        """Reach the upstream at once."""
        self.machine.retry_now()
        self._moved.set()

    async def run(self) -> None:
        """Keep the link until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._moved, self._lingers = trio.Event(), False
                act = self.machine.act(trio.current_time())
                if act is not None and await self._write(act, nursery):
                    continue
                with trio.move_on_at(min(self.machine.next(trio.current_time()), self._next_look())):
                    await self._moved.wait()
                    if self._lingers and self.machine.connected:
                        await trio.sleep(LINGER_S)
                if self._timely and self.machine.connected:
                    self.machine.changed()

    def _next_look(self) -> float:
        """When the rules have to be asked again although nothing happened."""
        if not (self._timely and self.machine.connected):
            return math.inf
        waits = self._node.read(partial(processes.waits, colonyname=self.upstream.colonyname))
        return trio.current_time() + LOOK_S if waits else math.inf

    async def _write(self, act: Act, nursery: trio.Nursery) -> bool:
        """Write the next letter and send it; whether there was one to send."""
        now = trio.current_time()
        wish = Wish(self.machine.room, self.machine.history(now), need=self._need)
        try:
            letter: SyncMessage = await self._node.write(partial(self._compose, wish=wish))
        except StoreError as fault:
            self._is_down(f"the store cannot be written: {fault.message}")
            self.machine.failed(now, self.machine.send(now, act, carries=True) or 0)
            return False
        self.machine.spend(wish.told)
        if wish.more and wish.history is not None:
            self.machine.look_again(now)
        carries = bool(letter.batch or letter.need)
        number = self.machine.send(now, act, carries)
        if number is None:
            return False
        letter.timeout = self.machine.timeout(carries)
        self._need = []
        nursery.start_soon(self._deliver, letter, number)
        return True

    def _compose(self, tx: Transaction, wish: Wish) -> SyncMessage:
        link = self._row(tx)
        self._look.readings = self._readings() if self._timely else {}
        self._look.earlier = self._earlier()
        look = self._look if self.machine.connected else Look((), 0)
        wish.closed = self._node.closed()
        return upstreams.compose(tx, link, self.upstream, self._nodeid, look, wish)

    def _row(self, tx: Transaction) -> LinkRow:
        link = links.upstream(tx, self.upstream.name)
        if link is None:
            raise Conflict(f"the upstream {self.upstream.name} was removed")
        return link

    async def _deliver(self, letter: SyncMessage, number: int) -> None:
        lasting = False
        try:
            answer = await self._post.exchange(letter, PATIENCE_S + letter.timeout)
            need: list[str] = []
            if letter.letter > self._answered:  # else a later one was answered first, and this says what was before
                self._answered = letter.letter
                need = await self._node.write(partial(self._take_in, answer=answer))
        except (LinkDown, StoreError) as fault:
            why = fault.message
        except ColonyError as fault:
            why, lasting = fault.message, True
        else:
            self._need += need
            if self._look.more:
                self.machine.changed()
            self.machine.answered(trio.current_time(), number, more=bool(need))
            self._is_up()
            self._moved.set()
            return
        self._need += letter.need or ()
        if self.machine.failed(trio.current_time(), number, lasting=lasting):
            self._is_down(why)
        self._moved.set()

    def _take_in(self, tx: Transaction, answer: Letter) -> list[str]:
        return upstreams.answered(tx, self._row(tx), answer, self._nodeid)

    def _is_up(self) -> None:
        live = self.live
        live.exchanged = self._node.clock()
        live.sent, live.received = self._post.traffic
        if not live.connected:
            live.connected, live.since, live.why = True, live.exchanged, ""
            log.info("connected to upstream %s", self.upstream.name)

    def _is_down(self, why: str) -> None:
        live = self.live
        if live.connected or not live.since:
            live.since = self._node.clock()
            log.warning("the link to upstream %s is down: %s", self.upstream.name, why)
        live.connected, live.why = False, why
        live.sent, live.received = self._post.traffic
