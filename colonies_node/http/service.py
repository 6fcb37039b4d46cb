"""The running node behind the doors: one store, shared commits, executors that wait, and the alarm clock.

A door hands in a message and its caller, and how it shows replies, and gets the reply back, or a ColonyError. In
between:

    read     a look at what is committed, at once
    scan     a look that may take long, in a thread of its own
    write    joins the next commit; answered when it is on disk
    bulk     a change that may take long: a commit of its own, made in a thread
    poll     assign: tries, else waits until a commit brings something that this executor may take
    exchange a letter of a lower node: taken in, answered once there is something to tell (exchanges.py)
    listen   a subscription: is told what commits bring from now on (pubsub.py)

What happened in a commit is told after it: to executors that wait (assignments.py), to whoever listens
(subscribers.py) and to the alarm (alarm.py).
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import trio

from colonies_node.core import limits, timers
from colonies_node.core.broker import processes
from colonies_node.core.broker.call import Call, Live, Rules
from colonies_node.core.broker.once import check_expiry, recall
from colonies_node.core.broker.table import Kind, Row
from colonies_node.core.errors import ColonyError
from colonies_node.core.events import AssignmentsResumed, Event, ProcessChanged
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import encode
from colonies_node.core.pressure import Level
from colonies_node.core.store import links, members, remembered
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.remembered import Once
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Transaction, attempt
from colonies_node.http.alarm import Alarm
from colonies_node.http.assignments import Assignments, nothing, take
from colonies_node.http.commits import Commits
from colonies_node.http.disk import Disk
from colonies_node.http.exchanges import Exchanges
from colonies_node.http.meter import Meter
from colonies_node.http.subscribers import Subscribers

Show = Callable[[Row, Any], bytes]
"""How a door shows the reply to a row."""

Asked = tuple[Row, Any] | ColonyError
"""A message of a batch, or why it is none."""

CHANGING = (Kind.WRITE, Kind.BULK, Kind.POLL)
"""What may change something."""


class BatchForm(NamedTuple):
    """How a door shows the replies to a batch: one, a refusal, and all of them together."""

    show: Show
    refuse: Callable[[ColonyError], bytes]
    join: Callable[[list[bytes]], bytes]


SOON = 5 * SECOND
"""Nanoseconds until the node tries again to make room, while it is short of it and something happens."""


T = TypeVar("T")
log = logging.getLogger(__name__)


class Service:
    """What the doors talk to. Run `run` in a nursery; everything else works while it runs."""

    def __init__(self, store: Store, rules: Rules, clock: Callable[[], int]) -> None:
        self.store = store
        self.rules = rules
        self.clock = clock
        self.heard: dict[str, int] = {}
        """Signs of life since the last sweep stored them: executor id → Unix nanoseconds."""
        self.closing = False
        self.meter = Meter()
        self.links: dict[str, Live] = {}
        """How the links to upstreams are now, by name."""
        self.hear: Callable[[Event], None] = lambda event: None
        """Gets every event, for the links to upstreams."""
        self.locked: Callable[[], str] = lambda: ""
        """Says why somebody wants this machine to take no new work; nothing if nobody does."""
        self.assignments = Assignments(self)
        self.exchanges = Exchanges(self)
        self.subscribers = Subscribers(self._encoded, self._is_member)
        self._alarm = Alarm(clock, self._fire, self._clock_stepped)
        self._commits = Commits(store, self._tell, self._alarm.set, self.meter, self._look_at_disk)
        self.disk = Disk(lambda: self.read(store.size), self._commits.keep_log_under)
        self._firing = False
        self._pages = 0
        store.write(links.begin_timeline)
        self._sweeps = timers.Sweeps(started=clock())
        self._scans = trio.CapacityLimiter(2)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit and keep time, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._commits.run)
            self.disk.look(self.rules)
            self._alarm.set(self.read(self._started))
            nursery.start_soon(self._alarm.run)
            task_status.started()

    def close(self) -> None:
        """Answer every long poll: the server goes."""
        self.closing = True
        self.assignments.close()
        self.exchanges.close()
        self.subscribers.cut_all()

    async def answer(self, row: Row, message: Any, caller: str, show: Show, once: Once | None = None) -> bytes:
        """The reply to a message that is no POLL, as `show` has it: those go to `assignments`, for a door to deliver.

        With `once`, a change is remembered with its reply, and the same message again gets that. Raises ColonyError
        to refuse; nothing was changed then.
        """
        call = self.call(caller)
        if row.kind is Kind.EXCHANGE:
            return show(row, await self.exchanges.exchange(row, message, call))

        def decide(tx: Transaction) -> bytes:
            return show(row, row.run(tx, message, call))

        heavy = row.heavy is not None and row.heavy(message)
        try:
            if row.kind in (Kind.WRITE, Kind.BULK):
                change = decide if once is None or not row.remembered else functools.partial(_once, once, decide)
                return await self.write(change, bulk=heavy or row.kind is Kind.BULK)
            if heavy or row.kind is Kind.SCAN:
                return await self.scan(decide)
            return self.read(decide)
        finally:
            self.note_heard(call)

    def call(self, caller: str) -> Call:
        """The circumstances of a request that comes now."""
        return Call(caller, self.rules, self.heard, self.links, self.disk.pressure)

    async def answer_batch(
        self, batch: Sequence[Asked], caller: str, form: BatchForm, once: Once | None = None
    ) -> bytes:
        """The replies to several messages, in their order, as one: they are one change, in which each stands or falls
        by itself. An application for work is one look. One in which nothing was done is not remembered: it comes from
        anybody. Raises ColonyError for what concerns all of them.
        """
        rows = [asked[0] for asked in batch if not isinstance(asked, ColonyError)]
        calls: list[Call] = []
        done: list[Row] = []

        def decide(tx: Transaction) -> bytes:
            done.clear()
            return form.join([self._answer_one(tx, asked, caller, form, calls, done) for asked in batch])

        def has_changed() -> bool:
            return any(row.remembered for row in done if row.kind in CHANGING)

        slow = len(batch) > limits.MAX_BATCH or any(_is_slow(*asked) for asked in batch if isinstance(asked, tuple))
        try:
            if all(row.kind in (Kind.READ, Kind.SCAN) for row in rows):
                return await self.scan(decide) if slow else self.read(decide)
            change = decide if once is None else functools.partial(_once, once, decide, has_changed=has_changed)
            return await self.write(change, bulk=slow)
        finally:
            for call in calls:
                self.note_heard(call)

    def _answer_one(
        self, tx: Transaction, asked: Asked, caller: str, form: BatchForm, calls: list[Call], done: list[Row]
    ) -> bytes:
        if isinstance(asked, ColonyError):
            return form.refuse(asked)
        row, message = asked
        call = self.call(caller)
        calls.append(call)

        def decide(tx: Transaction) -> bytes:
            found = row.run(tx, message, call)
            if row.kind is not Kind.POLL:
                return form.show(row, found)
            given = take(tx, row, found, call, form.show)
            if given is None:
                raise nothing(tx, message)
            return given.shown

        outcome = attempt(tx, decide)
        if isinstance(outcome.error, ColonyError):
            return form.refuse(outcome.error)
        done.append(row)
        shown: bytes = outcome.value
        return shown

    def look(self, row: Row, message: Any, caller: str) -> Any:
        """What a SUBSCRIBE finds at once. Raises ColonyError to refuse."""
        call = self.call(caller)
        try:
            return self.read(lambda tx: row.run(tx, message, call))
        finally:
            self.note_heard(call)

    def note_heard(self, call: Call) -> None:
        """Any signed message of an executor is a sign of life."""
        if call.signed_by is not None:
            now = self.heard[call.signed_by.executorid] = self.clock()
            self._alarm.set(now + self.rules.stale_executor_duration * SECOND)

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
        """Make a change and come back when it is on disk (commits.py)."""
        return await self._commits.write(change, bulk=bulk)

    async def answers(self, patience: float) -> bool:
        """Whether a change that changes nothing is answered within so many seconds, be it with a refusal (a full disk
        is no reason to start anew), or waits behind a bulk change, which may take long."""
        with trio.move_on_after(patience) as waited, contextlib.suppress(ColonyError):
            await self.write(lambda tx: None)
        return not waited.cancelled_caught or self._commits.at_bulk

    def check_expiry(self, expiry: int) -> None:
        """Whether a message that is good until then (Unix nanoseconds) may come now. Raises WrongTime."""
        check_expiry(expiry, self.clock() + self._sweeps.ahead)

    def closed(self) -> str:
        """Why this machine may not be given work from elsewhere; empty if it may."""
        return self.locked() or ("" if self.disk.pressure.level is Level.NONE else "the disk is nearly full")

    def ring_in(self, seconds: int) -> None:
        """Look at what is due after so many seconds at the latest."""
        self._alarm.set(self.clock() + seconds * SECOND)

    def _tell(self, event: Event) -> None:
        if isinstance(event, ProcessChanged):
            self.assignments.offer(event.process)
        elif isinstance(event, AssignmentsResumed):
            self.assignments.room.wake_all(event.colonyname)
        self.exchanges.tell(event)
        self.hear(event)
        try:
            self.subscribers.tell(event)
        except Exception:
            # What was committed stays so; who listens must know that something is missing.
            log.exception("an event could not be told: all subscribers are cut off")
            self.subscribers.cut_all()

    def _encoded(self, process: ProcessRow) -> bytes:
        return self.read(lambda tx: encode(processes.show(tx, process)))

    def _is_member(self, memberid: str, colonyname: str) -> bool:
        return self.read(lambda tx: colonyname in members.colonies_of(tx, memberid))

    async def _fire(self) -> int:
        """Do what is due; the next instant. An executor in a long poll is alive."""
        now = self.clock()
        self.heard.update(dict.fromkeys(self.assignments.room.present(), now))
        owed = list(self.assignments.owed)

        def fire(tx: Transaction) -> int:
            self.assignments.take_back_owed(tx)
            return timers.fire(tx, self.rules, self._sweeps, self.heard, self.disk.pressure)

        self._firing = True
        try:
            instant = await self.write(fire)
        finally:
            self._firing = False
        self.assignments.paid(owed)
        if self._sweeps.reclaimed:
            self.meter.reclaimed += self._sweeps.reclaimed
            # No more goes than has to.
            self.disk.look(self.rules, now=True)
        # What the sweep has stored need not be kept here too.
        self.heard = {key: at for key, at in self.heard.items() if at > self._sweeps.executors}
        return instant

    async def _clock_stepped(self, step: int) -> int:
        """The wall clock was set: deadlines move along, and silence counts anew. The next instant."""
        log.warning("the clock was set by %.0f s: deadlines are moved along", step / SECOND)
        now = self.clock()
        self.heard = {key: min(at, now) for key, at in self.heard.items()}
        change = functools.partial(timers.clock_stepped, rules=self.rules, sweeps=self._sweeps, step=step)
        await self.write(change)
        return self.read(self._next_due)

    def _started(self, tx: Transaction) -> int:
        return timers.started(tx, self.rules, self._sweeps, self.heard, self.disk.pressure)

    def _next_due(self, tx: Transaction) -> int:
        return timers.next_due(tx, self.rules, self._sweeps, self.heard, self.disk.pressure)

    def _look_at_disk(self) -> None:
        """A commit is about to be made. What happens may be what an upstream has confirmed: then there is room to
        make."""
        grown = self.store.written_pages - self._pages >= self._part()
        if self.disk.look(self.rules, now=grown, fold=self.store.fold_now):
            self._pages = self.store.written_pages
        if self.disk.pressure.short and not self._firing:
            self._alarm.set(self._sweeps.room + SOON)

    def _part(self) -> int:
        """Pages of the part of the reserve after which it is time to look at it."""
        return self.rules.disk_reserve // limits.RESERVE_PART // limits.PAGE


def _is_slow(row: Row, message: Any) -> bool:
    return row.kind in (Kind.SCAN, Kind.BULK) or (row.heavy is not None and row.heavy(message))


def _once(
    once: Once,
    change: Callable[[Transaction], bytes],
    tx: Transaction,
    has_changed: Callable[[], bool] = lambda: True,
) -> bytes:
    """What the change replies, or what it replied when the same message was here before."""
    reply = recall(tx, once)
    if reply is None:
        reply = change(tx)
        if has_changed():
            remembered.keep(tx, once, reply)
    return reply
