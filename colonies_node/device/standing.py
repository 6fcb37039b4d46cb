"""What the colony is told of an executor while it works: what it has, whether it takes work, and what of it is taken.

Whether it takes work is an entry of its software, of the type `state`, since the protocol has no other place for it and
every client shows that one. What is taken is the allocation of one project, which has the name of the colony.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.model.executor import STATE
from colonies_node.device.gate import Gate
from colonies_node.device.registration import Registration
from colonies_node.device.room import Room
from colonies_node.http.backoff import Backoff

PAUSE_S = 1.0
"""Least time between two reports: many short processes are one piece of news."""


@dataclass
class Standing:
    """Tells the colony whatever changed. `hardware` and `software` stay as they are while the executor runs."""

    registration: Registration
    gate: Gate
    room: Room
    hardware: Sequence[Mapping[str, Any]]
    software: Sequence[Mapping[str, str]]
    _changed: trio.Event = field(default_factory=trio.Event, init=False)
    _told: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.registration.capabilities = self._told["updateexecutormsg"] = self.capabilities()

    def changed(self) -> None:
        """Something is different from what the colony knows."""
        self._changed.set()

    def capabilities(self) -> dict[str, list[Any]]:
        """What it has, with an entry that says why it takes no work, if it takes none."""
        closed = [{"name": "maintenance", "type": STATE, "version": self.gate.closed}] if self.gate.closed else []
        return {"hardware": list(self.hardware), "software": [*self.software, *closed]}

    def allocations(self) -> dict[str, Any]:
        """Millicores and GPUs: all that there are, and those that running processes have asked for."""
        taken = self.room.taken
        used = {
            "allocatedcpu": self.room.cpu,
            "usedcpu": taken.cpu,
            "allocatedgpu": len(self.room.gpus),
            "usedgpu": taken.gpus,
            "allocatedstorage": 0,
            "usedstorage": 0,
        }
        return {"projects": {self.registration.colony: used}}

    async def run(self) -> None:
        """Tell what changes, until cancelled. Without a link the newest is told once there is one."""
        backoff = Backoff()
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            try:
                await self._tell()
            except LinkDown:
                self._changed.set()
                await trio.sleep(backoff.pause())
            except Refused:  # nobody's work depends on it, and older servers do not know the messages
                await trio.sleep(PAUSE_S)
            else:
                backoff.reset()
                await trio.sleep(PAUSE_S)

    async def _tell(self) -> None:
        here = self.registration
        here.capabilities = self.capabilities()
        news = {
            "updateexecutormsg": ("capabilities", here.capabilities),
            "reportallocationmsg": ("allocations", self.allocations()),
        }
        for msgtype, (name, value) in news.items():
            if self._told.get(msgtype) != value:
                fields: dict[str, Any] = {"colonyname": here.colony, "executorname": here.name, name: value}
                await here.client.call(msgtype, **fields)
                self._told[msgtype] = value
