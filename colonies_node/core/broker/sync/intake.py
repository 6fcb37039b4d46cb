"""What a letter says: offers, revocations, reports and history become processes here. Taking an item in twice is taking
it in once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from colonies_node.core import limits
from colonies_node.core.broker import flow
from colonies_node.core.broker import processes as submitted
from colonies_node.core.broker.call import Initiator
from colonies_node.core.broker.flow import ENDED
from colonies_node.core.broker.sync import names
from colonies_node.core.broker.sync.letters import HISTORY, OFFER, REPORT, REVOKE, is_held
from colonies_node.core.errors import BadRequest, Rejected
from colonies_node.core.model.process import Attribute, FunctionSpec
from colonies_node.core.model.sync import Item, Submitted
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import encode
from colonies_node.core.states import ProcessState
from colonies_node.core.store import attributes, executors, links, logs, processes, shares
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.shares import GIVEN, HEARD, KEPT, REFUSED, TAKEN, TOLD, ShareRow
from colonies_node.core.store.transaction import Transaction

log = logging.getLogger(__name__)

UNLIMITED: Final = -1
STATES: Final = frozenset(ProcessState)


class Gaps(NamedTuple):
    """What of a letter could not be taken in: the ids of processes of which the beginning is needed, and of those of
    which the end cannot be used."""

    need: list[str]
    unusable: list[str]


def take_in(tx: Transaction, link: LinkRow, items: Sequence[Item]) -> Gaps:
    """Take in the items of a letter, all that can be.

    An item that makes no sense is passed over with a line in the log: the others are not its fault. The giver of a
    process that cannot be taken hears so, or would wait for it for ever; and so does who waits for a result here.
    """
    newest = processes.newest(tx)
    gaps = Gaps([], [])
    try:
        with tx.whole():
            gaps.need.extend(item.processid for item in items if not _take_in(tx, link, item))
    except Rejected:
        gaps = _take_in_singly(tx, link, items)
    shares.tell_further(tx, link.seq, newest)
    return gaps


def _take_in(tx: Transaction, link: LinkRow, item: Item) -> bool:
    """Take in one item; False if we need the beginning of its process."""
    _check(item)
    return KINDS[item.kind](tx, link, item)


def _take_in_singly(tx: Transaction, link: LinkRow, items: Sequence[Item]) -> Gaps:
    gaps = Gaps([], [])
    for item in items:
        try:
            with tx.whole():
                if not _take_in(tx, link, item):
                    gaps.need.append(item.processid)
        except Rejected as fault:
            log.error("link %s: what it says of process %.64s cannot be used: %s", link.name, item.processid, fault)
            if item.kind == OFFER and len(item.processid) == limits.ID_LENGTH:
                _refuse(tx, link, item)
            elif item.state in ENDED and len(item.processid) == limits.ID_LENGTH:
                gaps.unusable.append(item.processid)
                _give_up(tx, link, item, fault)
    return gaps


def _give_up(tx: Transaction, link: LinkRow, item: Item, fault: Rejected) -> None:
    """Let a process that the peer ran for us fail: it has ended there, and nothing better will be told of it."""
    process, share = processes.find(tx, item.processid), shares.find(tx, link.seq, item.processid)
    if process is not None and share is not None and _is_current(share, link, process, item):
        errors = [f"What {link.name} says of its end cannot be used: {fault.message}"]
        failed = Item(kind=REPORT, processid=item.processid, term=share.term, state=ProcessState.FAILED, errors=errors)
        report(tx, link, failed)


def _refuse(tx: Transaction, link: LinkRow, item: Item) -> None:
    """Tell the giver that the process is not taken, unless it was."""
    term = min(max(item.term, 0), limits.MAX_TERM)
    share = shares.find(tx, link.seq, item.processid) or shares.begin(link.seq, item.processid, REFUSED, term=term)
    if share.role == REFUSED:
        shares.put(tx, replace(share, term=max(term, share.term), dirty=1))


def _check(item: Item) -> None:
    if item.kind not in KINDS:
        raise BadRequest(f"there is no kind {item.kind!r:.40}")
    if item.state not in STATES:
        raise BadRequest(f"{item.state} is no state of a process")
    if not 0 <= item.term <= limits.MAX_TERM:
        raise BadRequest(f"its term must be from 0 to {limits.MAX_TERM}, got {item.term}")


def forgot(tx: Transaction, link: LinkRow, need: Iterable[str]) -> None:
    """The peer lacks the beginning of these processes: tell it again, whole. What is gone here too is forgotten."""
    for processid in need:
        row = shares.find(tx, link.seq, processid)
        if row is not None and processes.find(tx, processid) is None:
            shares.remove(tx, row)
        elif row is not None:
            shares.change(tx, row, known=0, dirty=1, logsent=0, logacked=0)


def keep(tx: Transaction, link: LinkRow, unusable: Iterable[str]) -> LinkRow:
    """The peer cannot use what it was told of these processes: they stay here, and are told no more."""
    for processid in unusable:
        row, process = shares.find(tx, link.seq, processid), processes.find(tx, processid)
        if row is None:
            continue
        if process is None or row.role == REFUSED:
            shares.remove(tx, row)
        elif row.role in (TOLD, TAKEN) and process.state in ENDED:
            shares.change(tx, row, role=KEPT, dirty=0, batch=0)
            note = f"{link.name} cannot use what it was told of process {processid}: its record stays here"
            log.warning("link %s: %s", link.name, note)
            link = links.change(tx, link, note=note)
    return link


# -- what a taker hears -----------------------------------------------------------------------------------------------


def offer(tx: Transaction, link: LinkRow, item: Item) -> bool:
    """The peer gives us a process to run; False if we need its beginning."""
    process = processes.find(tx, item.processid)
    share = shares.find(tx, link.seq, item.processid)
    if process is None:
        if item.process is None:
            return False
        process = _enqueue(tx, link, item)
        # A lower node for which it runs already has it back in the queue: we were restored from a time before it ran.
        dirty = link.direction == links.DOWN and item.state == ProcessState.RUNNING
        shares.put(tx, replace(_taken(link, process, item.term), dirty=int(dirty)))
        flow.told(tx, process)
        return True
    if share is None and _is_of_same_node(tx, link, process):
        # The peer is an executor of another name now.
        shares.put(tx, _taken(link, process, item.term))
        processes.set_origin(tx, process, link.seq)
        return True
    if share is not None and share.role in (HEARD, KEPT):
        # The peer was restored from a time before it ran: it is told how that ended.
        share = shares.change(tx, share, role=TAKEN, known=1)
    if share is None or share.role != TAKEN:
        _refuse(tx, link, item)
        return True
    if item.term > share.term and share.revoked and process.state == ProcessState.CANCELLED:
        shares.change(tx, share, revoked=0)
        flow.moved(tx, ProcessState.CANCELLED, processes.give_back(tx, process))
    shares.change(tx, share, term=max(item.term, share.term))
    # The peer offers what it believes us not to know: it gets to know how it stands.
    shares.settle(tx, share, dirty=True)
    return True


def revoke(tx: Transaction, link: LinkRow, item: Item) -> bool:
    """The peer takes back a process that it gave us, or says that our result came too late."""
    share = shares.find(tx, link.seq, item.processid)
    process = processes.find(tx, item.processid)
    if share is None or share.role != TAKEN or item.term < share.term:
        return True
    if process is not None and process.state <= ProcessState.RUNNING:
        was = ProcessState(process.state)
        errors = encode([f"{link.name} took it back"]).decode()
        shares.change(tx, share, term=item.term, revoked=1)
        flow.moved(tx, was, processes.finish(tx, process, ProcessState.CANCELLED, process.out, errors))
    elif process is not None and not share.revoked:
        names.too_late(tx, process, f"{link.name} had ended it, or given it to somebody else, before it heard")
    shares.settle(tx, share, dirty=False)
    return True


def _taken(link: LinkRow, process: ProcessRow, term: int) -> ShareRow:
    return shares.begin(link.seq, process.processid, TAKEN, term=term, known=True, place=process.submissiontime)


def _is_of_same_node(tx: Transaction, link: LinkRow, process: ProcessRow) -> bool:
    if not process.origin or process.colonyname != link.colonyname:
        return False
    other = links.find(tx, process.origin)
    return other is not None and other.direction == link.direction and bool(link.nodeid) and other.nodeid == link.nodeid


def _enqueue(tx: Transaction, link: LinkRow, item: Item) -> ProcessRow:
    """A process that the peer gives us, waiting here."""
    told = item.process
    assert told is not None, "looked at before"
    if link.direction == links.UP:
        # The upstream keeps its own deadline, and tries again by its own count; we try once.
        told.spec.maxretries = 0
        if link.executorname in (told.spec.conditions.executornames or ()):
            told.spec.conditions.executornames = None
    return _store(tx, link, item, names.path(link.name, told.origin))


def _store(tx: Transaction, link: LinkRow, item: Item, path: str) -> ProcessRow:
    """A waiting process here, as the peer describes it, that was submitted there (empty: here)."""
    told = item.process
    assert told is not None, "looked at before"
    spec = _adopted(link, told)
    spec.maxwaittime = min(told.waitleft, limits.MAX_SECONDS) if told.waitleft > 0 else UNLIMITED
    came = submitted.Came(link.seq, _process_id(item), max(tx.now - max(told.age, 0), 1), path)
    return submitted.enqueue(tx, _compose(tx, told, came), spec)


def _adopted(link: LinkRow, told: Submitted) -> FunctionSpec:
    """The peer's spec as one of the colony here."""
    told.spec.conditions.colonyname = link.colonyname
    told.spec.conditions.dependencies = []
    return told.spec


