"""A server process with the colony `lab`, for clients that talk to it over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio

from colonies_node import Client
from colonies_node.client.client import Door
from colonies_node.http.client import Client as Wire
from tests.cli.shell import program, until_ready
from tests.node import ALICE, OWNER, SERVER, Party

WORKER = Party("the worker of lab")
TYPE = "worker"


class Place:
    """Where the server is, and who is who there."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def client(self, party: Party = ALICE, *, door: Door = "auto", port: int = 0, **more: Any) -> Client:
        """A client under somebody's key; with `port` over a line of the test's own."""
        url = f"http://127.0.0.1:{port}" if port else self.url
        return Client(url, colony="lab", prvkey=party.key, door=door, **more)

    async def found(self) -> None:
        """Make the colony with its user and its worker."""
        who = {"executorid": WORKER.id, "executorname": "worker", "executortype": TYPE, "colonyname": "lab"}
        user = {"colonyname": "lab", "userid": ALICE.id, "name": "alice", "email": "", "phone": ""}
        async with Wire(self.url, SERVER.key) as server, Wire(self.url, OWNER.key) as owner:
            await server.call("addcolonymsg", colony={"colonyid": OWNER.id, "name": "lab"})
            await owner.call("addusermsg", user=user)
            await owner.call("addexecutormsg", executor=who)
            await owner.call("approveexecutormsg", colonyname="lab", executorname="worker")

    async def clear(self) -> None:
        """Forget the processes of former tests."""
        async with Wire(self.url, OWNER.key) as owner:
            for kind in ("removeallprocessgraphsmsg", "removeallprocessesmsg"):
                await owner.call(kind, colonyname="lab", state=-1)


@contextmanager
def serving(folder: Path) -> Iterator[Place]:
    """The server, with its colony."""
    environ = {"COLONIES_SERVER_ID": SERVER.id, "COLONIES_DURABILITY": "normal"}
    with program("serve", "--data", str(folder / "data"), "--port", "0", stderr=folder / "log", environ=environ) as it:
        _, port, _ = until_ready(it)
        place = Place(int(port))
        trio.run(place.found)
        yield place


class Worker:
    """An executor by hand: takes the next process, and ends it as the test says."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def take(self) -> str:
        """The id of the next process, which runs from now on."""
        process = await self.client.call("assignprocessmsg", colonyname="lab", timeout=10)
        return str(process["processid"])

    async def succeed(self, *out: Any, process: str = "") -> None:
        """End the next process with these outputs."""
        processid = process or await self.take()
        await self.client.call("closesuccessfulmsg", processid=processid, out=list(out))

    async def fail(self, *errors: str) -> None:
        """End the next process with these errors."""
        await self.client.call("closefailedmsg", processid=await self.take(), errors=list(errors))

    async def echo(self, times: int) -> None:
        """End so many processes, each with its first argument."""
        for _ in range(times):
            process = await self.client.call("assignprocessmsg", colonyname="lab", timeout=10)
            await self.client.call(
                "closesuccessfulmsg", processid=process["processid"], out=process["spec"]["args"][:1]
            )


@asynccontextmanager
async def working(place: Place) -> Any:
    """A worker."""
    async with place.client(WORKER) as client:
        yield Worker(client)
