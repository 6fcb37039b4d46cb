"""The running node behind the doors: one store, shared commits, executors that wait, and the alarm clock.

A door hands in (message type, payload, caller) and gets (reply type, payload) back, or a ColonyError. In between:

    read     a look at what is committed, at once
    scan     a look that may take long, in a thread of its own
    write    joins the next commit; answered when it is on disk
    bulk     a change that may take long: a commit of its own, made in a thread
    poll     assign: look, else wait until a commit brings something that this executor may take

Events are told after the commit that made them: a process that waits wakes one executor that may take it, which
passes the offer on when it turns out that it cannot. A wake-up cannot be lost: whoever waits has entered the waiting
room *before* it looked for the last time.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio

from colonies_node.core import limits, timers
from colonies_node.core.broker import access, processes, work
from colonies_node.core.broker.call import DONE, Call, Rules
from colonies_node.core.broker.table import Kind, Row
from colonies_node.core.errors import BadRequest, ColonyError, Internal, NotFound, TimedOut, Unavailable
from colonies_node.core.events import AssignmentsResumed, Event, ProcessChanged, Waiter, WaitingRoom
from colonies_node.core.model.messages import AssignProcess
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import Malformed, decode, encode
from colonies_node.core.states import ProcessState
from colonies_node.core.store import members
from colonies_node.core.store import processes as stored
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.sqlite import Change, Outcome, Store
from colonies_node.core.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger(__name__)

MAX_SLEEP = 60.0
"""Seconds until a sleeping alarm looks at the clock again: a wall clock may be set while it sleeps."""


@dataclass(frozen=True, slots=True)
class Given:
    """A process that an executor was given, and the answer that says so."""

    process: ProcessRow
    shown: bytes


@dataclass(eq=False, slots=True)
class _Job:
    change: Change
    task: trio.lowlevel.Task
    bulk: bool
    outcome: Outcome = field(default_factory=Outcome)


class Service:
    """What the doors talk to. Run `run` in a nursery; everything else works while it runs."""

    def __init__(self, store: Store, rules: Rules, clock: Callable[[], int]) -> None:
        self.store = store
        self.rules = rules
        self.clock = clock
        self.room = WaitingRoom()
        self.heard: dict[str, int] = {}
        self.closing = False
        self._jobs: list[_Job] = []
        self._work = trio.Event()
        self._sweeps = timers.Sweeps(started=clock())
        self._alarm = 0
        self._alarm_moved = trio.Event()
        self._folding = False
        self._scans = trio.CapacityLimiter(2)

    # -- what the doors call -----------------------------------------------------------------------------------------

    async def answer(self, row: Row, payload: bytes, caller: str) -> tuple[str, bytes]:
        """(reply type, encoded reply) to a message. Raises ColonyError to refuse; nothing was changed then."""
        message: Any = self.read_message(row, payload)
        call = Call(caller, self.rules, self.heard)
        if row.kind is Kind.POLL:
            return row.msgtype, (await self.assign(message, call)).shown
        return row.reply_type or row.msgtype, await self._decide(row, message, call)

    def read_message(self, row: Row, payload: bytes) -> Any:
        """The record in a payload, checked as far as it can be alone. Raises BadRequest with the text of its type."""
        if row.lenient:
            return row.record(msgtype=row.msgtype)
        try:
            message = decode(row.record, payload)
        except Malformed:
            raise BadRequest(f"{row.phrase}, invalid JSON") from None
        if message.msgtype != row.msgtype:
            raise BadRequest(row.mismatch)
        if row.check is not None:
            row.check(message)
        return message

    async def _decide(self, row: Row, message: Any, call: Call) -> bytes:
        def decide(tx: Transaction) -> bytes:
            row.right.check(tx, message, call)
            reply = row.decide(tx, message, call)
            if reply is DONE:
                return b"{}"
            return b"null" if reply == [] else encode(reply)

        try:
            if row.kind in (Kind.WRITE, Kind.BULK):
                return await self.write(decide, bulk=row.kind is Kind.BULK)
            if row.kind is Kind.SCAN or (row.scans and row.scans(message)):
                return await self.scan(decide)
            return self.read(decide)
        finally:
            self._note_heard(call)

    def _note_heard(self, call: Call) -> None:
        if call.executor is not None:
            now = self.heard[call.executor.executorid] = self.clock()
            self._set_alarm(now + self.rules.stale_executor_duration * SECOND)

    # -- ways to the store -------------------------------------------------------------------------------------------

    def read(self, look: Callable[[Transaction], T]) -> T:
        """What `look` finds, at once."""
        return self.store.read(look)

    async def scan(self, look: Callable[[Transaction], T]) -> T:
        """What `look` finds, in a thread with a connection of its own."""

        def run() -> T:
            connection = self.store.reader()
            try:
                return self.store.read(look, connection)
            finally:
                connection.close()

        return await trio.to_thread.run_sync(run, limiter=self._scans)

    async def write(self, change: Callable[[Transaction], T], *, bulk: bool = False) -> T:
        """Make a change together with whoever else has one now (a `bulk` one alone); returns when it is on disk.

        Cancelled while it waits for its turn, the change is withdrawn; once begun, it is always answered.
        """
        job = _Job(change, trio.lowlevel.current_task(), bulk)
        self._jobs.append(job)
        self._work.set()

        def withdraw(_: Any) -> trio.lowlevel.Abort:
            if job not in self._jobs:
                return trio.lowlevel.Abort.FAILED
            self._jobs.remove(job)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(withdraw)
        if job.outcome.error is not None:
            raise job.outcome.error
        value: T = job.outcome.value
        return value

    # -- assign ------------------------------------------------------------------------------------------------------

    async def assign(self, message: AssignProcess, call: Call) -> Given:
        """The process that the caller runs from now on; waits for one as long as the message says.

        Raises NotFound when none came, TimedOut or Unavailable while the colony is paused. A caller that is cancelled
        has nothing assigned, unless this has returned: then give it back with `take_back`.
        """
        applicant = functools.partial(_apply, message=message, call=call)
        waiter = self.read(applicant)
        self._note_heard(call)
        attempt = functools.partial(_attempt, waiter=waiter, call=call)
        given: Given | None = None
        patience = min(message.timeout, limits.MAX_LONG_POLL_S) if message.timeout > 0 else float("inf")
        try:
            with trio.move_on_after(patience):
                while True:
                    arrived = trio.Event()
                    self.room.enter(waiter, arrived.set)
                    paused, given = await self.write(attempt)
                    if given is not None:
                        return given
                    if message.timeout < 0 or self.closing:
                        break
                    if not paused:
                        self._pass_on(waiter, given)
                    await arrived.wait()
            paused = self.read(lambda tx: members.paused(tx, message.colonyname))
            raise _nothing(paused, waited=message.timeout > 0)
        finally:
            self.room.leave(waiter)
            self._pass_on(waiter, given)
            self._note_heard(call)

    def _pass_on(self, waiter: Waiter, given: Given | None) -> None:
        """Offer to others what the waiter was woken for and did not take."""
        offers, waiter.offers = waiter.offers, []
        for offer in offers:
            if given is not None and given.process.processid == offer.processid:
                continue
            process = self.read(functools.partial(stored.find, processid=offer.processid))
            if process is not None:
                self._offer(process, instead_of=waiter)

    async def take_back(self, process: ProcessRow) -> None:
        """Return a process to the queue because its executor could not be told that it has it."""
        with trio.CancelScope(shield=True):
            await self.write(lambda tx: work.take_back(tx, process.processid, process.assignedexecutorid))
        log.info("process %s was given back: its executor was gone before it had the answer", process.processid)

    def _offer(self, process: ProcessRow, instead_of: Waiter | None = None) -> None:
        if process.state == ProcessState.WAITING and not process.waitforparents:
            self.room.offer(process, instead_of)

    # -- what runs beside --------------------------------------------------------------------------------------------

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit, ring the alarm and fold the log, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._commit_for_ever, nursery)
            nursery.start_soon(self._keep_time)
            task_status.started()

    def close(self) -> None:
        """Answer every long poll: the server goes."""
        self.closing = True
        self.room.wake_all()

    async def _commit_for_ever(self, nursery: trio.Nursery) -> None:
        while True:
            await self._work.wait()
            # Whoever can run now may join this commit.
            await trio.lowlevel.checkpoint()
            batch = self._next_batch()
            if not self._jobs:
                self._work = trio.Event()
            if not batch:
                continue
            changes = [job.change for job in batch]
            if batch[0].bulk:
                outcomes = await trio.to_thread.run_sync(self.store.commit, changes)
            else:
                outcomes = self.store.commit(changes)
            for job, outcome in zip(batch, outcomes, strict=True):
                job.outcome = outcome
                trio.lowlevel.reschedule(job.task)
            if self.store.alarm:
                self._set_alarm(self.store.alarm)
            for outcome in outcomes:
                if outcome.events:
                    self._tell(outcome.events)
            self._fold(nursery)

    def _next_batch(self) -> list[_Job]:
        """The jobs of the next commit, in the order in which they came: many, or a bulk one alone."""
        bulk = next((place for place, job in enumerate(self._jobs) if job.bulk), limits.MAX_BATCH)
        size = min(bulk or 1, limits.MAX_BATCH)
        batch, self._jobs = self._jobs[:size], self._jobs[size:]
        return batch

    def _tell(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, ProcessChanged):
                self._offer(event.process)
            elif isinstance(event, AssignmentsResumed):
                self.room.wake_all(event.colonyname)

    def _fold(self, nursery: trio.Nursery) -> None:
        if self.store.log_pages >= limits.CHECKPOINT_NOW_PAGES:
            self.store.fold_now()
        elif self.store.log_pages >= limits.CHECKPOINT_PAGES and not self._folding:
            self._folding = True
            nursery.start_soon(self._fold_aside)

    async def _fold_aside(self) -> None:
        try:
            await trio.to_thread.run_sync(self.store.fold)
        finally:
            self._folding = False

    def _set_alarm(self, instant: int) -> None:
        if not self._alarm or instant < self._alarm:
            self._alarm = instant
            self._alarm_moved.set()

    async def _keep_time(self) -> None:
        self._alarm = self.read(lambda tx: timers.next_due(tx, self.rules, self._sweeps, self.heard))
        while True:
            self._alarm_moved = trio.Event()
            if self._alarm > self.clock() or not self._alarm:
                await self._sleep_until_alarm()
                continue
            try:
                fire = functools.partial(timers.fire, rules=self.rules, sweeps=self._sweeps, heard=self._heard_now())
                self._alarm = 0
                self._set_alarm(await self.write(fire))
            except ColonyError as fault:
                log.error("what was due could not be done, trying again in a minute: %s", fault)
                self._alarm = self.clock() + 60 * SECOND

    async def _sleep_until_alarm(self) -> None:
        seconds = (self._alarm - self.clock()) / SECOND if self._alarm else float("inf")
        with trio.move_on_after(min(seconds, MAX_SLEEP) if self._alarm else float("inf")):
            await self._alarm_moved.wait()

    def _heard_now(self) -> dict[str, int]:
        """Signs of life up to now: an executor in a long poll is alive."""
        now = self.clock()
        for executorid in self.room.present():
            self.heard[executorid] = now
        return self.heard


def _apply(tx: Transaction, message: AssignProcess, call: Call) -> Waiter:
    """The caller as one who asks for work. Raises what the protocol says of a bad request to assign."""
    access.require_member(tx, call, message.colonyname)
    if message.timeout == 0:
        raise BadRequest("Invalid timeout value, timeout cannot be zero")
    if call.executor is None:
        raise Internal("Failed to assign process, executor not found")
    return Waiter(
        colonyname=message.colonyname,
        executortype=call.executor.executortype,
        executorname=call.executor.executorname,
        executorid=call.executor.executorid,
        locationname=call.executor.locationname,
        cpu=millicores(message.availablecpu) if message.availablecpu else None,
        mem=memory_bytes(message.availablemem) if message.availablemem else None,
    )


def _attempt(tx: Transaction, waiter: Waiter, call: Call) -> tuple[bool, Given | None]:
    """(paused, what the waiter gets). It must still be a member: it may have been removed while it waited."""
    access.require_member(tx, call, waiter.colonyname)
    if members.paused(tx, waiter.colonyname):
        return True, None
    process = work.assign(tx, waiter)
    return False, Given(process, encode(processes.show(tx, process))) if process else None


def _nothing(paused: bool, waited: bool) -> ColonyError:
    if paused and waited:
        return TimedOut("Assignment timeout: colony assignments are paused")
    if paused:
        return Unavailable("No processes available: colony assignments are paused")
    return NotFound("No process available for assignment")