def _compose(tx: Transaction, told: Submitted, came: submitted.Came) -> ProcessRow:
    """The waiting process that the peer's spec makes, not stored yet."""
    initiator = Initiator(told.initiatorid, told.initiatorname)
    return submitted.compose(tx, told.spec, initiator, input=_document(told.input or [], limits.MAX_INPUT), came=came)


# -- what a giver hears -----------------------------------------------------------------------------------------------


def report(tx: Transaction, link: LinkRow, item: Item) -> bool:
    """How it goes with a process that we gave to the peer; False if we need its beginning."""
    process = processes.find(tx, item.processid)
    share = shares.find(tx, link.seq, item.processid)
    ended = item.state > ProcessState.RUNNING
    if process is not None and process.colonyname != link.colonyname:
        raise BadRequest("it belongs to another colony")
    if process is None:
        if share is not None:  # removed here: nobody waits for it
            shares.settle(tx, share, dirty=not ended)
            return True
        if item.process is None:
            return False
        # We were restored from a time before we had it: it is ours, and the peer has it.
        process = _resume(tx, link, item)
        share = shares.find(tx, link.seq, item.processid)
    if share is None or not _is_current(share, link, process, item):
        if _may_resume(share, process, item):
            process, share = _hand_out_again(tx, link, process, item)
        else:
            share = share or shares.begin(link.seq, item.processid, GIVEN, place=process.submissiontime)
            if ended:
                _too_late(tx, link, process, item)
            # The revocation carries the term of what the peer reports, or it would not heed it.
            shares.put(tx, replace(share, term=max(item.term, share.term)))
            shares.settle(tx, share, dirty=not _agree(process, item))
            return True
    share = shares.change(tx, share, term=item.term, known=1)
    _add_logs(tx, process, share, item)
    _add_attributes(tx, process, item.attributes or ())
    process = names.runs_at(tx, process, names.path(link.name, item.where))
    if link.direction == links.UP:
        _follow(tx, process, item)
    elif ended:
        _close(tx, link, process, item)
    shares.settle(tx, share, dirty=False)
    return True


