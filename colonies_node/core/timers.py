"""The next instant at which something is due, and doing what is due: deadlines, silent executors, retention, room.

The node sleeps until `next_due` (or until a commit brings something earlier) and then calls `fire`, which does a
bounded amount and says when to come back. Nothing here polls: with nothing due, there is no next instant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from colonies_node.core.broker import crons as planned
from colonies_node.core.broker import executors as staff
from colonies_node.core.broker import generators as packing
from colonies_node.core.broker import work
from colonies_node.core.broker.call import Rules
from colonies_node.core.model.times import SECOND
from colonies_node.core.pressure import ROOMY, Pressure
from colonies_node.core.store import crons, executors, generators, processes, reclaim, remembered, retention
from colonies_node.core.store.transaction import Transaction

BATCH = 500
"""Deadlines handled in one change; more are due at once and follow in the next, so that callers get their turn
between."""


CRONS = 50
"""Crons started in one change: each may store a whole workflow."""


GENERATORS = 50
"""Generators that start a workflow in one change."""


SHORT = 60 * SECOND
"""Nanoseconds between two looks at a disk that is short of room, while nothing happens; as often as an alarm looks at
the clock."""


@dataclass(slots=True)
class Sweeps:
    """When the periodic duties were done last, Unix nanoseconds; silence before `started` is the server's own
    absence."""

    started: int
    executors: int = field(default=0)
    retention: int = field(default=0)
    crons: bool = field(default=False)
    """Whether the crons were looked at since the start."""
    messages: int = field(default=0)
    ahead: int = field(default=0)
    """By how much the time that counts for messages is ahead of the clock, nanoseconds. It never is earlier than what
    is forgotten, so after a clock that was far ahead the door stays open: clients sign for the time that it tells."""
    room: int = field(default=0)
    """When there was nothing left to delete for want of room."""
    walk: reclaim.Walk = field(default_factory=reclaim.Walk)
    reclaimed: int = field(default=0)
    """Processes that the last `fire` has deleted to make room."""


def started(tx: Transaction, rules: Rules, sweeps: Sweeps, heard: Mapping[str, int], pressure: Pressure = ROOMY) -> int:
    """Before the first `fire`; the next instant, as next_due."""
    _set_ahead(tx, sweeps)
    return next_due(tx, rules, sweeps, heard, pressure)


def next_due(
    tx: Transaction, rules: Rules, sweeps: Sweeps, heard: Mapping[str, int], pressure: Pressure = ROOMY
) -> int:
    """The next instant (Unix nanoseconds) at which `fire` has something to do; 0 for never."""
    instants = [
        processes.next_due(tx),
        _cron_due(tx, sweeps),
        generators.next_due(tx),
        _sweep_due(tx, rules, sweeps, heard),
        _messages_due(tx, sweeps),
    ]
    if rules.retention_policy:
        instants.append(_retention_due(rules, sweeps))
    if pressure.short:
        instants.append(sweeps.room + SHORT)
    return min((instant for instant in instants if instant), default=0)


def fire(tx: Transaction, rules: Rules, sweeps: Sweeps, heard: Mapping[str, int], pressure: Pressure = ROOMY) -> int:
    """Do what is due at `tx.now`; the next instant, as next_due. `heard` are signs of life not stored yet."""
    if not sweeps.crons:
        planned.started(tx, rules.zone)
        sweeps.crons = True
    for cron in crons.due(tx, CRONS):
        planned.fire(tx, cron, rules.zone, pressure)
    for generator in generators.due(tx, GENERATORS):
        packing.fire(tx, generator, pressure)
    for process in processes.due_to_run(tx, BATCH):
        work.expire_waiting(tx, process)
    overdue = processes.due_to_finish(tx, BATCH)
    for process in overdue:
        work.expire_running(tx, process)
    due = _sweep_due(tx, rules, sweeps, heard)
    # A silent executor's work goes back to the queue, and what ran too long must not: so that comes first, all of it.
    if due and due <= tx.now and len(overdue) < BATCH:
        _release_silent(tx, rules, sweeps, heard)
        sweeps.executors = tx.now
    messages = _messages_due(tx, sweeps)
    if messages and messages <= tx.now:
        gone = remembered.expire(tx, tx.now + sweeps.ahead)
        sweeps.messages = tx.now if gone < remembered.BATCH else sweeps.messages
    if rules.retention_policy and _retention_due(rules, sweeps) <= tx.now:
        gone = retention.sweep(tx, tx.now - rules.retention_policy * SECOND)
        # With more to forget it stays due: the next call goes on, after others had their turn.
        sweeps.retention = tx.now if gone < retention.BATCH else sweeps.retention
    sweeps.reclaimed = 0
    if pressure.short:
        sweeps.reclaimed, more = reclaim.sweep(tx, sweeps.walk)
        # With more to look at it is due at once: the next call goes on, after others had their turn.
        sweeps.room = 0 if more else tx.now
    return next_due(tx, rules, sweeps, heard, pressure)


def clock_stepped(tx: Transaction, rules: Rules, sweeps: Sweeps, step: int) -> None:
    """The wall clock was set by `step` nanoseconds: what was promised before counts from the new time on.

    A machine without a battery clock starts in 1970 and learns the time later; that must not fail what waits.
    """
    processes.move_deadlines(tx, step)
    generators.move_due(tx, step)
    planned.clock_stepped(tx, step, rules.zone)
    executors.not_heard_in_future(tx)
    _set_ahead(tx, sweeps)
    sweeps.started = tx.now
    sweeps.messages = min(sweeps.messages, tx.now)
    sweeps.executors = min(sweeps.executors, tx.now)
    sweeps.retention = min(sweeps.retention, tx.now)
    sweeps.room = min(sweeps.room, tx.now)


def _set_ahead(tx: Transaction, sweeps: Sweeps) -> None:
    sweeps.ahead = max(remembered.forgotten(tx) - tx.now, 0)


def _messages_due(tx: Transaction, sweeps: Sweeps) -> int:
    """When to forget messages: not before a minute has passed since the last time."""
    expiry = remembered.next_expiry(tx)
    return expiry and max(expiry - sweeps.ahead, sweeps.messages + remembered.PAUSE_S * SECOND)


def _retention_due(rules: Rules, sweeps: Sweeps) -> int:
    return sweeps.retention + min(rules.retention_policy, rules.cleanup_interval) * SECOND


def _cron_due(tx: Transaction, sweeps: Sweeps) -> int:
    instant = crons.next_due(tx)
    return instant if sweeps.crons else instant and tx.now


def _sweep_due(tx: Transaction, rules: Rules, sweeps: Sweeps, heard: Mapping[str, int]) -> int:
    # The last sweep stored what was heard before it: an older sign in `heard` is of somebody who is gone.
    heard_since = min((instant for instant in heard.values() if instant > sweeps.executors), default=0)
    signs = [instant for instant in (executors.oldest_heard(tx), heard_since) if instant]
    if not signs:
        return 0
    oldest = min(signs)
    silent = max(oldest, sweeps.started) + rules.stale_executor_duration * SECOND
    return max(silent, sweeps.executors + rules.cleanup_interval * SECOND if sweeps.executors else 0)


def _release_silent(tx: Transaction, rules: Rules, sweeps: Sweeps, heard: Mapping[str, int]) -> None:
    for executorid, instant in heard.items():
        executors.heard(tx, executorid, instant)
    before = tx.now - rules.stale_executor_duration * SECOND
    if before < sweeps.started:
        return
    for executor in executors.stale(tx, before):
        staff.unregister(tx, executor)
