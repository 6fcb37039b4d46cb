"""What a letter says, done at a reference server with plain messages. Each step may be repeated: whatever is in doubt
is looked at first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from msgspec.structs import replace

from colonies_node.core.broker.sync import handout
from colonies_node.core.broker.sync.letters import OFFER, REPORT, REVOKE
from colonies_node.core.errors import LinkDown
from colonies_node.core.model.process import ENV, FunctionSpec
from colonies_node.core.model.sync import Item, Submitted
from colonies_node.core.states import ProcessState
from colonies_node.core.store import links, logs, processes, shares
from colonies_node.core.store.links import LinkRow
from colonies_node.core.store.shares import GIVEN, SENDING, ShareRow
from colonies_node.core.store.transaction import Transaction
from colonies_node.sync.link import Node
from colonies_node.sync.reference.seats import Seat, Seats
from colonies_node.sync.reference.server import Lost, Server, There, Unfit

LABEL: Final = "offload:{}"
"""The label of a process of ours there: by it, it is found again."""

USERS_LABEL: Final = "COLONIES_LABEL"
"""The environment variable there that holds the label which the process has here."""

RUNNING: Final = ProcessState.RUNNING


class Errands:
    """The items of letters, at a server. `name` is that of the link."""

    def __init__(self, node: Node, name: str, server: Server, seats: Seats) -> None:
        self._node = node
        self._name = name
        self._server = server
        self._seats = seats
        self._opened = node.clock()
        self._told: dict[str, int] = {}
        """Process that runs here for the server → position up to which it has our log, where that is certain."""

    async def run(self, items: Iterable[Item]) -> tuple[list[Item], list[str]]:
        """Do what the items say; (what there is to answer, processes of which the beginning is needed).

        Raises LinkDown or Refused with some of it done.
        """
        answers: list[Item] = []
        need: list[str] = []
        for item in items:
            if item.kind == OFFER:
                if not await self._offer(item, answers):
                    need.append(item.processid)
            elif item.kind == REVOKE:
                await self._revoke(item)
            elif item.kind == REPORT and not await self._report(item):
                answers.append(Item(kind=REVOKE, processid=item.processid, term=item.term))
        return answers, need

    def begun(self, processid: str) -> None:
        """The process was given to us just now: the server has nothing of ours about it."""
        self._told[processid] = 0

    # -- what we give -------------------------------------------------------------------------------------------------

    async def _offer(self, item: Item, answers: list[Item]) -> bool:
        """Submit the process, unless it is there; False if its beginning is needed for that."""
        share = self._share(item.processid)
        if share is None or share.role != GIVEN or share.remoteid not in ("", SENDING):
            return True
        told = item.process
        if told is None:
            return False
        if told.input:
            await self._write(partial(handout.take_back, processid=item.processid))
            return True
        spec = spec_there(item.processid, told, self._server.colony)
        found: There | None = None
        if share.remoteid == SENDING or told.submissiontime < self._opened:
            # It was sent before, or in a life of this node that the store has lost.
            found = await self._server.labelled(self._seats.own, spec.label)
        if found is None:
            await self._know(share, SENDING)
            try:
                found = await self._server.submit(self._seats.own, spec)
            except Unfit as no:
                errors = [f"{self._name} refused it: {no.message}"]
                failed = Item(
                    kind=REPORT, processid=item.processid, term=item.term, state=ProcessState.FAILED, errors=errors
                )
                answers.append(failed)
                return True
        await self._know(share, found.processid)
        return True

    async def _revoke(self, item: Item) -> None:
        """Cancel the process there, if it is."""
        share = self._share(item.processid)
        there = share.remoteid if share else ""
        if there == SENDING:
            found = await self._server.labelled(self._seats.own, LABEL.format(item.processid))
            there = found.processid if found else ""
        if there:
            try:
                await self._server.tell(self._seats.own, "cancelprocessmsg", processid=there)
            except Lost:
                return  # it is gone or at its end

    def _share(self, processid: str) -> ShareRow | None:
        def look(tx: Transaction) -> ShareRow | None:
            link = links.upstream(tx, self._name)
            return shares.find(tx, link.seq, processid) if link else None

        share: ShareRow | None = self._node.read(look)
        return share

    async def _know(self, share: ShareRow, remoteid: str) -> None:
        await self._node.write(lambda tx: shares.change(tx, share, remoteid=remoteid))

    async def _write(self, change: Callable[[Transaction, LinkRow], None]) -> None:
        def write(tx: Transaction) -> None:
            link = links.upstream(tx, self._name)
            if link is not None:
                change(tx, link)

        await self._node.write(write)

    # -- what we run for the server -----------------------------------------------------------------------------------

    async def _report(self, item: Item) -> bool:
        """Tell what is new of a process that we run for the server; False if it is ours no more."""
        processid = item.processid
        there: There | None = None
        process = self._node.read(partial(processes.find, processid=processid))
        executortype = process.executortype if process else None
        if executortype is None or processid not in self._told:
            there = await self._server.look(self._seats.own, processid)
            if there is None:
                return False
            executortype = there.spec.conditions.executortype
        seat = self._seats.of_type(executortype)
        if there is not None and (there.state != RUNNING or there.assignedexecutorid != seat.signer.id):
            # Said before, and the answer was lost? Then nothing is left to say.
            return there.assignedexecutorid == seat.signer.id and _is_end_of(item, there)
        try:
            if there is not None:
                self._told[processid] = await self._position(seat, processid)
            await self._tell(seat, item)
        except LinkDown:
            self._told.pop(processid, None)
            raise
        except Lost:
            self._told.pop(processid, None)
            return False
        return True

    async def _tell(self, seat: Seat, item: Item) -> None:
        told = self._told.get(item.processid, 0)
        for line in item.logs or ():
            if line.position > told:
                with suppress(Unfit):  # an entry that it does not take is no reason to keep back the result
                    await self._server.tell(seat.signer, "addlogmsg", processid=item.processid, message=line.message)
                self._told[item.processid] = told = line.position
        if item.state <= RUNNING:
            return
        for attribute in item.attributes or ():
            if attribute.attributetype != ENV:
                attribute = replace(attribute, targetcolonyname=self._server.colony)
                with suppress(Unfit):  # it is there already
                    await self._server.tell(seat.signer, "addattributemsg", attribute=attribute)
        await self._close(seat, item)
        self._told.pop(item.processid, None)

    async def _close(self, seat: Seat, item: Item) -> None:
        processid, errors = item.processid, list(item.errors or ())
        if item.state == ProcessState.CANCELLED:
            errors.append(f"It was cancelled at {seat.name}")
        try:
            if item.state == ProcessState.SUCCESS:
                await self._server.tell(seat.signer, "closesuccessfulmsg", processid=processid, out=item.out or [])
            else:
                await self._server.tell(seat.signer, "closefailedmsg", processid=processid, errors=errors)
        except Unfit as no:
            errors = [f"What came of it was refused: {no.message}"]
            await self._server.tell(seat.signer, "closefailedmsg", processid=processid, errors=errors)

    async def _position(self, seat: Seat, processid: str) -> int:
        """The position in our log of the last entry that the server has of us."""
        number, since = 0, 0
        while lines := await self._server.lines(seat.signer, processid, since):
            number += sum(line.executorname == seat.name for line in lines)
            since = lines[-1].timestamp
        return int(self._node.read(partial(logs.position, processid=processid, number=number)))


def spec_there(processid: str, told: Submitted, colony: str) -> FunctionSpec:
    """The function spec with which a process of ours is submitted to `colony` there."""
    spec = told.spec
    spec.conditions.colonyname = colony
    spec.conditions.dependencies = []
    spec.maxwaittime = told.waitleft if told.waitleft > 0 else -1
    spec.maxexectime = spec.maxexectime or -1  # 0 is no time at all there
    if spec.label:
        spec.env = {**(spec.env or {}), USERS_LABEL: spec.label}
    spec.label = LABEL.format(processid)
    return spec


def _is_end_of(item: Item, there: There) -> bool:
    """Whether a process of the server has the end that is told of it."""
    successful = ProcessState.SUCCESS in (item.state, there.state)
    return min(item.state, there.state) > RUNNING and (not successful or item.state == there.state)