def _is_current(share: ShareRow, link: LinkRow, process: ProcessRow, item: Item) -> bool:
    return share.role == GIVEN and item.term >= share.term and is_held(link, process)


def _may_resume(share: ShareRow | None, process: ProcessRow, item: Item) -> bool:
    """Whether the peer got it from us in a time that we have lost: as far as we know, it waits for somebody here."""
    known = share.term if share is not None and share.role == GIVEN else 0
    return (
        (share is None or share.role == GIVEN)
        and process.state == ProcessState.WAITING
        and not process.away
        and not process.waitforparents
        and item.term > known
    )


def _hand_out_again(tx: Transaction, link: LinkRow, process: ProcessRow, item: Item) -> tuple[ProcessRow, ShareRow]:
    share = shares.put(
        tx, shares.begin(link.seq, process.processid, GIVEN, term=item.term, place=process.submissiontime)
    )
    if link.direction == links.UP:
        return processes.give_away(tx, process, link.seq), share
    taken = processes.take(tx, process.seq, link.executorid)
    flow.moved(tx, ProcessState.WAITING, taken)
    return taken, share


def _resume(tx: Transaction, link: LinkRow, item: Item) -> ProcessRow:
    process = processes.set_origin(tx, _store(tx, link, item, ""), 0)
    return _hand_out_again(tx, link, process, item)[0]


