"""Handing out work: executors in long polls, and the processes that find them.

A process that waits wakes one executor that may take it, which passes the offer on when it turns out that it cannot. A
wake-up cannot be lost: whoever waits has entered the waiting room *before* it tried for the last time.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import trio

from colonies_node.core import limits
from colonies_node.core.broker import access, processes, work
from colonies_node.core.broker.call import Call
from colonies_node.core.broker.once import recall
from colonies_node.core.broker.table import Row
from colonies_node.core.errors import ColonyError, Conflict, NotFound, StoreError, TimedOut, Unavailable
from colonies_node.core.events import Waiter, WaitingRoom
from colonies_node.core.model.messages import AssignProcess
from colonies_node.core.states import ProcessState
from colonies_node.core.store import executors, members, remembered
from colonies_node.core.store import processes as stored
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.remembered import Once
from colonies_node.core.store.transaction import Transaction

if TYPE_CHECKING:
    from colonies_node.http.service import Service, Show

log = logging.getLogger(__name__)

RETRY_S = 10
"""Seconds until a process that could not be given back, for want of disk space, is tried again."""


@dataclass(eq=False, slots=True)
class Turn:
    """A copy of a message that waits for its answer; `over` when a later copy has come, which is answered instead."""

    waiter: Waiter
    over: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Given:
    """The answer to an application for work, and the process that it brings; None for a message that was answered
    before, whose process was given then."""

    process: ProcessRow | None
    shown: bytes
    once: Once | None = None
    turn: Turn | None = None


class Assignments:
    """The executors that wait at a service, and how they get work."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.room = WaitingRoom()
        self.owed: list[Given] = []
        """What an executor was given and never heard of, until the store has it back in the queue."""
        self._turns: dict[tuple[str, bytes], Turn] = {}

    async def assign(self, row: Row, message: AssignProcess, call: Call, show: Show, once: Once | None = None) -> Given:
        """The process that the caller runs from now on, as `show` has it; waits for one as long as the message says.

        With `once` the same message gets the same answer again; of two copies that wait at the same time, the later
        one goes on. Raises NotFound when none came, TimedOut or Unavailable while the colony is paused. A caller that
        is cancelled has nothing assigned, unless this has returned: then say `take_back` or `settle`.
        """
        service = self._service
        waiter: Waiter = service.read(lambda tx: row.run(tx, message, call))
        service.note_heard(call)
        turn = self._begin(once, waiter)
        change = functools.partial(take, row=row, waiter=waiter, call=call, show=show, once=once)
        given: Given | None = None
        try:
            given = await service.write(change)
            if given is None and message.timeout > 0 and not service.closing:
                given = await self._wait(waiter, message.timeout, call, change, turn)
            if given is None:
                raise service.read(lambda tx: nothing(tx, message))
            return replace(given, turn=turn)
        finally:
            self.room.leave(waiter)
            self.pass_on(waiter, given)
            service.note_heard(call)
            if given is None:
                self._end(once, turn)

    async def _wait(
        self, waiter: Waiter, timeout: int, call: Call, change: Callable[[Transaction], Given | None], turn: Turn | None
    ) -> Given | None:
        """What `change` gives as soon as there is something for the waiter; None when the time is over."""
        service = self._service
        with trio.move_on_after(min(timeout, limits.MAX_LONG_POLL_S)):
            while True:
                if turn is not None and turn.over:
                    raise Conflict("The same message came again: it is answered there")
                service.note_heard(call)
                arrived = trio.Event()
                self.room.enter(waiter, arrived.set)
                looked_at = len(waiter.offers)
                given = await service.write(change)
                if given is not None or service.closing:
                    return given
                # These were there for the attempt to take, so they are somebody else's now. Later ones may not be.
                del waiter.offers[:looked_at]
                await arrived.wait()
        return None

    async def take_back(self, given: Given) -> None:
        """Return a process to the queue because its executor could not be told that it has it."""
        if given.process is None:
            self.settle(given)
            return
        log.info("process %s is given back: its executor was gone before it had the answer", given.process.processid)
        self.owed.append(given)
        try:
            with trio.CancelScope(shield=True):
                await self._service.write(self.take_back_owed)
            self.paid([given])
        except StoreError as fault:
            log.error("it cannot be given back now, this is tried again: %s", fault)
            self._service.ring_in(RETRY_S)

    def settle(self, given: Given) -> None:
        """The executor was told, as far as anybody knows."""
        self._end(given.once, given.turn)

    def take_back_owed(self, tx: Transaction) -> None:
        """Return to the queue all that is still owed to it. What is done twice has no effect."""
        for given in self.owed:
            if given.turn is not None and given.turn.over:
                continue  # a later copy of the message has come for the same answer
            if given.process is not None:
                work.take_back(tx, given.process.processid, given.process.assignedexecutorid)
            if given.once is not None:
                remembered.forget(tx, given.once)

    def paid(self, owed: list[Given]) -> None:
        """These are in the queue again, on disk."""
        self.owed = [given for given in self.owed if given not in owed]
        for given in owed:
            self.settle(given)

    def _begin(self, once: Once | None, waiter: Waiter) -> Turn | None:
        """Wait for the answer to a message, instead of an earlier copy of it."""
        if once is None:
            return None
        earlier = self._turns.get(once[:2])
        turn = self._turns[once[:2]] = Turn(waiter)
        if earlier is not None:
            earlier.over = True
            earlier.waiter.wake()
        return turn

    def _end(self, once: Once | None, turn: Turn | None) -> None:
        if once is not None and self._turns.get(once[:2]) is turn:
            del self._turns[once[:2]]

    def offer(self, process: ProcessRow, instead_of: Waiter | None = None) -> None:
        """Wake an executor for the process, if it waits for one."""
        if process.state == ProcessState.WAITING and not process.waitforparents:
            self.room.offer(process, instead_of)

    def close(self) -> None:
        """Answer every long poll: the server goes."""
        self.room.wake_all()

    def pass_on(self, waiter: Waiter, given: Given | None = None) -> None:
        """Offer to others what the waiter was woken for and did not take."""
        offers, waiter.offers = waiter.offers, []
        for offer in offers:
            if given is not None and given.process is not None and given.process.processid == offer:
                continue
            process = self._service.read(functools.partial(stored.find, processid=offer))
            if process is not None:
                self.offer(process, instead_of=waiter)


def take(tx: Transaction, row: Row, waiter: Waiter, call: Call, show: Show, once: Once | None = None) -> Given | None:
    """What the waiter gets now. It must still be a member: it may have been removed while it waited."""
    if once is not None:
        reply = recall(tx, once)
        if reply is not None:
            return Given(None, reply, once)
    access.require_member(tx, call, waiter.colonyname)
    process = None if members.paused(tx, waiter.colonyname) else work.assign(tx, waiter)
    if process is None:
        return None
    if call.executor is not None and not call.executor.lastheardfromtime:
        # Later signs of life are stored by the sweep for silent executors; without a first one, none would be silent.
        executors.heard(tx, waiter.executorid, tx.now)
    reply = show(row, processes.show(tx, process))
    if once is not None:
        remembered.keep(tx, once, reply)
    return Given(process, reply, once)


def nothing(tx: Transaction, message: AssignProcess) -> ColonyError:
    """Why an application for work was in vain."""
    paused = members.paused(tx, message.colonyname)
    if paused and message.timeout > 0:
        return TimedOut("Assignment timeout: colony assignments are paused")
    if paused:
        return Unavailable("No processes available: colony assignments are paused")
    return NotFound("No process available for assignment")
