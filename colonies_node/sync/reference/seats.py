"""The executors that this node is at a reference server: one for each type of work that it takes, since a record there
has one type. The link's own key serves its own type, and submits; further keys are made of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from colonies_node.core.errors import Refused
from colonies_node.core.identity import Signer, digest
from colonies_node.core.model.executor import Executor
from colonies_node.core.model.sync import NODE_TYPE, Upstream
from colonies_node.core.states import ExecutorState
from colonies_node.sync.reference.server import Server, Unfit, is_membership

REFRESH_S: Final = 60.0
"""Seconds for which the list of executors is good."""


@dataclass(frozen=True)
class Seat:
    """An executor of ours at the server."""

    signer: Signer
    name: str
    type: str


class Seats:
    """All of them, and who else is in the colony. The colony owner's key `owner`, where it is at hand, lets us in."""

    def __init__(self, server: Server, key: str, upstream: Upstream, owner: Signer | None) -> None:
        self.own = Signer(key)
        self.listed: list[Executor] = []
        """The executors of the colony that are not ours, in the order of their names."""
        self.all: dict[str, Seat] = {}
        """Our seats by type."""
        self._server = server
        self._key = key
        self._upstream = upstream
        self._owner = owner
        self._name = upstream.executorname
        self._type = upstream.executortype
        self._good_until = -math.inf
        self.accepted: Sequence[str] = ()
        """The types of work that we take."""

    async def take(self, accept: Sequence[str]) -> None:
        """See that we are approved for all types in `accept`. Refused, with what to do, where we are not."""
        if trio.current_time() < self._good_until and list(accept) == list(self.accepted):
            return
        listed = await self._list()
        own = next((one for one in listed if one.executorid == self.own.id), None)
        if own is not None:
            self._name, self._type = own.executorname, own.executortype
        self._name = self._name or f"node-{self.own.id[:12]}"
        self._type = self._type or next(iter(accept), NODE_TYPE)
        self.all = {self._type: Seat(self.own, self._name, self._type)}
        for executortype in accept:
            self.of_type(executortype)
        known = {one.executorid: one.state for one in listed}
        let_in = [await self._let_in(seat, known.get(seat.signer.id)) for seat in self.all.values()]
        if any(let_in):
            listed = await self._list()
        ours = {seat.signer.id for seat in self.all.values()}
        self.listed = sorted((one for one in listed if one.executorid not in ours), key=lambda one: one.executorname)
        self._good_until, self.accepted = trio.current_time() + REFRESH_S, list(accept)

    def of_type(self, executortype: str) -> Seat:
        """The seat for a type of work, also for one that is not taken any more."""
        if executortype not in self.all:
            signer = Signer(digest(f"{self._key} {executortype}".encode()))
            self.all[executortype] = Seat(signer, f"{self._name}-{executortype}".replace(":", "-"), executortype)
        return self.all[executortype]

    def of_id(self, executorid: str) -> Seat | None:
        """The seat with this id."""
        return next((seat for seat in self.all.values() if seat.signer.id == executorid), None)

    def forget(self) -> None:
        """Look again before anything else is asked: the server has let us in no more."""
        self._good_until = -math.inf

    async def _list(self) -> list[Executor]:
        try:
            return await self._server.executors(self.own)
        except Refused as no:
            if not is_membership(no):
                raise
            return []

    async def _let_in(self, seat: Seat, state: int | None) -> bool:
        """Use the owner's key, or say what its holder has to do; whether anything changed.

        A rejection was somebody's decision: the key does not undo it.
        """
        if state == ExecutorState.APPROVED:
            return False
        colony = self._server.colony
        who = f"executor {seat.name} ({seat.type})"
        approve = f"colonies-node executor approve --name {seat.name}"
        if state == ExecutorState.REJECTED:
            raise Refused(403, f"{who} was rejected by colony {colony} there; its owner lets it in with: {approve}")
        if self._owner is None:
            add = f"colonies-node executor add --name {seat.name} --type {seat.type} --executorid {seat.signer.id}"
            what = f"{add} --approve" if state is None else approve
            raise Refused(403, f"{who} is not approved in colony {colony} there; its owner lets it in with: {what}")
        if state is None:
            await self._add(self._owner, seat)
        await self._server.tell(self._owner, "approveexecutormsg", colonyname=colony, executorname=seat.name)
        return True

    async def _add(self, owner: Signer, seat: Seat) -> None:
        record = {"executorid": seat.signer.id, "executorname": seat.name, "executortype": seat.type}
        capabilities: dict[str, list[str]] = {"hardware": [], "software": []}
        executor = record | {"colonyname": self._server.colony, "capabilities": capabilities}
        try:
            await self._server.tell(owner, "addexecutormsg", executor=executor)
        except Unfit as no:
            if "already exists" not in no.message and "not unique" not in no.message:
                raise
            raise Refused(
                409, f"the name {seat.name} is taken in colony {self._server.colony} there, by another key"
            ) from None