def _follow(tx: Transaction, process: ProcessRow, item: Item) -> None:
    """Let our record of a process that is upstream follow the one there."""
    was, state = ProcessState(process.state), ProcessState(item.state)
    if was == state and process.assignedexecutorid == item.executorid:
        return
    if was == ProcessState.WAITING and state > ProcessState.RUNNING and item.executorid:
        # Its workflow, and whoever listens, should hear that it ran.
        process = processes.settle(tx, _as_there(tx, process, ProcessState.RUNNING, item))
        flow.moved(tx, was, process)
        was = ProcessState.RUNNING
    after = processes.settle(tx, _as_there(tx, process, state, item))
    if was == state:
        flow.told(tx, after)
    else:
        flow.moved(tx, was, after)


def _as_there(tx: Transaction, process: ProcessRow, state: ProcessState, item: Item) -> ProcessRow:
    """The process as the peer says that it is, in this state; not stored yet."""
    ended = state > ProcessState.RUNNING
    executorid = item.executorid[: limits.MAX_NAME]
    return replace(
        process,
        state=state,
        assignedexecutorid=executorid,
        isassigned=int(bool(executorid)),
        starttime=_instant(tx, item.starttime),
        endtime=(_instant(tx, item.endtime) or tx.now) if ended else 0,
        retries=max(item.retries, 0),
        out=_document(item.out or [], limits.MAX_INPUT) if ended else process.out,
        errors=_document(item.errors or [], limits.MAX_INPUT) if ended else process.errors,
    )


def _close(tx: Transaction, link: LinkRow, process: ProcessRow, item: Item) -> None:
    """The lower node, which runs the process as an executor of ours, is done with it."""
    state = ProcessState(item.state)
    errors = item.errors or []
    if state == ProcessState.CANCELLED:
        state, errors = ProcessState.FAILED, [*errors, f"It was cancelled at {link.name}"]
    closed = processes.finish(
        tx,
        process,
        state,
        _document(item.out or [], limits.MAX_INPUT),
        _document(errors, limits.MAX_INPUT),
        endtime=max(min(_instant(tx, item.endtime) or tx.now, tx.now), process.starttime),
    )
    if state == ProcessState.SUCCESS:
        executors.count_run(
            tx,
            process.colonyname,
            link.name,
            process.funcname,
            max(process.starttime - process.submissiontime, 0) / SECOND,
            max(closed.endtime - process.starttime, 0) / SECOND,
        )
    flow.moved(tx, ProcessState.RUNNING, closed)


def _agree(process: ProcessRow, item: Item) -> bool:
    """Whether the peer's end of the process is the one that it has here: nothing to take back then."""
    return process.state == item.state and process.state > ProcessState.RUNNING


def _too_late(tx: Transaction, link: LinkRow, process: ProcessRow, item: Item) -> None:
    """Keep a result that comes after the process ended here, or while somebody else has it, where it can be seen."""
    out = _document(item.out or [], limits.MAX_INPUT)
    if _agree(process, item) and out == process.out:
        return
    said = {"from": link.name, "where": item.where, "state": ProcessState(item.state).name.lower()}
    shown = {"out": item.out, "errors": item.errors} if len(out) < limits.MAX_LATE else {}
    names.too_late(tx, process, encode(said | shown).decode())


