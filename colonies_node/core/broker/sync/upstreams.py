"""The lower end of a link: our letters to an upstream and its answers, and the upstreams that a node has."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker import flow
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.broker.members import check_name
from colonies_node.core.broker.sync import handout, intake, letters, offers
from colonies_node.core.broker.sync.handout import Look
from colonies_node.core.errors import BadRequest, Conflict, NotFound
from colonies_node.core.events import LinkChanged, OffersChanged
from colonies_node.core.model.sync import (
    AddUpstream,
    Letter,
    Mark,
    OfUpstream,
    RemoveUpstream,
    SyncMessage,
    Upstream,
    UpstreamStatus,
)
from colonies_node.core.model.times import format_time
from colonies_node.core.rules import parse
from colonies_node.core.states import ProcessState
from colonies_node.core.store import links, members, shares
from colonies_node.core.store import processes as stored
from colonies_node.core.store.links import UP, LinkRow
from colonies_node.core.store.transaction import Transaction

DEFAULT_WINDOW: Final = 1_000
DEFAULT_FREE: Final = 16

LEFT_FILE: Final = "it is not in {} any more, and so is paused"

_upstreams = msgspec.json.Decoder(Upstream)


@dataclass(slots=True)
class Wish:
    """What the next letter to an upstream is to be like: of how many bytes, how many of them history (all, if that is
    None), which processes it asks for, and why it asks for no work, if it does not. `told` is how many bytes of
    history it has then, `more` whether there is more to tell."""

    room: int
    history: int | None = None
    need: list[str] = field(default_factory=list)
    closed: str = ""
    told: int = 0
    more: bool = False


def compose(tx: Transaction, link: LinkRow, upstream: Upstream, here: str, look: Look, wish: Wish) -> SyncMessage:
    """The next letter to an upstream, with what goes up now. What no answer has confirmed is in it again."""
    shares.rewind(tx, link.seq, link.confirmed)
    handout.hand_out(tx, link, look)
    batch = letters.gather(tx, link, wish.room, history=wish.history)
    wish.told, wish.more = batch.history, batch.more
    taking = not wish.closed and bool(upstream.accept)
    return SyncMessage(
        msgtype="syncmsg",
        colonyname=upstream.upstreamcolony,
        node=here,
        timeline=links.timeline(tx),
        letter=links.change(tx, link, letter=link.letter + 1).letter,
        batch=batch.number,
        confirmed=link.confirmed,
        have=Mark(timeline=link.timeline, batch=link.batch),
        items=batch.items,
        need=wish.need,
        accept=list(upstream.accept or ()),
        free=max(min(upstream.free, limits.MAX_FREE) - shares.taken(tx, link.seq), 0) if taking else 0,
        room=wish.room,
        offered=offers.digest(offers.above(link)),
        closed=wish.closed,
    )


def answered(tx: Transaction, link: LinkRow, letter: Letter, here: str) -> list[str]:
    """Take in the answer of an upstream; the ids of processes of which the beginning is needed. Conflict when the
    links would close a circle."""
    if letter.node == here:
        raise Conflict("This upstream is the node itself")
    if here in (letter.ancestors or ()):
        raise Conflict("This upstream has this node as one of its own upstreams: the links would close a circle")
    if link.nodeid and letter.node != link.nodeid:
        shares.lose(tx, link.seq, 0)
        link = links.change(tx, link, timeline="", batch=0, confirmed=0)
    if letter.passed:
        # Should the one that it takes to be later be of an earlier timeline of ours, which the network brought late, it
        # passes over all that we write in this one.
        links.begin_timeline(tx)
    else:
        link = links.change(tx, link, nodeid=letter.node, ancestors=json.dumps(letter.ancestors or []))
    if letter.offers is not None:
        link = links.change(tx, link, offers=msgspec.json.encode(letter.offers).decode())
        tx.emit(OffersChanged(link.colonyname))
    link = letters.confirm(tx, link, letter.have)
    intake.forgot(tx, link, letter.need or ())
    link = intake.keep(tx, link, letter.unusable or ())
    gaps = intake.take_in(tx, link, letter.items or ())
    # Of what runs above nothing is lost if it cannot be used here.
    letters.advance(tx, link, letter.timeline, letter.batch, letter.confirmed, whole=not gaps.need)
    return gaps.need


def of_link(link: LinkRow) -> Upstream:
    """How a link to an upstream is set."""
    return _upstreams.decode(link.settings)


# -- the messages of the node's owner ---------------------------------------------------------------------------------


def check_upstream(message: AddUpstream) -> None:
    """The request must say where the upstream is, with rules that can be read."""
    upstream = message.upstream
    if upstream is None:
        raise BadRequest("Failed to add upstream, upstream is nil")
    if not upstream.name:
        raise BadRequest("An upstream needs a name")
    check_name("an upstream", upstream.name)
    if not upstream.url.startswith(("http://", "https://")):
        raise BadRequest(f"The address of an upstream must begin with http:// or https://, got {upstream.url!r:.100}")
    if not upstream.colonyname:
        raise BadRequest("An upstream needs the name of the colony here whose work it shares")
    if upstream.keyfile and not upstream.keyfile.startswith("/"):
        # Not shown: it may be a key.
        raise BadRequest("The key of an upstream must be the whole path of a key file on the node's machine")
    if upstream.order not in ("", "oldest", "priority"):
        raise BadRequest(f"The order of records must be oldest or priority, got {upstream.order!r:.100}")
    if upstream.protocol not in ("", "cbor", "json"):
        raise BadRequest(f"The protocol must be cbor or json, got {upstream.protocol!r:.100}")
    if upstream.protocol == "json" and upstream.record:
        raise BadRequest("A server of the reference keeps no records of what happens elsewhere: leave `record` out")
    for name, items in (("rules", upstream.offload), ("types to accept", upstream.accept)):
        if len(items or ()) > limits.MAX_UPSTREAMS:
            raise BadRequest(f"An upstream must have at most {limits.MAX_UPSTREAMS} {name}")
    for rule in upstream.offload or ():
        parse(rule)
    for name, number, most in (
        ("window", upstream.window, limits.MAX_WINDOW),
        ("free", upstream.free, limits.MAX_FREE),
        ("budget", upstream.budget, 1 << 50),
    ):
        if not 0 <= number <= most:
            raise BadRequest(f"The {name} of an upstream must be from 0 to {most}, got {number}")


def add(tx: Transaction, message: AddUpstream, call: Call) -> Upstream:
    """Link this node to an upstream, or change how it is linked."""
    upstream = message.upstream
    assert upstream is not None, "checked before access"
    if members.colony_id(tx, upstream.colonyname) is None:
        raise BadRequest(f"Colony with name <{upstream.colonyname}> does not exists")
    return put(tx, upstream, "")


def put_all(tx: Transaction, given: Iterable[Upstream], source: str) -> None:
    """Store the upstreams that a file says, and pause those that it said before and does not any more, until it says
    them again."""
    named = {upstream.name: upstream for upstream in given}
    for link in links.all_of(tx, UP):
        if link.source == source and link.name not in named:
            links.change(tx, link, paused=1, note=LEFT_FILE.format(source))
    for upstream in named.values():
        put(tx, upstream, source)
        link = _named(tx, upstream.name)
        if link.note == LEFT_FILE.format(source):
            links.change(tx, link, paused=0, note="")


def put(tx: Transaction, upstream: Upstream, source: str) -> Upstream:
    """Store how the node is linked to an upstream; `source` is the file that says so, empty for a command."""
    link = links.upstream(tx, upstream.name)
    if link is not None and link.colonyname != upstream.colonyname:
        raise Conflict(f"There is an upstream {upstream.name} for colony {link.colonyname}: remove it first")
    if link is None:
        if len(links.all_of(tx, UP)) >= limits.MAX_UPSTREAMS:
            raise BadRequest(f"A node must have at most {limits.MAX_UPSTREAMS} upstreams")
        link = links.add(tx, UP, upstream.colonyname, upstream.name)
    upstream.upstreamcolony = upstream.upstreamcolony or upstream.colonyname
    upstream.window = upstream.window or DEFAULT_WINDOW
    upstream.free = upstream.free or DEFAULT_FREE
    upstream.order = upstream.order or "oldest"
    links.change(
        tx,
        link,
        url=upstream.url,
        settings=msgspec.json.encode(upstream).decode(),
        executorname=upstream.executorname,
        record=int(upstream.record),
        bypriority=int(upstream.order == "priority"),
        source=source,
    )
    tx.emit(LinkChanged(upstream.name))
    return upstream


def get_all(tx: Transaction, message: OfUpstream, call: Call) -> list[UpstreamStatus]:
    """The upstreams of this node, and how the links to them are; only the named one where a name is given."""
    found = [link for link in links.all_of(tx, UP) if message.name in ("", link.name)]
    if message.name and not found:
        raise NotFound(f"There is no upstream {message.name}")
    return [status(tx, link, call) for link in found]


def status(tx: Transaction, link: LinkRow, call: Call) -> UpstreamStatus:
    """How a link is: what waits in it, and what the driver says of it."""
    live = call.links.get(link.name)
    number, oldest = shares.waiting(tx, link.seq)
    return UpstreamStatus(
        upstream=of_link(link),
        nodeid=link.nodeid,
        ownid=call.rules.nodeid,
        paused=bool(link.paused),
        source=link.source,
        note=link.note,
        connected=live is not None and live.connected,
        since=format_time(live.since if live else 0),
        why=live.why if live else "the link is paused" if link.paused else "the link has not begun yet",
        lastexchange=format_time(live.exchanged if live else link.contact),
        waiting=number,
        waitingbytes=shares.waiting_bytes(tx, link.seq, number),
        oldest=format_time(oldest if not link.bypriority else 0),
        away=shares.away(tx, link.seq),
        taken=shares.taken(tx, link.seq),
        unconfirmed=shares.unconfirmed(tx, link.seq, link.confirmed),
        sent=live.sent if live else 0,
        received=live.received if live else 0,
    )


def pause(tx: Transaction, message: OfUpstream, call: Call) -> Done:
    """Say nothing to an upstream until it is resumed; what is to be told waits."""
    return _set_paused(tx, message, True)


def resume(tx: Transaction, message: OfUpstream, call: Call) -> Done:
    """Go on with an upstream."""
    return _set_paused(tx, message, False)


def sync_now(tx: Transaction, message: OfUpstream, call: Call) -> Done:
    """Try to reach an upstream now, however long the next try is away."""
    tx.emit(LinkChanged(_named(tx, message.name).name))
    return DONE


def remove(tx: Transaction, message: RemoveUpstream, call: Call) -> Done:
    """Forget an upstream. With `force` also while work is shared with it: what it was given runs here then."""
    link = _named(tx, message.name)
    open_ones = shares.away(tx, link.seq), shares.taken(tx, link.seq)
    if any(open_ones) and not message.force:
        raise Conflict(
            f"{open_ones[0]} processes are at {link.name} and {open_ones[1]} of its run here: wait for them, or remove"
            " it by force, which runs the first again here and keeps the results of the others here"
        )
    for process in shares.away_now(tx, link.seq):
        was = ProcessState(process.state)
        process = stored.set_runsat(tx, process, "")
        here = stored.give_away(tx, process if was == ProcessState.WAITING else stored.give_back(tx, process), 0)
        if was == ProcessState.WAITING:
            flow.told(tx, here)
        else:
            flow.moved(tx, was, here)
    links.remove(tx, link)
    tx.emit(LinkChanged(link.name))
    return DONE


def _set_paused(tx: Transaction, message: OfUpstream, paused: bool) -> Done:
    link = _named(tx, message.name)
    note = "" if link.note == LEFT_FILE.format(link.source) else link.note
    links.change(tx, link, paused=int(paused), note=note)
    tx.emit(LinkChanged(link.name))
    return DONE


def _named(tx: Transaction, name: str) -> LinkRow:
    link = links.upstream(tx, name)
    if link is None:
        raise NotFound(f"There is no upstream {name}")
    return link
