"""What happens at a reference server, told to this node in the words of a letter: how it goes with our processes, which
of its processes run here, and what is not ours any more. Nothing is remembered: the store shows what is told."""

from __future__ import annotations

import math
from functools import partial
from typing import Final

import trio

from colonies_node.core import limits
from colonies_node.core.broker.sync.letters import OFFER, REPORT, REVOKE
from colonies_node.core.errors import LinkDown
from colonies_node.core.identity import attribute_id
from colonies_node.core.model.process import ENV
from colonies_node.core.model.sync import Item, Line, Submitted
from colonies_node.core.model.wire import encode
from colonies_node.core.states import ProcessState
from colonies_node.core.store import links, processes, shares
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.shares import TAKEN, ShareRow
from colonies_node.core.store.transaction import Transaction
from colonies_node.sync.link import Node
from colonies_node.sync.reference.errands import Errands
from colonies_node.sync.reference.seats import Seat, Seats
from colonies_node.sync.reference.server import Server, There, instant

AT_ONCE: Final = 32
"""Our processes that one look asks about, one message each: those that were not asked about for longest."""

FIRST_PAUSE_S: Final = 2.0
LAST_PAUSE_S: Final = 30.0
"""Seconds between two looks: soon after something happened, and when nothing has for a while."""

SIT_S: Final = 240.0
"""Seconds without asking for work after which an executor that runs some lets itself be heard: a reference server gives
its work to others after 600."""

RUNNING: Final = ProcessState.RUNNING


class Watch:
    """The eyes of a link at a server. `name` is that of the link."""

    def __init__(self, node: Node, name: str, server: Server, seats: Seats, errands: Errands) -> None:
        self.due = -math.inf
        """The instant of the next look, never if nothing is shared."""
        self._node = node
        self._name = name
        self._server = server
        self._seats = seats
        self._errands = errands
        self._pause = FIRST_PAUSE_S
        self._last = 0
        self._given: dict[str, Item] = {}
        """Offers of the server that this node does not have yet."""
        self._more = False
        self._certain: set[str] = set()
        """Types of which nothing runs in our name that we do not know of: no answer was lost."""
        self._asking: set[str] = set()
        self._asked: dict[str, float] = {}
        """Type → when work of it was asked for."""

    def stir(self) -> None:
        """Something was said there: look soon."""
        self._pause = FIRST_PAUSE_S
        self.due = min(self.due, trio.current_time() + self._pause)

    async def look(self) -> list[Item]:
        """What is to be told of what both know. Raises LinkDown or Refused."""
        self._more = False
        items = await self._away()
        given = len(self._given)
        items += await self._held()
        news = bool(items) or len(self._given) > given
        self._pause = FIRST_PAUSE_S if news else min(self._pause * 2, LAST_PAUSE_S)
        if self._more:
            self.due = trio.current_time()
        else:
            self.due = trio.current_time() + self._pause if self._node.read(self._is_shared) else math.inf
        return items

    def given(self) -> list[Item]:
        """The offers of the server that this node has not taken in."""
        for processid in list(self._given):
            share, process = self._node.read(partial(self._known, processid=processid))
            if share is not None and process is not None and share.term >= self._given[processid].term:
                del self._given[processid]
        return list(self._given.values())

    # -- how it goes with ours ----------------------------------------------------------------------------------------

    async def _away(self) -> list[Item]:
        rows = self._node.read(partial(self._after, seq=self._last))
        if not rows and self._last:
            rows = self._node.read(partial(self._after, seq=0))
        items: list[Item] = []
        for share, process in rows:
            there = await self._server.look(self._seats.own, share.remoteid)
            if there is None:
                # A server that was set up anew knows neither it nor us: only one that knows us can have removed it.
                self._seats.forget()
                await self._seats.take(self._seats.accepted)
                items.append(_report(process, share, There(state=ProcessState.CANCELLED), ["It was removed there"]))
            elif (item := await self._compared(share, process, there)) is not None:
                items.append(item)
            self._last = process.seq
        if len(rows) < AT_ONCE:
            self._last = 0
        return items

    async def _compared(self, share: ShareRow, process: ProcessRow, there: There) -> Item | None:
        """What is new of a process of ours; None if nothing is."""
        moved = there.state != process.state or there.assignedexecutorid != process.assignedexecutorid
        lines: list[Line] = []
        more = False
        if moved or there.state != ProcessState.WAITING:
            lines, more = await self._lines(share, ended=there.state > RUNNING)
        if not moved and not lines:
            return None
        item = _report(process, share, there, there.errors or [])
        item.logs = lines
        item.where = self._executorname(there.assignedexecutorid)
        if more:
            # Nobody asks about it once its end is known here, so that comes after the last entry of its log.
            item.state, item.endtime = int(RUNNING), 0
            self._more = True
        return item

    async def _lines(self, share: ShareRow, *, ended: bool) -> tuple[list[Line], bool]:
        """The next lines of a log, and whether there may be more of them to come before its end."""
        since, size = share.logheard, 0
        found: list[Line] = []
        while size < limits.MAX_LETTER and len(found) < limits.MAX_LOGS:
            page = await self._server.lines(self._seats.own, share.remoteid, since)
            for line in page:
                text = line.message[: limits.MAX_LOG_MESSAGE]
                size += len(text)
                since = line.timestamp
                found.append(
                    Line(position=since, executorname=line.executorname, message=text, timestamp=line.timestamp)
                )
            if not page or not ended:
                return found, False
        return found, True

    def _executorname(self, executorid: str) -> str:
        return next((one.executorname for one in self._seats.listed if one.executorid == executorid), "")

    # -- what runs here for the server --------------------------------------------------------------------------------

    async def _held(self) -> list[Item]:
        """Offers of what runs in our name and is not here; revocations of what is here and not ours any more."""
        known = self._node.read(self._taken)
        seats = list(self._seats.all.values())
        if not known and all(seat.type in self._certain for seat in seats):
            return []
        found: set[str] = set()
        for seat in seats:
            held = await self._server.held(seat.signer)
            if seat.type not in self._asking:
                self._certain.add(seat.type)
            for there in held:
                found.add(there.processid)
                self._note(there, fresh=False)
            if held and trio.current_time() - self._asked.get(seat.type, -math.inf) > SIT_S:
                self._asked[seat.type] = trio.current_time()
                await self._server.sit(seat.signer)
        items: list[Item] = []
        for processid, term in known.items():
            if processid not in found:
                now = await self._server.look(self._seats.own, processid)
                if now is None or now.state != RUNNING or self._seats.of_id(now.assignedexecutorid) is None:
                    items.append(Item(kind=REVOKE, processid=processid, term=term))
        return items

    async def take(self, accept: list[str], free: int) -> None:
        """Ask once for work of each of these types."""
        for executortype in dict.fromkeys(accept):
            seat = self._seats.of_type(executortype)
            while free > len(self.given()) and await self.wait(seat, 0):
                pass

    async def wait(self, seat: Seat, timeout: int) -> bool:
        """Ask for work for an executor of ours, for up to `timeout` seconds; whether there was some."""
        certain = seat.type in self._certain
        self._certain.discard(seat.type)
        self._asking.add(seat.type)
        self._asked[seat.type] = trio.current_time()
        try:
            there = await self._server.assign(seat.signer, timeout)
        except BaseException:
            self.stir()  # it may have been taken all the same
            raise
        finally:
            self._asking.discard(seat.type)
        if certain:
            self._certain.add(seat.type)
        if there is not None:
            self._note(there, fresh=True)
            self.stir()
        return there is not None

    def _note(self, there: There, *, fresh: bool) -> None:
        """Something runs in our name; `fresh` if it does since now."""
        share, process = self._node.read(partial(self._known, processid=there.processid))
        term = 1 + max(there.retries, 0)
        if share is not None:
            if share.role != TAKEN:
                return  # the server hears of it: it cannot be here
            again = share.revoked and process is not None and process.state == ProcessState.CANCELLED
            if not fresh and not again:
                return
            term = max(term, share.term + 1)
        elif fresh:
            self._errands.begun(there.processid)
        known = self._given.get(there.processid)
        if known is None or known.term < term:
            names = {seat.name for seat in self._seats.all.values()}
            self._given[there.processid] = _offer(there, term, names)

    # -- the store ----------------------------------------------------------------------------------------------------

    def _known(self, tx: Transaction, processid: str) -> tuple[ShareRow | None, ProcessRow | None]:
        return shares.find(tx, self._link(tx), processid), processes.find(tx, processid)

    def _after(self, tx: Transaction, seq: int) -> list[tuple[ShareRow, ProcessRow]]:
        return shares.away_after(tx, self._link(tx), seq, AT_ONCE)

    def _taken(self, tx: Transaction) -> dict[str, int]:
        return shares.taken_now(tx, self._link(tx))

    def _is_shared(self, tx: Transaction) -> bool:
        link = self._link(tx)
        return bool(shares.away(tx, link) or shares.taken(tx, link))

    def _link(self, tx: Transaction) -> int:
        link = links.upstream(tx, self._name)
        if link is None:
            raise LinkDown(f"the upstream {self._name} was removed")
        return link.seq


