"""What two nodes tell each other of the processes that both know (core/broker/sync says what follows from it)."""

from __future__ import annotations

from typing import Final

from colonies_node.core.model.messages import Message, OfColony
from colonies_node.core.model.process import Attribute, FunctionSpec
from colonies_node.core.model.wire import Int, Record, always, null

NODE_TYPE: Final = "node"
"""The executor type of a lower node at its upstream. Who approves it lets it take work of every type and tell what
happened elsewhere, which no other executor may."""


class Mark(Record):
    """The last letter of a node that another one has: its number, and the timeline of the node in which it was
    written."""

    timeline: str = always(str)
    batch: Int = always(int)


class Submitted(Record):
    """What of a process never changes: how it was submitted, where, and what it is given.

    Instants are Unix nanoseconds of the sender's clock; `age` is nanoseconds since it was submitted, `waitleft` seconds
    until nobody needs it any more, -1 for no limit.
    """

    spec: FunctionSpec = always(FunctionSpec)
    input: list[object] | None = always(list)
    initiatorid: str = always(str)
    initiatorname: str = always(str)
    submissiontime: Int = always(int)
    age: Int = always(int)
    waitleft: Int = always(int)
    origin: str = always(str)
    processgraphid: str = always(str)


class Line(Record):
    """An entry of a process's log: `timestamp` in Unix nanoseconds of the node that wrote it first, `position` counts
    up at the sender."""

    position: Int = always(int)
    executorname: str = always(str)
    message: str = always(str)
    timestamp: Int = always(int)


class Item(Record):
    """News of one process.

    `kind` is `offer` (run this for me), `revoke` (it is not yours any more), `report` (how it goes with what you gave
    me) or `history` (what happened here). `term` counts how often the process was handed out. `where` says who runs
    it, as a path of names. `process` is there when the receiver may not know it yet.
    """

    kind: str = always(str)
    processid: str = always(str)
    term: Int = always(int)
    state: Int = always(int)
    starttime: Int = always(int)
    endtime: Int = always(int)
    retries: Int = always(int)
    executorid: str = always(str)
    where: str = always(str)
    out: list[object] | None = always(list)
    errors: list[str] | None = always(list)
    attributes: list[Attribute] | None = always(list)
    logs: list[Line] | None = always(list)
    process: Submitted | None = None


class Offered(Record):
    """A sort of executor that a node can give work to: amounts are those of its largest machine, empty if not known."""

    executortype: str = always(str)
    executorname: str = always(str)
    locationname: str = always(str)
    cpu: str = always(str)
    mem: str = always(str)
    gpu: Int = always(int)


class SyncMessage(OfColony):
    """A letter of a node to its upstream.

    `node` is the sender's node id, `letter` counts its letters: one that comes after a later one is passed over.
    `items` is the batch numbered `batch` of `timeline`, `confirmed` the last batch that the receiver should have;
    `have` is the receiver's last one that the sender has, `need` names processes of which it lacks the beginning. It
    takes up to `free` processes of the types in `accept`, and an answer of about `room` bytes; `offered` is the digest
    of the offers that it knows. `closed` says why it takes no work, if it takes none. With nothing to tell, the answer
    comes after `timeout` seconds.
    """

    node: str = always(str)
    timeline: str = always(str)
    letter: Int = always(int)
    batch: Int = always(int)
    confirmed: Int = always(int)
    have: Mark = always(Mark)
    items: list[Item] | None = null()
    need: list[str] | None = null()
    accept: list[str] | None = null()
    free: Int = always(int)
    room: Int = always(int)
    timeout: Int = always(int)
    offered: str = always(str)
    closed: str = ""


class Letter(Record):
    """The answer of an upstream; fields as in a SyncMessage.

    `passed`: the letter was passed over for a later one. `unusable` names processes whose end cannot be used there:
    only the lower node has a record of them. `ancestors` are the node ids of the sender and of all above it; `offers`
    is what its executors, and theirs above, are, null when the sender knows that.
    """

    node: str = always(str)
    passed: bool = always(bool)
    timeline: str = always(str)
    batch: Int = always(int)
    confirmed: Int = always(int)
    have: Mark = always(Mark)
    items: list[Item] | None = always(list)
    need: list[str] | None = always(list)
    unusable: list[str] | None = None
    ancestors: list[str] | None = always(list)
    offers: list[Offered] | None = null()


class Upstream(Record):
    """How this node is linked to an upstream.

    `colonyname` is the colony here, `upstreamcolony` the one there. The lower node is the executor `executorname` of
    type `executortype` there, under the key in `keyfile` (empty: the node's own key). `offload` are rules, any of which
    sends a waiting process up; `window` is how many may be there at once. `accept` are executor types of which up to
    `free` processes are taken from there. `record` tells it what happened here, in the `order` `oldest` or `priority`,
    at most `budget` bytes an hour (0 for no limit). `protocol` is `cbor` for a node, `json` for a reference server,
    empty to find out. `nodeid` is the node that must answer, empty to trust the first one.
    """

    name: str = always(str)
    url: str = always(str)
    colonyname: str = always(str)
    upstreamcolony: str = always(str)
    keyfile: str = always(str)
    executorname: str = always(str)
    executortype: str = always(str)
    offload: list[str] | None = always(list)
    window: Int = always(int)
    accept: list[str] | None = always(list)
    free: Int = always(int)
    record: bool = always(bool)
    order: str = always(str)
    budget: Int = always(int)
    protocol: str = always(str)
    nodeid: str = always(str)
    tlsverify: str = always(str)


class AddUpstream(Message):
    upstream: Upstream | None = null()


class OfUpstream(Message):
    """An upstream by name."""

    name: str = always(str)


class RemoveUpstream(OfUpstream):
    """`force` removes it also while work is shared with it."""

    force: bool = always(bool)


class UpstreamStatus(Record):
    """How the link to an upstream is.

    `since` is when it became `connected`, or ceased to be, and `why`; `lastexchange` the last letter that was answered.
    `waiting` processes, of about `waitingbytes`, are to be told, the `oldest` submitted then. `away` are processes that
    it has of ours, `taken` those of its own that run here; `sent` and `received` are bytes since the start. `note` is
    the last thing that a person should know. `nodeid` is the upstream node, `ownid` this one.
    """

    upstream: Upstream = always(Upstream)
    nodeid: str = always(str)
    ownid: str = always(str)
    paused: bool = always(bool)
    source: str = always(str)
    connected: bool = always(bool)
    since: str = always(str)
    why: str = always(str)
    lastexchange: str = always(str)
    waiting: Int = always(int)
    waitingbytes: Int = always(int)
    oldest: str = always(str)
    away: Int = always(int)
    taken: Int = always(int)
    unconfirmed: Int = always(int)
    sent: Int = always(int)
    received: Int = always(int)
    note: str = always(str)
