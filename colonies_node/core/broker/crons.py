"""Crons: workflows started by the clock.

`nextrun` is known as soon as a cron is added: nobody looks for crons in between. What should have run while the node
was off, or while the previous workflow was still going, is made up for by one run, and the next is counted from then.
A cron belongs to its colony: it goes on when the one who added it is gone.
"""

from __future__ import annotations

import logging

import msgspec

from colonies_node.core import limits, schedule
from colonies_node.core.broker import flow, workflows
from colonies_node.core.broker.call import DONE, Call, Done, Initiator
from colonies_node.core.broker.members import check_name
from colonies_node.core.errors import BadRequest, Rejected, Unavailable
from colonies_node.core.model import messages as m
from colonies_node.core.model.cron import Cron
from colonies_node.core.model.times import SECOND, format_time, parse_time
from colonies_node.core.pressure import Pressure
from colonies_node.core.store import crons, graphs
from colonies_node.core.store.crons import CronRow
from colonies_node.core.store.transaction import Transaction

log = logging.getLogger(__name__)

CHECKERPERIOD = 1000
"""Milliseconds that clients are told; a cron here starts at its instant."""

CLOCK_KNOWN = 1_577_836_800 * SECOND
"""The start of 2020: a clock that shows less was never set."""

RETRY = 60 * SECOND
"""Nanoseconds until a cron is tried again for which there was no room."""


def check_cron(message: m.AddCron) -> None:
    """The request must carry a cron."""
    if message.cron is None:
        raise BadRequest("Failed to add cron, msg.Cron is nil")


def add(tx: Transaction, message: m.AddCron, call: Call) -> Cron:
    """Add a cron. The answer shows `nextrun` as it was sent; it is known from now on."""
    assert message.cron is not None, "checked before access"
    cron = message.cron
    check_name("a cron", cron.name)
    workflows.read_spec(cron.workflowspec, cron.colonyname)
    if cron.interval != -1 and not 0 < cron.interval <= limits.MAX_SECONDS:
        raise BadRequest("Cron interval must be -1 (disabled) or larger than 0")
    if cron.interval == -1:
        if not schedule.parse(cron.cronexpression, call.rules.zone).after(tx.now):
            raise BadRequest(f"The cron expression matches no instant in the next five years: {cron.cronexpression}")
        if cron.random:
            raise BadRequest("Random cron is only supported when specifying intervals")
    if crons.by_name(tx, cron.colonyname, cron.name) is not None:
        raise BadRequest(f"Cron with name <{cron.name}> in Colony <{cron.colonyname}> already exists")
    return _show(plan(tx, cron, call))


def plan(tx: Transaction, cron: Cron, call: Call) -> CronRow:
    """Store a cron that is in order; the row as it was sent, without the next instant if that is the rule's."""
    nextrun, lastrun = _instant(cron.nextrun), _instant(cron.lastrun)
    initiator = call.initiator()
    row = CronRow(
        cronid=tx.new_id(),
        colonyname=cron.colonyname,
        name=cron.name,
        initiatorid=initiator.initiatorid,
        initiatorname=initiator.initiatorname,
        cronexpression=cron.cronexpression,
        interval=cron.interval,
        random=int(cron.random),
        nextrun=nextrun,
        lastrun=lastrun if nextrun else 0,
        workflowspec=cron.workflowspec,
        prevprocessgraphid=cron.prevprocessgraphid if nextrun else "",
        waitforprevprocessgraph=int(cron.waitforprevprocessgraph),
        held=0,
    )
    stored = row if nextrun else msgspec.structs.replace(row, nextrun=_next(tx, row, call.rules.zone))
    crons.insert(tx, stored)
    tx.due(stored.nextrun)
    return row


def _instant(text: str) -> int:
    try:
        return parse_time(text) if text else 0
    except ValueError:
        raise BadRequest(f"Failed to add cron, not a time: {text[:80]}") from None


def get(tx: Transaction, message: m.OfCron, call: Call) -> Cron:
    """One cron."""
    return msgspec.structs.replace(_show(call.cron), checkerperiod=CHECKERPERIOD)


def get_some(tx: Transaction, message: m.GetCrons, call: Call) -> list[Cron]:
    """Crons of the colony by name."""
    if message.count < 0:
        raise BadRequest("pq: LIMIT must not be negative")
    return [_show(row) for row in crons.of_colony(tx, message.colonyname, message.count)]