def _report(process: ProcessRow, share: ShareRow, there: There, errors: list[str]) -> Item:
    out = there.out or []
    state = there.state
    if len(out) > limits.MAX_LIST_ITEMS or len(encode(out)) > limits.MAX_INPUT:
        state, out, errors = ProcessState.FAILED, [], ["Its output is too large to be kept here; it is at the upstream"]
    attributes = [one for one in there.attributes or () if one.attributetype != ENV]
    for one in attributes:
        one.targetid, one.attributeid = process.processid, attribute_id(process.processid, one.key, one.attributetype)
    return Item(
        kind=REPORT,
        processid=process.processid,
        term=share.term,
        state=state,
        starttime=instant(there.starttime),
        endtime=instant(there.endtime) if state > RUNNING else 0,
        retries=there.retries,
        executorid=there.assignedexecutorid,
        out=out,
        errors=errors,
        attributes=attributes,
    )


def _offer(there: There, term: int, names: set[str]) -> Item:
    spec = there.spec
    if names.intersection(spec.conditions.executornames or ()):
        spec.conditions.executornames = None
    submitted, started = instant(there.submissiontime), instant(there.starttime)
    return Item(
        kind=OFFER,
        processid=there.processid,
        term=term,
        process=Submitted(
            spec=spec,
            input=there.input or [],
            initiatorid=there.initiatorid,
            initiatorname=there.initiatorname,
            submissiontime=submitted,
            age=max(started - submitted, 0) if submitted else 0,
            waitleft=-1,
            processgraphid=there.processgraphid,
        ),
    )
