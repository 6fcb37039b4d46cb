"""Asks the server for work whenever a slot is free, and gives each process it gets a life of its own.

There is one question under way at a time, however many slots are free, and it says how much of the machine is free. It
is taken back when the gate closes, or when more has become free meanwhile. An answer can get lost on a bad link, and
then a process is assigned to us without our knowing. So after every lost answer, and at the start, we ask what is
running in our name; what has no folder here has never been started, and is started then.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import trio

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.model.quantities import cpu_text, memory_text
from colonies_node.device.desk import is_process_id
from colonies_node.device.gate import Gate
from colonies_node.device.leftovers import RESTARTED
from colonies_node.device.link import is_membership
from colonies_node.device.registration import Registration, State
from colonies_node.device.results import Outcome
from colonies_node.device.room import Need
from colonies_node.device.work import RUNNING, Why, Work, Workshop
from colonies_node.http.backoff import Backoff

HISTORY_S = 366 * 86_400
"""How old a submission may be that we still ask about."""

HANDING_IN = 8
"""Processes whose outcome is put on disk while others run in their slots; more wait for the disk."""

GIVEN_UP_KEPT = 1000
"""Far more than are given up between two deadlines that a server sees to."""

TAKEN_BACK_S = 5.0
"""A server of ours takes back what it could not deliver because we took the question back. Before it has, the process
would look like one that is ours: only after this time we look, for other servers do not take it back."""

AT_LEAST_S = 1.0
"""An empty answer that came sooner than this was no long poll: the next question waits."""


@dataclass
class Slots:
    """As many processes at a time as there are slots."""

    shop: Workshop
    registration: Registration
    gate: Gate
    parallel: int
    poll_timeout: int
    say: Callable[[str], None]
    backoff: Backoff = field(default_factory=Backoff)
    going_on: Sequence[Mapping[str, Any]] = ()
    """Processes that an earlier life of the executor has begun and that go on without it."""
    changed: Callable[[int], None] = lambda running: None
    """Is told how many processes run whenever that changes."""
    forgetful: bool = False
    """Whether the machine went down under an earlier life: what was ours then may have run, also without a folder."""
    working: dict[str, Work] = field(default_factory=dict, init=False)
    asking: trio.CancelScope = field(default_factory=trio.CancelScope, init=False)
    _waiting: deque[Mapping[str, Any]] = field(default_factory=deque, init=False)
    _look_at: float = field(default=-math.inf, init=False)
    """When to look for processes that were assigned to us without our knowing."""
    _down: bool = field(default=False, init=False)
    _given_up: deque[str] = field(default_factory=partial(deque, maxlen=GIVEN_UP_KEPT), init=False)
    """Processes that were ended here and whose end is the server's business: it may list them as ours for a while."""
    _busy: int = field(default=0, init=False)
    _freed: trio.Event = field(default_factory=trio.Event, init=False)
    _asked: trio.CancelScope = field(default_factory=trio.CancelScope, init=False)
    _offered: Need | None = field(default=None, init=False)

    async def run(self) -> None:
        """Join the colony, then take and do work until `asking` is cancelled.

        What was taken is done to its end nevertheless: this returns when the last process has handed in its
        outcome.
        """
        async with trio.open_nursery() as nursery:
            for process in self.going_on:
                self._begin(nursery, process, adopted=True)
            with self.asking:
                await self.registration.join()
                self.say(self._ready())
                while True:
                    while self._busy >= self.parallel or len(self.working) >= self.parallel + HANDING_IN:
                        await self._freed.wait()
                    self._begin(nursery, await self._next())

    def _ready(self) -> str:
        here = self.registration
        slots = "1 slot" if self.parallel == 1 else f"{self.parallel} slots"
        who = f"executor {here.name} of type {here.type} in colony {here.colony}"
        return f"ready: {who}, {slots}, id {here.executorid}"

    def end_all(self, why: Why, *, at_once: bool = False) -> None:
        """End every process that runs here."""
        for work in list(self.working.values()):
            work.end(why, at_once=at_once)

    def reconsider(self) -> None:
        """Take back a question that is under way: the gate has closed, or more is free than it says."""
        self._asked.cancel()

    def _begin(self, nursery: trio.Nursery, process: Mapping[str, Any], *, adopted: bool = False) -> None:
        work = Work(self.shop, process, adopted)
        if work.processid in self._given_up:
            self._given_up.remove(work.processid)
        work.take_room()  # at once, so that the next question does not offer it again
        self.working[work.processid] = work
        self._busy += 1
        self.changed(self._busy)
        nursery.start_soon(self._do, work)

    async def _do(self, work: Work) -> None:
        try:
            outcome = await work.run()
        finally:
            self._busy -= 1
            self._free()
            self.changed(self._busy)
        if self._offered is not None and self._offered.is_less_than(self.shop.room.free):
            self.reconsider()
        if outcome is not None:
            await self.shop.delivery.hand_in(outcome)
        else:
            self._given_up.append(work.processid)
        del self.working[work.processid]
        work.done.set()
        self._free()

    def _free(self) -> None:
        self._freed.set()
        self._freed = trio.Event()

    async def _next(self) -> Mapping[str, Any]:
        """The next process to start: one that was assigned without our knowing, or a new one."""
        while True:
            try:
                if trio.current_time() >= self._look_at:
                    await self._look_for_lost()
                    self._look_at = math.inf
                if self._waiting:
                    return self._waiting.popleft()
                await self.gate.until_open()
                if (process := await self._ask()) is not None and await self._make_way(process):
                    return process
            except LinkDown as fault:
                self._look_at = -math.inf
                self._link_is(False, f"The link to the server is down ({fault}); what runs goes on.")
                await trio.sleep(self.backoff.pause())
            except Refused as no:
                await self._mend(no)

    async def _ask(self) -> Mapping[str, Any] | None:
        """Wait at the server for a process; None if there was none, which is no reason to pause."""
        asked, process = trio.current_time(), None
        limited = any(not runner.outlives for runner in self.shop.runners)
        self._offered = self.shop.room.free if limited else None
        self._asked = trio.CancelScope()
        try:
            with self._asked:
                process = await self.shop.client.call(
                    "assignprocessmsg",
                    colonyname=self.registration.colony,
                    timeout=self.poll_timeout,
                    availablecpu=cpu_text(self._offered.cpu) if self._offered else "",
                    availablemem=memory_text(self._offered.mem) if self._offered else "",
                    **({"availablegpu": self._offered.gpus} if self._offered else {}),
                    _timeout=self.poll_timeout + 15.0,
                )
        except Refused as no:
            if no.status not in (404, 408) or trio.current_time() - asked < AT_LEAST_S:
                raise
        finally:
            self._offered = None
        if self._asked.cancelled_caught:
            self._look_at = min(self._look_at, trio.current_time() + TAKEN_BACK_S)
            return None
        self.backoff.reset()
        self._link_is(True, "The link to the server is back.")
        return process

    async def _make_way(self, process: Mapping[str, Any]) -> bool:
        """Whether to start a process that was just assigned; ends an earlier run of it first.

        A process comes back to us when the server has given it out again: after its deadline, or after it
        took us for gone. If the earlier run has a result on its way, that is the result.
        """
        processid = process["processid"]
        if not self._has_id(process):
            return False
        if earlier := self.working.get(processid):
            earlier.end(Why.LOST)
            await earlier.done.wait()
        if self.shop.delivery.results.path(processid).exists():
            self.shop.delivery.wake()
            return False
        if self.shop.desks.folder(processid).exists():
            self.shop.desks.clear(processid)
        return True

    async def _mend(self, no: Refused) -> None:
        """Do what a refusal calls for: register again, or wait a little."""
        if is_membership(no) or (no.status == 500 and "executor not found" in no.message):
            self.say(f"The server does not take this executor's word any more ({no.message}); joining again.")
            await self._drop_what_was_given_away()
            await self.registration.join()
            self._look_at = -math.inf
        elif no.status not in (404, 408):
            self.say(f"The server gives no work: {no.message}. Trying again.")
        await trio.sleep(self.backoff.pause())

    async def _drop_what_was_given_away(self) -> None:
        """A removed executor's processes are waiting for others again: ours must not run beside them."""
        try:
            state = await self.registration.state()
        except (LinkDown, Refused):
            return
        if state is State.UNREGISTERED:
            self.end_all(Why.LOST)

    async def _look_for_lost(self) -> None:
        # What has a folder now may have been delivered when the answer comes, and is listed as it was before.
        had = set(self.shop.desks.occupied())
        listed = await self.shop.client.call(
            "getprocesshistmsg",
            colonyname=self.registration.colony,
            executorid=self.shop.executorid,
            seconds=HISTORY_S,
            state=RUNNING,
        )
        known = {process["processid"] for process in self._waiting} | had | set(self._given_up)
        for process in listed or []:
            if process["processid"] not in known and self._is_startable(process):
                if self.forgetful:
                    lost = Outcome(process["processid"], time.time_ns(), False, errors=[RESTARTED])
                    await self.shop.delivery.hand_in(lost)
                else:
                    self._waiting.append(process)
        self.forgetful = False

    def _is_startable(self, process: Mapping[str, Any]) -> bool:
        """Whether it has never been started here: a process's folder is made before its program starts."""
        return self._has_id(process) and not self.shop.desks.folder(process["processid"]).exists()

    def _has_id(self, process: Mapping[str, Any]) -> bool:
        if is_process_id(process["processid"]):
            return True
        shown = str(process["processid"])[:80]
        self.say(f"The server sent a process whose id is none: {shown!r}. It is left alone.")
        return False

    def _link_is(self, up: bool, words: str) -> None:
        if up == self._down:
            self._down = not up
            self.say(words)