def run(tx: Transaction, message: m.OfCron, call: Call) -> Cron:
    """Start the cron's workflow now; the answer is the cron as it was before. Nothing starts while it waits."""
    if not _waits(tx, call.cron):
        _start(tx, call.cron, call.rules.zone, call.pressure)
    return _show(call.cron)


def remove(tx: Transaction, message: m.OfCron, call: Call) -> Done:
    """Forget a cron; its workflows stay."""
    crons.remove(tx, call.cron.cronid)
    return DONE


def fire(tx: Transaction, cron: CronRow, zone: str, pressure: Pressure) -> None:
    """The cron's instant has come. Where there is no room for its workflow, it comes again."""
    if _waits(tx, cron):
        crons.hold(tx, cron.cronid)
        return
    try:
        with tx.whole():
            _start(tx, cron, zone, pressure)
    except Unavailable:
        crons.set_nextrun(tx, cron.cronid, tx.now + RETRY)
    except Rejected as refusal:
        log.warning("cron %s of colony %s could not start: %s", cron.name, cron.colonyname, refusal.message)
        crons.ran(tx, cron.cronid, _next(tx, cron, zone), cron.lastrun, cron.prevprocessgraphid)


def _waits(tx: Transaction, cron: CronRow) -> bool:
    """Whether the previous workflow must end first; one that was removed has ended."""
    if not cron.waitforprevprocessgraph:
        return False
    graph = graphs.find(tx, cron.prevprocessgraphid)
    return graph is not None and graph.state not in flow.ENDED


def _start(tx: Transaction, cron: CronRow, zone: str, pressure: Pressure) -> None:
    spec = workflows.read_spec(cron.workflowspec, cron.colonyname)
    pressure.admit(workflows.priority_of(spec))
    previous = graphs.leaf_outputs(tx, cron.prevprocessgraphid) if cron.prevprocessgraphid else "[]"
    graph = workflows.start(tx, spec, Initiator(cron.initiatorid, cron.initiatorname), input=previous)
    nextrun = _next(tx, cron, zone)
    crons.ran(tx, cron.cronid, nextrun, tx.now, graph.processgraphid)
    tx.due(nextrun)


def _next(tx: Transaction, cron: CronRow, zone: str) -> int:
    """The instant after now: a match of the expression, the end of the interval, or with `random` some instant in
    it."""
    if cron.interval <= 0:
        return schedule.parse(cron.cronexpression, zone).after(tx.now)
    length = cron.interval * SECOND
    return tx.now + (1 + int(tx.new_id(), 16) % length if cron.random else length)


def started(tx: Transaction, zone: str) -> None:
    """The node has started: no cron may lie further ahead than its rule says, as one does after a clock was wrong."""
    for cron in crons.everywhere(tx):
        if not cron.nextrun or cron.nextrun > tx.now:
            latest = _latest(tx, cron, zone)
            if latest and not 0 < cron.nextrun <= latest:
                crons.set_nextrun(tx, cron.cronid, latest)


def clock_stepped(tx: Transaction, step: int, zone: str) -> None:
    """The clock was set by `step` nanoseconds, just before now.

    An interval goes on where it was. An expression follows the new time: a match that a step forward jumped over is
    made up for by one run, but not when the clock had never been set, for then nothing was missed.
    """
    before = tx.now - step
    for cron in crons.everywhere(tx):
        latest = _latest(tx, cron, zone)
        if not latest:
            continue
        if cron.interval > 0:
            left = max(cron.nextrun - before, 0)
            nextrun = min(tx.now + left, latest)
        else:
            nextrun = latest if step < 0 or before < CLOCK_KNOWN else cron.nextrun
        crons.set_nextrun(tx, cron.cronid, nextrun)


def _latest(tx: Transaction, cron: CronRow, zone: str) -> int:
    if cron.interval > 0:
        return tx.now + cron.interval * SECOND
    try:
        return schedule.parse(cron.cronexpression, zone).after(tx.now)
    except BadRequest:
        return 0


def _show(row: CronRow) -> Cron:
    return Cron(
        cronid=row.cronid,
        initiatorid=row.initiatorid,
        initiatorname=row.initiatorname,
        colonyname=row.colonyname,
        name=row.name,
        cronexpression=row.cronexpression,
        interval=row.interval,
        random=bool(row.random),
        nextrun=format_time(row.nextrun),
        lastrun=format_time(row.lastrun),
        workflowspec=row.workflowspec,
        prevprocessgraphid=row.prevprocessgraphid,
        waitforprevprocessgraph=bool(row.waitforprevprocessgraph),
    )
