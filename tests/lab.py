"""The colony `lab` on a node, and what happens in it, one short call for each step."""

from __future__ import annotations

from typing import Any

from tests.node import ALICE, OWNER, SERVER, Exchange, Node, Party

COLONY = "lab"
TYPE = "worker"


class Lab:
    """A colony with its owner, a user and as many executors as a test asks for."""

    def __init__(self, node: Node, name: str = COLONY, owner: Party = OWNER, user: Party = ALICE) -> None:
        self.node = node
        self.name = name
        self.owner = owner
        self.user = user

    async def found(self) -> Lab:
        """Make the colony and its user."""
        call = self.node.call
        await call(SERVER, "addcolonymsg", colony={"colonyid": self.owner.id, "name": self.name})
        user = {"colonyname": self.name, "userid": self.user.id, "name": self.user.name, "email": "", "phone": ""}
        await call(self.owner, "addusermsg", user=user)
        return self

    async def apply(self, name: str, type: str = TYPE, **fields: Any) -> Party:
        """An executor that waits for approval."""
        party = Party(f"{name} of {self.name}")
        executor = {"executorid": party.id, "executorname": name, "executortype": type, "colonyname": self.name}
        await self.node.call(self.owner, "addexecutormsg", executor=executor | fields)
        return party

    async def join(self, name: str, type: str = TYPE, **fields: Any) -> Party:
        """An approved executor."""
        party = await self.apply(name, type, **fields)
        await self.node.call(self.owner, "approveexecutormsg", colonyname=self.name, executorname=name)
        return party

    async def submit(self, by: Party | None = None, conditions: dict[str, Any] | None = None, **spec: Any) -> Any:
        """A process of the colony's usual type."""
        asked = {"colonyname": self.name, "executortype": TYPE} | (conditions or {})
        spec = {"funcname": "work", "conditions": asked} | spec
        return await self.node.call(by or self.user, "submitfuncspecmsg", spec=spec)

    async def assign(self, executor: Party, timeout: int = -1, **free: Any) -> Any:
        """The next process for the executor."""
        return await self.node.call(executor, "assignprocessmsg", colonyname=self.name, timeout=timeout, **free)

    async def poll(self, executor: Party, timeout: int = 60, **free: Any) -> Exchange:
        """An executor that waits for work from now on."""
        return await self.node.begin(executor, "assignprocessmsg", colonyname=self.name, timeout=timeout, **free)

    async def get(self, process: Any) -> Any:
        """The process as it is now."""
        return await self.node.call(self.user, "getprocessmsg", processid=process["processid"])

    async def close(self, executor: Party, process: Any, out: list[Any] | None = None) -> None:
        """Close as successful."""
        await self.node.call(executor, "closesuccessfulmsg", processid=process["processid"], out=out)

    async def fail(self, executor: Party, process: Any, errors: list[str] | None = None) -> None:
        """Close as failed."""
        await self.node.call(executor, "closefailedmsg", processid=process["processid"], errors=errors)

    async def run(self, executor: Party, out: list[Any] | None = None, **spec: Any) -> Any:
        """A process from submit to success."""
        process = await self.submit(**spec)
        assigned = await self.assign(executor)
        assert assigned["processid"] == process["processid"]
        await self.close(executor, assigned, out)
        return await self.get(process)