# -- what anybody hears -----------------------------------------------------------------------------------------------


def history(tx: Transaction, link: LinkRow, item: Item) -> bool:
    """What happened on the peer, kept as a record; False if we need its beginning."""
    share: ShareRow | None
    process = processes.find(tx, item.processid)
    if process is None:
        if item.process is None:
            return False
        if item.state <= ProcessState.RUNNING:
            raise BadRequest("history tells of what has ended")
        process = _record(tx, link, item)
        share = shares.insert(tx, shares.begin(link.seq, item.processid, HEARD, place=process.submissiontime))
        flow.told(tx, process)
    else:
        share = shares.find(tx, link.seq, item.processid)
    if share is not None and share.role == TAKEN:
        return revoke(tx, link, item)  # it was offered, and ended there before we had said that we have it
    if share is None or share.role != HEARD:
        return True  # we know it first hand
    _add_logs(tx, process, share, item)
    _add_attributes(tx, process, item.attributes or ())
    return True


def _record(tx: Transaction, link: LinkRow, item: Item) -> ProcessRow:
    told = item.process
    assert told is not None, "looked at before"
    spec = _adopted(link, told)
    submissiontime = _instant(tx, told.submissiontime) or tx.now
    came = submitted.Came(link.seq, _process_id(item), submissiontime, names.path(link.name, told.origin))
    process = replace(
        _as_there(tx, _compose(tx, told, came), ProcessState(item.state), item),
        waitdeadline=0,
        runsat=names.path(link.name, item.where) if item.where else "",
    )
    process = processes.insert(tx, process)
    submitted.keep_env(tx, process, spec.env or {})
    return process


def _add_logs(tx: Transaction, process: ProcessRow, share: ShareRow, item: Item) -> None:
    heard = share.logheard
    for line in item.logs or ():
        if line.position > heard:
            heard = line.position
            if len(line.message) > limits.MAX_LOG_MESSAGE:
                raise BadRequest("an entry of its log is too long")
            logs.add_from(tx, process.colonyname, process.processid, line)
    shares.change(tx, share, logheard=heard)


def _add_attributes(tx: Transaction, process: ProcessRow, given: Iterable[Attribute]) -> None:
    added = False
    for attribute in given:
        if attribute.targetid != process.processid or attribute.key.startswith(names.PREFIX):
            continue
        attribute.targetcolonyname, attribute.targetprocessgraphid = process.colonyname, process.processgraphid
        if attributes.find(tx, attribute.attributeid) is None:
            if attributes.number_of(tx, process.processid) >= limits.MAX_ATTRIBUTES:
                raise BadRequest(f"A process must have at most {limits.MAX_ATTRIBUTES} attributes")
            attributes.add(tx, attribute)
            added = True
    if added:
        processes.mark_attributes(tx, process.processid)


def _process_id(item: Item) -> str:
    if len(item.processid) != limits.ID_LENGTH:
        raise BadRequest("the id of a process must have 64 characters")
    return item.processid


def _instant(tx: Transaction, instant: int) -> int:
    """An instant of another node's clock, as far as it can be."""
    return min(max(instant, 0), tx.now)


def _document(items: list[object] | list[str], size: int) -> str:
    if len(items) > limits.MAX_LIST_ITEMS:
        raise BadRequest(f"a list must have at most {limits.MAX_LIST_ITEMS} items, got {len(items)}")
    text = encode(items).decode()
    if len(text) > size:
        raise BadRequest(f"a list must have at most {size >> 20} MiB")
    return text


KINDS: Final[dict[str, Callable[[Transaction, LinkRow, Item], bool]]] = {
    OFFER: offer,
    REVOKE: revoke,
    REPORT: report,
    HISTORY: history,
}
"""Kind of an item → what takes it in; False asks for the beginning of the process."""
