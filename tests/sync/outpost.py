"""A node whose upstream is a reference server: two nodes in one test, of which the upper one hears plain messages only.

The upper one has a worker of type `gpu` for the processes of the lower one, the lower one a worker of type `cam` for
those of the upper one. The door between them can lose a request, or an answer, or the lower node's life at any call.
"""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from colonies_node.core.broker.call import Live, Rules
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.errors import Refused
from colonies_node.core.identity import Signer
from colonies_node.core.model.sync import Upstream
from colonies_node.http.envelope import read_reply
from colonies_node.sync.link import Link
from colonies_node.sync.reference import Reference
from tests.lab import Lab
from tests.node import RUNNING, Node, Party, open_node

EDGE = Party("the edge")
"""The executor that the lower node is at the upper one."""

NODEID = "e" * 64


class Door:
    """Between the two. `fault` is told the number of each call, and whether it has taken effect yet."""

    def __init__(self, server: Node, clock: trio.testing.MockClock) -> None:
        self.server = server
        self.clock = clock
        self.busy = 0
        self.calls: list[str] = []
        self.fault: Callable[[int, bool], Any] | None = None
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = {}

    async def post(self, body: bytes, timeout: float | None = None) -> tuple[str, bytes]:
        """As http.client.Client.post has it."""
        envelope = json.loads(body)
        msgtype = envelope["payloadtype"]
        self.calls.append(msgtype)
        number = len(self.calls)
        await self._fail(number, False)
        if msgtype in self.answers:
            message = json.loads(base64.b64decode(envelope["payload"]))
            answer = msgtype, json.dumps(self.answers[msgtype](message)).encode()
        else:
            with self._stopwatch(msgtype):
                reply = await self.server.post(body)
            answer = read_reply(reply.body)
        await self._fail(number, True)
        return answer

    @contextmanager
    def _stopwatch(self, msgtype: str) -> Iterator[None]:
        """Let no time pass while the server's threads look for an answer; only who waits for work waits."""
        if msgtype == "assignprocessmsg":
            yield
            return
        self.busy += 1
        self.clock.autojump_threshold = math.inf
        try:
            yield
        finally:
            self.busy -= 1
            if not self.busy:
                self.clock.autojump_threshold = 0

    async def _fail(self, number: int, happened: bool) -> None:
        if self.fault is not None:
            await self.fault(number, happened)

    def number(self, msgtype: str) -> int:
        """How many messages of a type were sent."""
        return self.calls.count(msgtype)


class Outpost:
    """The two nodes and what runs on them."""

    def __init__(self, edge: Node, server: Node, nursery: trio.Nursery, clock: trio.testing.MockClock) -> None:
        self.edge, self.server = edge, server
        self.here, self.there = Lab(edge), Lab(server)
        self.nursery = nursery
        self.door = Door(server, clock)
        self.ran: Counter[str] = Counter()
        """What was worked on, by what the process is told in its arguments."""
        self.upstream = Upstream(
            name="up", url="http://up.test", colonyname="lab", executorname="edge", executortype="cam"
        )
        self.upstream.offload, self.upstream.accept = ["missing"], ["cam"]
        self.live = Live()
        self.owner: Signer | None = None
        self.link: Link | None = None
        self.post: Reference | None = None
        self._scope = trio.CancelScope()

    async def found(self) -> Outpost:
        """Colonies on both sides, and the executor that the lower node is."""
        await self.here.found()
        await self.there.found()
        record = {"executorid": EDGE.id, "executorname": "edge", "executortype": "cam", "colonyname": "lab"}
        await self.server.call(self.there.owner, "addexecutormsg", executor=record)
        await self.server.call(self.there.owner, "approveexecutormsg", colonyname="lab", executorname="edge")
        return self

    def make_post(self) -> Reference:
        """A new adapter over the store, as after a start."""
        self.upstream = self.edge.store.write(lambda tx: upstreams.put(tx, self.upstream, ""))
        self.post = Reference(self.edge.service, self.upstream, self.door, EDGE.key, self.owner)
        return self.post

    async def start(self) -> None:
        """Begin to drive the link."""
        post = self.make_post()
        self.live = Live()
        self.link = Link(self.edge.service, NODEID, self.upstream, post, self.live, plain=True, dice=lambda: 0.5)
        self.edge.service.hear = lambda event: self.link.changed() if self.link else None
        self._scope = trio.CancelScope()

        async def run(scope: trio.CancelScope, link: Link) -> None:
            with scope:
                await link.run()

        self.nursery.start_soon(run, self._scope, self.link)

    def stop(self) -> None:
        """End the link at once."""
        self._scope.cancel()
        self.link = None

    async def hire(self, lab: Lab, name: str, executortype: str, seconds: float = 3.0) -> Party:
        """A worker that takes, logs and closes."""
        party = await lab.join(name, executortype)
        self.nursery.start_soon(self._work, lab, party, seconds)
        return party

    async def _work(self, lab: Lab, party: Party, seconds: float) -> None:
        while True:
            try:
                process = await lab.assign(party, 60)
            except Refused:
                continue
            await self.one(lab, party, process, seconds)

    async def one(self, lab: Lab, party: Party, process: Any, seconds: float = 3.0) -> None:
        """Work on a process."""
        word = process["spec"]["args"][0]
        self.ran[word] += 1
        try:
            for number in range(2):
                await trio.sleep(seconds / 2)
                call = lab.node.call
                await call(party, "addlogmsg", processid=process["processid"], message=f"{word} {number}")
            await lab.close(party, process, [f"{word} done"])
        except Refused:
            pass  # it was taken from it

    async def ended(self, lab: Lab, process: Any, patience: float = 3600) -> Any:
        """A process once it is at its end."""
        deadline = trio.current_time() + patience
        now = await lab.get(process)
        while now["state"] <= RUNNING and trio.current_time() < deadline:
            await trio.sleep(1)
            now = await lab.get(process)
        return now

    async def lines(self, lab: Lab, process: Any) -> list[str]:
        """The log of a process."""
        asked = {"colonyname": lab.name, "processid": process["processid"], "count": 500}
        return [line["message"] for line in await lab.node.call(lab.user, "getlogsmsg", **asked) or []]

    async def copies(self, process: Any) -> list[Any]:
        """The processes at the upper node that stand for one of the lower one."""
        asked = {"colonyname": "lab", "count": 100, "label": f"offload:{process['processid']}"}
        found: list[Any] = []
        for state in range(5):
            found += await self.server.call(self.there.user, "getprocessesmsg", state=state, **asked) or []
        return found


@asynccontextmanager
async def open_outpost(folder: Path, clock: trio.testing.MockClock) -> AsyncIterator[Outpost]:
    """Two nodes with their colonies; the link has not begun."""
    async with (
        open_node(folder / "edge", clock, Rules(nodeid=NODEID)) as edge,
        open_node(folder / "server", clock) as server,
        trio.open_nursery() as nursery,
    ):
        yield await Outpost(edge, server, nursery, clock).found()
        nursery.cancel_scope.cancel()
