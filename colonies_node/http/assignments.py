"""Handing out work: executors in long polls, and the processes that find them.

A process that waits wakes one executor that may take it, which passes the offer on when it turns out that it cannot. A
wake-up cannot be lost: whoever waits has entered the waiting room *before* it tried for the last time.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from colonies_node.core import limits
from colonies_node.core.broker import access, processes, work
from colonies_node.core.broker.call import Call
from colonies_node.core.broker.table import Row
from colonies_node.core.errors import ColonyError, NotFound, StoreError, TimedOut, Unavailable
from colonies_node.core.events import Waiter, WaitingRoom
from colonies_node.core.model.messages import AssignProcess
from colonies_node.core.model.wire import encode
from colonies_node.core.states import ProcessState
from colonies_node.core.store import executors, members
from colonies_node.core.store import processes as stored
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

if TYPE_CHECKING:
    from colonies_node.http.service import Service

log = logging.getLogger(__name__)

RETRY_S = 10
"""Seconds until a process that could not be given back, for want of disk space, is tried again."""


@dataclass(frozen=True, slots=True)
class Given:
    """A process that an executor was given, and the answer that says so."""

    process: ProcessRow
    shown: bytes


class Assignments:
    """The executors that wait at a service, and how they get work."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.room = WaitingRoom()
        self.owed: list[ProcessRow] = []
        """Processes whose executor never got the answer, until the store has them back in the queue."""

    async def assign(self, row: Row, message: AssignProcess, call: Call) -> Given:
        """The process that the caller runs from now on; waits for one as long as the message says.

        Raises NotFound when none came, TimedOut or Unavailable while the colony is paused. A caller that is cancelled
        has nothing assigned, unless this has returned: then give it back with `take_back`.
        """
        service = self._service
        waiter: Waiter = service.read(lambda tx: row.run(tx, message, call))
        service.note_heard(call)
        attempt = functools.partial(_attempt, waiter=waiter, call=call)
        given: Given | None = None
        patience = min(message.timeout, limits.MAX_LONG_POLL_S) if message.timeout > 0 else float("inf")
        try:
            with trio.move_on_after(patience):
                while True:
                    arrived = trio.Event()
                    self.room.enter(waiter, arrived.set)
                    looked_at = len(waiter.offers)
                    given = await service.write(attempt)
                    if given is not None:
                        return given
                    # These were there for the attempt to take, so they are somebody else's now. Later ones may not be.
                    del waiter.offers[:looked_at]
                    service.note_heard(call)
                    if message.timeout < 0 or service.closing:
                        break
                    await arrived.wait()
            paused = service.read(lambda tx: members.paused(tx, message.colonyname))
            raise _nothing(paused, waited=message.timeout > 0)
        finally:
            self.room.leave(waiter)
            self._pass_on(waiter, given)
            service.note_heard(call)

    async def take_back(self, process: ProcessRow) -> None:
        """Return a process to the queue because its executor could not be told that it has it."""
        log.info("process %s is given back: its executor was gone before it had the answer", process.processid)
        self.owed.append(process)
        try:
            with trio.CancelScope(shield=True):
                await self._service.write(self.take_back_owed)
            self.paid([process])
        except StoreError as fault:
            log.error("it cannot be given back now, this is tried again: %s", fault)
            self._service.ring_in(RETRY_S)

    def take_back_owed(self, tx: Transaction) -> None:
        """Return to the queue all that is still owed to it. What is done twice has no effect."""
        for process in self.owed:
            work.take_back(tx, process.processid, process.assignedexecutorid)

    def paid(self, processes: list[ProcessRow]) -> None:
        """These are in the queue again, on disk."""
        self.owed = [process for process in self.owed if process not in processes]

    def offer(self, process: ProcessRow, instead_of: Waiter | None = None) -> None:
        """Wake an executor for the process, if it waits for one."""
        if process.state == ProcessState.WAITING and not process.waitforparents:
            self.room.offer(process, instead_of)

    def close(self) -> None:
        """Answer every long poll: the server goes."""
        self.room.wake_all()

    def _pass_on(self, waiter: Waiter, given: Given | None) -> None:
        """Offer to others what the waiter was woken for and did not take."""
        offers, waiter.offers = waiter.offers, []
        for offer in offers:
            if given is not None and given.process.processid == offer:
                continue
            process = self._service.read(functools.partial(stored.find, processid=offer))
            if process is not None:
                self.offer(process, instead_of=waiter)


def _attempt(tx: Transaction, waiter: Waiter, call: Call) -> Given | None:
    """What the waiter gets now. It must still be a member: it may have been removed while it waited."""
    access.require_member(tx, call, waiter.colonyname)
    process = None if members.paused(tx, waiter.colonyname) else work.assign(tx, waiter)
    if process is None:
        return None
    if call.executor is not None and not call.executor.lastheardfromtime:
        # Later signs of life are stored by the sweep for silent executors; without a first one, none would be silent.
        executors.heard(tx, waiter.executorid, tx.now)
    return Given(process, encode(processes.show(tx, process)))


def _nothing(paused: bool, waited: bool) -> ColonyError:
    if paused and waited:
        return TimedOut("Assignment timeout: colony assignments are paused")
    if paused:
        return Unavailable("No processes available: colony assignments are paused")
    return NotFound("No process available for assignment")
