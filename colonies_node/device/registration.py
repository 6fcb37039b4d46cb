"""Getting into the colony: the executor's key, its record, its approval, what it has and its functions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import trio

from colonies_node.core.errors import KeyRefused, LinkDown, Refused, SettingRefused
from colonies_node.core.identity import new_private_key
from colonies_node.device.link import Caller
from colonies_node.device.runners import Offer
from colonies_node.http.backoff import Backoff


class State(IntEnum):
    """States of an executor (protocol/core.md 3.2)."""

    PENDING = 0
    APPROVED = 1
    REJECTED = 2
    UNREGISTERED = 3


def own_key(data: Path) -> str:
    """The executor's private key in the data folder; made there at the first start, readable by the owner
    only.
    """
    path = data / "executor.key"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as fault:
        raise KeyRefused(f"The executor's key in {path} cannot be read: {fault}.") from None
    key = new_private_key(os.urandom(32))
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    return key


def nothing() -> dict[str, list[Any]]:
    """The capabilities of an executor that says nothing of them."""
    return {"hardware": [], "software": []}


@dataclass
class Registration:
    """One executor's place in a colony. `owner` calls with the colony's key, if that was given; `capabilities` are what
    the colony is told of this machine (core/model/executor.py), and leave alone what it knows if they are empty."""

    client: Caller
    owner: Caller | None
    executorid: str
    name: str
    type: str
    colony: str
    location: str
    offers: Sequence[Offer]
    say: Callable[[str], None]
    capabilities: Mapping[str, Sequence[Any]] = field(default_factory=nothing)
    backoff: Backoff = field(default_factory=lambda: Backoff(first=1, cap=15))
    _said: set[str] = field(default_factory=set, init=False)

    async def join(self) -> None:
        """Return once the executor is approved and its functions are known. Waits for ever for a person or
        the link.

        Raises SettingRefused for what only another setting can mend: a name that is taken, a colony key that
        is none.
        """
        while True:
            if await self._try():
                break
            await trio.sleep(self.backoff.pause())
        self.backoff.reset()
        self._said.clear()

    async def state(self) -> State | None:
        """What the server says of us; None if it does not know us. Raises LinkDown and Refused."""
        return _state_of(await self._record())

    async def _try(self) -> bool:
        try:
            record = await self._record()
            state = _state_of(record)
            if state is not State.APPROVED and not await self._let_in(state):
                return False
            if record is not None:
                await self._tell_what_it_has(record)
            await self._register_functions()
            return True
        except LinkDown as fault:
            self._once(f"No link to the server ({fault}); trying again until there is one.")
        except Refused as no:
            self._once(f"The server does not let this executor in: {no.message}. Trying again.")
        return False

    async def _let_in(self, state: State | None) -> bool:
        """Use the colony's key, or tell who has it what to do; whether we are in now.

        A rejection was somebody's decision: the key does not undo it.
        """
        if self.owner is None or state is State.REJECTED:
            self._tell_the_owner(state)
            return False
        if state is None:
            await self._add(self.owner)
        await self.owner.call("approveexecutormsg", colonyname=self.colony, executorname=self.name)
        return True

    async def _add(self, owner: Caller) -> None:
        executor = {
            "executorid": self.executorid,
            "executorname": self.name,
            "executortype": self.type,
            "colonyname": self.colony,
            "locationname": self.location,
            "capabilities": dict(self.capabilities),
        }
        try:
            await owner.call("addexecutormsg", executor=executor)
        except Refused as no:
            if "already exists" in no.message or "not unique" in no.message:
                raise SettingRefused(
                    f"The name {self.name} is taken in colony {self.colony} by an executor with another key: "
                    "give --name for another name, or the other's key with --prvkey."
                ) from None
            if no.status == 403:
                raise SettingRefused(f"The colony key does not open colony {self.colony}: {no.message}.") from None
            raise

    def _tell_the_owner(self, state: State | None) -> None:
        who = f"Executor {self.name}"
        approve = f"colonies-node executor approve --name {self.name}"
        if state is None:
            add = f"executor add --name {self.name} --type {self.type} --executorid {self.executorid} --approve"
            self._once(f"{who} is not in colony {self.colony} yet. Its owner adds it with: colonies-node {add}")
        elif state is State.REJECTED:
            self._once(f"{who} was rejected by colony {self.colony}. Its owner lets it in with: {approve}")
        else:
            self._once(f"{who} waits for approval in colony {self.colony}. Its owner gives it with: {approve}")

    async def _record(self) -> dict[str, Any] | None:
        """Our own record, whatever its state; SettingRefused if our key has another name in this colony."""
        try:
            listed = await self.client.call("getexecutorsmsg", colonyname=self.colony)
        except Refused as no:
            if no.status == 403 and "does not exist" not in no.message:
                return None
            raise
        for executor in listed or []:
            if executor["executorid"] == self.executorid:
                return self._checked(executor)
        raise SettingRefused(
            f"The key is a user's of colony {self.colony}. An executor needs its own: "
            "leave --prvkey out and one is made."
        )

    def _checked(self, executor: dict[str, Any]) -> dict[str, Any]:
        if executor["executorname"] != self.name:
            raise SettingRefused(
                f"This key is executor {executor['executorname']} in colony {self.colony}: give --name "
                f"{executor['executorname']}, or another --data folder for a second executor."
            )
        if executor["executortype"] != self.type:
            known = executor["executortype"]
            self._once(f"Colony {self.colony} knows {self.name} as type {known}, and gives it the work of that.")
        return executor

    async def _tell_what_it_has(self, record: Mapping[str, Any]) -> None:
        """Replace the capabilities that the colony has of us, if ours are others: a machine gets a new disk."""
        known = {kind: (record.get("capabilities") or {}).get(kind) or [] for kind in nothing()}
        if self.capabilities in (nothing(), known):
            return
        try:
            await self.client.call(
                "updateexecutormsg",
                colonyname=self.colony,
                executorname=self.name,
                capabilities=dict(self.capabilities),
            )
        except Refused as no:
            # Nobody's work depends on it, and older servers do not know the message.
            self._once(f"The server does not take what this machine has: {no.message}.")

    async def _register_functions(self) -> None:
        """Add the functions that the server does not list yet, or lists as they were in a former life."""
        listed = await self.client.call("getfunctionsmsg", colonyname=self.colony, executorname=self.name)
        known = {function["funcname"]: function for function in listed or []}
        for offer in self.offers:
            listing = known.get(offer.name)
            if listing is not None:
                if _says(listing) == _says({"description": offer.description, "args": offer.args}):
                    continue
                await self.client.call("removefunctionmsg", functionid=listing["functionid"])
            fun = {
                "executorname": self.name,
                "executortype": self.type,
                "colonyname": self.colony,
                "funcname": offer.name,
                "description": offer.description,
                "args": list(offer.args),
            }
            await self.client.call("addfunctionmsg", fun=fun)

    def _once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self.say(words)


def _says(function: Mapping[str, Any]) -> list[Any]:
    """What a function's record says of how to call it; what is left out on the wire is empty."""
    empty = {"name": "", "type": "", "description": "", "required": False, "enum": []}
    args = [
        {field: arg.get(field) or nothing for field, nothing in empty.items()} for arg in function.get("args") or []
    ]
    return [function.get("description") or "", args]


def _state_of(record: Mapping[str, Any] | None) -> State | None:
    return None if record is None else State(record["state"])
