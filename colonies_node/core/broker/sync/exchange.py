"""The upper end of a link: a lower node's letter comes in, ours goes back (`syncmsg`)."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker import work
from colonies_node.core.broker.access import require_member
from colonies_node.core.broker.call import Call
from colonies_node.core.broker.sync import intake, letters, offers
from colonies_node.core.broker.sync.intake import Gaps
from colonies_node.core.errors import BadRequest, Conflict, Denied, Internal
from colonies_node.core.events import Waiter
from colonies_node.core.model.sync import NODE_TYPE, Letter, Mark, SyncMessage
from colonies_node.core.store import executors, links, members, shares
from colonies_node.core.store.executors import ExecutorRow
from colonies_node.core.store.links import DOWN, LinkRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.shares import GIVEN
from colonies_node.core.store.transaction import Transaction

RETIRED_KEPT: Final = 50
"""Former timelines of a lower node that are remembered."""

NOT_A_NODE: Final = f"Failed to sync, only an approved executor of type {NODE_TYPE} can be a lower node"


def check_letter(message: SyncMessage) -> None:
    """The letter must say who wrote it, and be of a size that can be taken in."""
    if len(message.node) != limits.ID_LENGTH or not message.timeline:
        raise BadRequest("Failed to sync, the letter does not say which node wrote it")
    if len(message.items or ()) > limits.MAX_LETTER_ITEMS:
        raise BadRequest(f"Failed to sync, a letter must have at most {limits.MAX_LETTER_ITEMS} items")
    if len(message.closed) > limits.MAX_STATE:
        raise BadRequest(f"Failed to sync, closed must have at most {limits.MAX_STATE} characters")
    if len(message.accept or ()) > limits.MAX_UPSTREAMS:
        raise BadRequest(f"Failed to sync, accept must have at most {limits.MAX_UPSTREAMS} types")


def exchange(tx: Transaction, message: SyncMessage, call: Call) -> Letter:
    """Take in what a lower node tells, and tell it what it does not know yet, with work if it asks for some."""
    executor = _sender(call)
    if message.node == call.rules.nodeid:
        raise Conflict("Failed to sync, a node cannot be its own upstream")
    link = _link(tx, message, executor)
    if _is_old(link, message):
        return Letter(
            node=call.rules.nodeid,
            passed=True,
            timeline=links.timeline(tx),
            have=Mark(timeline=link.timeline, batch=link.batch),
        )
    link = letters.confirm(tx, link, message.have)
    intake.forgot(tx, link, message.need or ())
    gaps = intake.take_in(tx, link, message.items or ())
    executors.set_closed(tx, executor, message.closed)
    return tell(tx, message, call, _noted(tx, link, message, gaps), gaps)


def _is_old(link: LinkRow, message: SyncMessage) -> bool:
    """Whether the lower node has written a later letter that is here already: the network doubled or delayed it, or
    somebody sends it again."""
    if message.timeline == link.seen:
        return message.letter <= link.letter
    return message.timeline in json.loads(link.retired)


def _noted(tx: Transaction, link: LinkRow, message: SyncMessage, gaps: Gaps) -> LinkRow:
    """The link once the letter is taken in."""
    if message.timeline != link.seen:
        retired = [*json.loads(link.retired), link.seen][-RETIRED_KEPT:]
        link = links.change(tx, link, seen=message.timeline, retired=json.dumps(retired))
    link = letters.advance(tx, link, message.timeline, message.batch, message.confirmed, whole=not any(gaps))
    return links.change(tx, link, letter=message.letter)


def tell(tx: Transaction, message: SyncMessage, call: Call, link: LinkRow, gaps: Gaps) -> Letter:
    """Our letter to a lower node. Nothing of it counts as known before the node says that it has it."""
    if not members.paused(tx, message.colonyname):
        give_work(tx, link, _sender(call), message)
    batch = letters.gather(tx, link, min(max(message.room, letters.OVERHEAD), limits.MAX_LETTER))
    above = links.all_of(tx, links.UP)
    found = offers.of_colony(tx, message.colonyname, above)
    return Letter(
        node=call.rules.nodeid,
        timeline=links.timeline(tx),
        batch=batch.number,
        confirmed=link.confirmed,
        have=Mark(timeline=link.timeline, batch=link.batch),
        items=batch.items,
        need=gaps.need,
        unusable=gaps.unusable,
        ancestors=ancestors(call.rules.nodeid, above),
        offers=None if offers.digest(found) == message.offered else found,
    )


def again(tx: Transaction, message: SyncMessage, call: Call) -> Letter:
    """What there is to tell a lower node that has waited for it."""
    require_member(tx, call, message.colonyname)
    link = links.named(tx, DOWN, message.colonyname, _sender(call).executorname)
    if link is None:
        raise Internal("the link of a node that waits is gone")
    return tell(tx, message, call, link, Gaps([], []))


def link_of(tx: Transaction, message: SyncMessage, call: Call) -> int:
    """The number of the link of a lower node whose last letter this is; 0 where a later one was taken in before.

    The answer to such a late one must say nothing: what the later one was told, and may never have got, would count as
    known with it.
    """
    link = links.named(tx, DOWN, message.colonyname, _sender(call).executorname)
    is_last = link is not None and (link.seen, link.letter) == (message.timeline, message.letter)
    return link.seq if link is not None and is_last else 0


def has_news(letter: Letter) -> bool:
    """Whether the lower node should have the letter at once."""
    return bool(letter.items or letter.need or letter.unusable) or letter.offers is not None


def waiters(message: SyncMessage, executor: ExecutorRow, link: int) -> list[Waiter]:
    """The executors that a lower node is while it asks for work: one for each type that it accepts."""
    if message.free <= 0:
        return []
    return [
        Waiter(
            colonyname=message.colonyname,
            executortype=executortype,
            executorname=executor.executorname,
            executorid=executor.executorid,
            locationname=executor.locationname,
            cpu=None,
            mem=None,
            link=link,
        )
        for executortype in dict.fromkeys(message.accept or ())
    ]


def give_work(tx: Transaction, link: LinkRow, executor: ExecutorRow, message: SyncMessage) -> None:
    """Assign to the lower node what it asks for: the executor that it is here runs it from now on."""
    free = min(message.free, limits.MAX_FREE)
    for waiter in waiters(message, executor, link.seq):
        while free > 0 and (process := work.assign(tx, waiter)) is not None:
            give(tx, link, process)
            free -= 1


def give(tx: Transaction, link: LinkRow, process: ProcessRow) -> None:
    """The process is the peer's to run from now on: it is told."""
    share = shares.find(tx, link.seq, process.processid)
    if share is None or share.role != GIVEN:
        share = shares.begin(link.seq, process.processid, GIVEN, place=process.submissiontime)
    shares.put(tx, msgspec.structs.replace(share, term=share.term + 1, dirty=1))


def ancestors(nodeid: str, above: list[LinkRow]) -> list[str]:
    """A node and all that are above it."""
    found = [nodeid]
    for link in above:
        for one in (link.nodeid, *json.loads(link.ancestors)):
            if one and one not in found:
                found.append(one)
    return found[: limits.MAX_UPSTREAMS]


def _sender(call: Call) -> ExecutorRow:
    if call.executor is None or call.executor.executortype != NODE_TYPE:
        raise Denied(NOT_A_NODE)
    return call.executor


def _link(tx: Transaction, message: SyncMessage, executor: ExecutorRow) -> LinkRow:
    """The link of the lower node, made when it writes for the first time."""
    name = executor.executorname
    link = links.named(tx, DOWN, message.colonyname, name) or links.add(tx, DOWN, message.colonyname, name)
    if link.nodeid and link.nodeid != message.node:
        # Another node under the same key: what the one before it had got is gone with it.
        shares.lose(tx, link.seq, 0)
        link = links.change(tx, link, timeline="", batch=0, confirmed=0)
    return links.change(
        tx, link, nodeid=message.node, executorname=name, executorid=executor.executorid, contact=tx.now
    )
