"""From the outbox to a letter, and what the peer has confirmed of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker.sync import names
from colonies_node.core.model.process import ENV, Attribute, FunctionSpec
from colonies_node.core.model.sync import Item, Mark, Submitted
from colonies_node.core.model.times import SECOND
from colonies_node.core.states import ProcessState
from colonies_node.core.store import attributes, links, logs, processes, shares
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.shares import GIVEN, REFUSED, TAKEN, TOLD, ShareRow
from colonies_node.core.store.transaction import Transaction

log = logging.getLogger(__name__)

OFFER, REVOKE, REPORT, HISTORY = "offer", "revoke", "report", "history"

URGENT: Final = (REFUSED, TAKEN, GIVEN)
"""Roles whose news somebody waits for: they go before history, results first."""

RUNNING: Final = ProcessState.RUNNING

OVERHEAD: Final = 200
"""About how many bytes an item takes besides its documents."""

LOG_PART: Final = 2048
"""Characters of a log that go along even where no room is left: with each part of it, its process is told again."""

REFUSAL: Final = (
    "The node that it was given to cannot take it: it makes no sense there, or is known there as somebody else's"
)

_specs = msgspec.json.Decoder(FunctionSpec)
_values = msgspec.json.Decoder(list[object])
_texts = msgspec.json.Decoder(list[str])


@dataclass(slots=True)
class Batch:
    """The items of a letter, and its number; 0 and empty when there is nothing to tell."""

    number: int = 0
    items: list[Item] = field(default_factory=list)
    more: bool = False
    """Whether there is more to tell than fitted."""
    history: int = 0
    """Bytes of history among the items."""


def confirm(tx: Transaction, link: LinkRow, have: Mark) -> LinkRow:
    """The peer says which letter of ours is the last that it has: what came later, or got lost there, is sent again."""
    if have.batch and not links.wrote(tx, have.timeline, have.batch):
        # It knows letters of a future that we have lost. What it says of processes brings back what was in them.
        shares.rewind(tx, link.seq, link.confirmed)
        note = "this node was restored from an older copy; what the peer knows is taken over"
        if link.note != note:
            log.warning("link %s: %s", link.name, note)
        return links.change(tx, link, note=note)
    if have.batch < link.confirmed:
        rows = shares.lose(tx, link.seq, have.batch)
        if link.record:
            shares.tell_ends(tx, link.seq)
        log.warning("link %s: the peer was restored from an older copy; %d processes are told again", link.name, rows)
        note = "the peer was restored from an older copy; it is told again what it has lost"
        return links.change(tx, link, confirmed=have.batch, note=note)
    shares.confirm(tx, link.seq, link.confirmed, have.batch)
    shares.rewind(tx, link.seq, have.batch)
    return links.change(tx, link, confirmed=have.batch)


def advance(tx: Transaction, link: LinkRow, timeline: str, batch: int, confirmed: int, *, whole: bool) -> LinkRow:
    """A batch of the peer is taken in: it is our mark from now on, unless something is missing.

    The peer says which one it believes us to have. If we were restored from a time before that, our mark stays where it
    is, and tells the peer so. What is missing where the batch is not `whole`, the peer is told; then it comes again,
    with the beginning of what we need, and without what we cannot use.
    """
    if not batch or link.batch < confirmed or not whole:
        return link
    return links.change(tx, link, timeline=timeline, batch=batch)


def gather(tx: Transaction, link: LinkRow, room: int, *, history: int | None = None) -> Batch:
    """The next letter: urgent news, then history, of about `room` bytes (at least one item).

    `history` is how many of these bytes history may take, all where it is None.
    """
    batch, where = Batch(), names.runners(tx)
    for role in (*URGENT, TOLD):
        budget = room if role != TOLD or history is None else min(room, history)
        while budget > 0 and not batch.more and len(batch.items) < limits.MAX_LETTER_ITEMS:
            rows = shares.news(tx, link.seq, role, limits.ITEMS_AT_ONCE)
            for row in rows:
                if budget <= 0 or len(batch.items) >= limits.MAX_LETTER_ITEMS:
                    batch.more = True
                    break
                item, size, logsent, more = _item(tx, link, row, budget, where)
                batch.number = batch.number or links.next_batch(tx)
                batch.items.append(item)
                shares.sent(tx, row, batch.number, logsent, more=more)
                batch.more = batch.more or more
                room, budget = room - size, budget - size
                batch.history += size if item.kind == HISTORY else 0
            if len(rows) < limits.ITEMS_AT_ONCE:
                break
        else:
            batch.more = batch.more or bool(shares.news(tx, link.seq, role, 1))
    return batch


def _item(
    tx: Transaction, link: LinkRow, row: ShareRow, room: int, where: Callable[[ProcessRow], str]
) -> tuple[Item, int, int, bool]:
    """(what there is to tell of a process, its size in bytes, the position of its log, whether there is more of it)."""
    process = processes.find(tx, row.processid)
    if row.role == REFUSED:
        errors = [REFUSAL]
        item = Item(kind=REPORT, processid=row.processid, term=row.term, state=ProcessState.FAILED, errors=errors)
        return item, OVERHEAD, 0, False
    if row.role == GIVEN and not row.known and link.record and process is not None and process.state > RUNNING:
        # It ended before the peer had heard of it for sure: what it keeps, if it did not, is a record.
        row = shares.change(tx, row, role=TOLD)
    if row.role == GIVEN:
        if process is None or not is_held(link, process):
            item = Item(kind=REVOKE, processid=row.processid, term=row.term)
            return item, OVERHEAD, 0, False
        submitted = None if row.known else _submitted(tx, link, process)
        item = Item(kind=OFFER, processid=row.processid, term=row.term, state=process.state, process=submitted)
        return item, OVERHEAD + (0 if row.known else len(process.spec) + len(process.input)), 0, False
    if process is None:
        errors = ["It was removed"]
        item = Item(kind=REPORT, processid=row.processid, term=row.term, state=ProcessState.CANCELLED, errors=errors)
        return item, OVERHEAD, row.logsent, False
    size = OVERHEAD + len(process.out) + len(process.errors)
    submitted = None
    if row.role == TOLD or not row.known:
        submitted = _submitted(tx, link, process)
        size += len(process.spec) + len(process.input)
    lines, more = logs.after(tx, process.processid, row.logsent, max(room - size, LOG_PART))
    # Who waits for the result hears of the end with the last of the log: it takes in nothing after it.
    ends = row.role == TOLD or not more
    item = Item(
        kind=HISTORY if row.role == TOLD else REPORT,
        processid=process.processid,
        term=row.term,
        state=process.state if ends else min(process.state, RUNNING),
        starttime=process.starttime,
        endtime=process.endtime,
        retries=process.retries,
        executorid=process.assignedexecutorid,
        where=where(process) if process.assignedexecutorid else "",
        out=_values.decode(process.out) if len(process.out) <= limits.MAX_TOLD else [],
        errors=_errors(process),
        attributes=_attributes(tx, process) if process.hasattributes else [],
        logs=lines,
        process=submitted,
    )
    size += sum(len(line.message) for line in lines)
    return item, size, lines[-1].position if lines else row.logsent, more


def _errors(process: ProcessRow) -> list[str]:
    errors = _texts.decode(process.errors) if len(process.errors) <= limits.MAX_TOLD else []
    if len(process.out) <= limits.MAX_TOLD:
        return errors
    return [*errors, f"Its output of {len(process.out) >> 20} MiB stays where it ran: it is too large to be told"]


def is_held(link: LinkRow, process: ProcessRow) -> bool:
    """Whether the peer has the process to run, and it is not at its end."""
    if process.state > RUNNING:
        return False
    if link.direction == links.UP:
        return process.away == link.seq
    return process.state == ProcessState.RUNNING and process.assignedexecutorid == link.executorid


def _submitted(tx: Transaction, link: LinkRow, process: ProcessRow) -> Submitted:
    spec = _specs.decode(process.spec)
    if process.hasattributes:
        found = attributes.of_process(tx, process.processid)
        spec.env = {one.key: one.value for one in found if one.attributetype == ENV}
    spec.conditions.dependencies = []
    left = -1
    if process.waitdeadline and process.state == ProcessState.WAITING:
        left = max((process.waitdeadline - tx.now) // SECOND, 1)
    return Submitted(
        spec=spec,
        input=_values.decode(process.input),
        initiatorid=process.initiatorid,
        initiatorname=process.initiatorname,
        submissiontime=process.submissiontime,
        age=max(tx.now - process.submissiontime, 0),
        waitleft=left,
        origin=process.camefrom,
        processgraphid=process.processgraphid,
    )


def _attributes(tx: Transaction, process: ProcessRow) -> list[Attribute]:
    found = attributes.of_process(tx, process.processid)
    return [one for one in found if not one.key.startswith(names.PREFIX)]
