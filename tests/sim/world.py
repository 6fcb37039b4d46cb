"""A tree of nodes inside one test: real stores, services and links; a simulated clock, network and executors.

All randomness comes from one seed, trio's own included, so a run that fails can be seen again. Nodes are killed at any
instant: a task ends between two steps, and what was committed is there again at the next start. A node may come back
from an old copy of its store, with a wrong clock, or find its links cut; letters are lost, late, doubled.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import trio

from colonies_node.core.broker import access, work
from colonies_node.core.broker.call import Live, Rules
from colonies_node.core.broker.sync import upstreams
from colonies_node.core.broker.table import TABLE
from colonies_node.core.errors import ColonyError, LinkDown
from colonies_node.core.events import Event, ProcessChanged, Waiter
from colonies_node.core.model.sync import Letter, SyncMessage, Upstream
from colonies_node.core.model.wire import decode, encode
from colonies_node.core.store import members, processes
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Transaction
from colonies_node.http.service import Service
from colonies_node.sync.link import Link
from tests.sim.tongues import Json, Tongue

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND
COLONY = "lab"
WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = range(5)


def an_id(name: str) -> str:
    """An id that belongs to a name: nobody signs anything here."""
    return name.encode().hex().ljust(64, "0")[:64]


@dataclass
class Network:
    """What happens to letters. `cut` holds the pairs (lower, upper) whose link is down; `rate` is bytes a second that
    pass in each direction of a link, `delay` seconds that they take besides."""

    dice: Random
    delay: float = 0.05
    loss: float = 0.0
    doubled: float = 0.0
    rate: float = math.inf
    cut: set[tuple[str, str]] = field(default_factory=set)
    letters: int = 0
    sent: int = 0
    answered: int = 0
    """Bytes of letters, and of their answers."""
    _turns: defaultdict[tuple[str, str, bool], trio.StrictFIFOLock] = field(
        default_factory=lambda: defaultdict(trio.StrictFIFOLock)
    )

    async def hop(self, pair: tuple[str, str], size: int, *, up: bool) -> None:
        """Bring so many bytes over a link; never returns when they are lost."""
        if pair in self.cut:
            await trio.sleep(self.dice.uniform(0, 1))
            raise LinkDown("the link is cut")
        if up:
            self.sent += size
        else:
            self.answered += size
        if self.rate < math.inf:
            async with self._turns[*pair, up]:
                await trio.sleep(size / self.rate)
        await trio.sleep(self.dice.expovariate(1 / self.delay))
        if pair in self.cut or self.dice.random() < self.loss:
            await trio.sleep_forever()


class Wire:
    """Carries letters from a lower node to an upper one."""

    def __init__(self, world: World, lower: SimNode, upper: str) -> None:
        self.world = world
        self.lower = lower
        self.upper = upper

    @property
    def traffic(self) -> tuple[int, int]:
        """As sync.link.Post has it."""
        return self.world.network.sent, self.world.network.answered

    async def exchange(self, letter: SyncMessage, patience: float) -> Letter:
        """As sync.link.Post has it."""
        pair = self.lower.name, self.upper
        network, tongue = self.world.network, self.world.tongue
        body = tongue.say(letter)
        network.letters += 1
        with trio.move_on_after(patience):
            await network.hop(pair, len(body), up=True)
            if network.dice.random() < network.doubled:
                self.world.nursery.start_soon(self._again, body)
            answer = await self._arrive(body)
            await network.hop(pair, len(answer), up=False)
            return tongue.read(answer)
        raise LinkDown("no answer came")

    async def _again(self, body: bytes) -> None:
        await trio.sleep(self.world.dice.uniform(0, 30))
        with suppress(ColonyError):
            await self._arrive(body)

    async def _arrive(self, body: bytes) -> bytes:
        upper = self.world.nodes[self.upper]
        if upper.service is None:
            raise LinkDown("nobody is there")
        return await upper.serve(body, an_id(self.lower.name))


class Executor:
    """An executor of a node's colony: takes work, runs it for some time, and reports until it is heard."""

    def __init__(self, node: SimNode, name: str, executortype: str) -> None:
        self.node = node
        self.name = name
        self.type = executortype

    async def run(self) -> None:
        """Work for ever."""
        dice = self.node.world.dice
        while True:
            process = await self._assigned()
            if process is None:
                await trio.sleep(dice.uniform(1, 6))
                continue
            processid = process["processid"]
            self.node.world.ran[processid].append((self.node.name, self.name, trio.current_time()))
            for word in range(dice.randrange(3)):
                await trio.sleep(dice.uniform(0, 3))
                await self._tell("addlogmsg", processid=processid, message=f"{processid[:6]} {word}")
            await trio.sleep(dice.expovariate(1 / 4))
            if dice.random() < self.node.world.failing:
                await self._tell("closefailedmsg", processid=processid, errors=["it went wrong"])
            else:
                await self._tell("closesuccessfulmsg", processid=processid, out=[processid[:8], *process["in"]])

    async def _assigned(self) -> Any:
        def attempt(tx: Transaction) -> Any:
            call = node.service.call(an_id(self.name))
            access.require_member(tx, call, COLONY)
            # As a real executor asks, after an answer was lost, what is running in its name.
            held = processes.held_by(tx, COLONY, an_id(self.name))
            waiter = Waiter(COLONY, self.type, self.name, an_id(self.name), "", None, None)
            row = held[0] if held else work.assign(tx, waiter)
            return (row.processid, row.input) if row else None

        node = self.node
        if node.service is None:
            return None
        with suppress(ColonyError):
            found = await node.work(attempt)
            return found and {"processid": found[0], "in": msgspec.json.decode(found[1])}
        return None

    async def _tell(self, msgtype: str, **fields: Any) -> None:
        """Say something until the node has heard it, or says no."""
        while True:
            if self.node.service is not None:
                try:
                    await self.node.ask(an_id(self.name), msgtype, **fields)
                    return
                except LinkDown:
                    pass
                except ColonyError:
                    return
            await trio.sleep(self.node.world.dice.uniform(0.5, 3))


class SimNode:
    """A node: its store on disk, and while it is up a service and its links."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.folder = world.folder / name
        self.offset = 0
        self.restored = False
        self.ended: Counter[str] = Counter()
        self.upstreams: list[tuple[str, dict[str, Any]]] = []
        self.service: Service | None = None
        self.links: list[Link] = []
        self.executors: list[Executor] = []
        self.troubles: list[str] = []
        self._scope: trio.CancelScope | None = None
        self._down = trio.Event()

    def clock(self) -> int:
        """The node's own time of day."""
        return max(START + self.offset + round(trio.current_time() * SECOND), SECOND)

    async def start(self) -> None:
        """Come up, as after a boot."""
        self._down = trio.Event()
        up = trio.Event()
        self.world.nursery.start_soon(self._live, up)
        await up.wait()

    async def _live(self, up: trio.Event) -> None:
        store = Store(self.folder, self.clock, "normal", entropy=self.world.dice.randbytes)
        try:
            self._found(store)
            service = Service(
                store, Rules(nodeid=an_id("node " + self.name), stale_executor_duration=10**8), self.clock
            )
            service.hear = self.hear
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(service.run)
                    self.links = []
                    for upper, settings in self.upstreams:
                        live = service.links[upper] = Live()
                        upstream = Upstream(name=upper, url=f"http://{upper}", colonyname=COLONY, **settings)
                        upstream = service.store.write(lambda tx, one=upstream: upstreams.put(tx, one, ""))
                        node = Through(service)
                        wire = Wire(self.world, self, upper)
                        link = Link(node, service.rules.nodeid, upstream, wire, live, dice=self.world.dice.random)
                        self.links.append(link)
                        nursery.start_soon(link.run)
                    self.service = service
                    up.set()
        finally:
            self.service = None
            store.close()
            self._down.set()

    def _found(self, store: Store) -> None:
        if store.read(members.server_id):
            return
        store.write(lambda tx: members.set_server_id(tx, an_id("server")))
        self._tell(store, an_id("server"), "addcolonymsg", colony={"colonyid": an_id("owner"), "name": COLONY})
        self._tell(
            store, an_id("owner"), "addusermsg", user={"colonyname": COLONY, "userid": an_id("user"), "name": "eva"}
        )
        for name, executortype in [
            *((executor.name, executor.type) for executor in self.executors),
            *((name, "node") for name in self.world.below(self.name)),
        ]:
            record = {"executorid": an_id(name), "executorname": name, "executortype": executortype}
            self._tell(store, an_id("owner"), "addexecutormsg", executor=record | {"colonyname": COLONY})
            self._tell(store, an_id("owner"), "approveexecutormsg", colonyname=COLONY, executorname=name)

    def _tell(self, store: Store, caller: str, msgtype: str, **fields: Any) -> Any:
        row = TABLE[msgtype]
        message = decode(row.record, encode({"msgtype": msgtype, **fields}))
        from colonies_node.core.broker.call import Call

        return store.write(lambda tx: row.run(tx, message, Call(caller, Rules())))

    def hear(self, event: Event) -> None:
        """Note an end, and tell the links."""
        if isinstance(event, ProcessChanged) and event.process.state > RUNNING:
            self.ended[event.process.processid] += 1
        for link in self.links:
            link.changed()

    async def kill(self) -> None:
        """End at once. What was not committed is gone."""
        if self.service is not None and self._scope is not None:
            self._scope.cancel()
            await self._down.wait()

    def copy(self) -> Path:
        """Make a backup, as it is while the node works."""
        assert self.service is not None, "it is up"
        place = self.world.folder / f"{self.name}.copy"
        place.unlink(missing_ok=True)
        self.service.store._reader.execute("vacuum into ?", (str(place),)).fetchall()
        return place

    def restore(self, copy: Path) -> None:
        """Put an old copy in the place of the store of a node that is down."""
        for path in self.folder.glob("colonies.db*"):
            path.unlink()
        shutil.copy(copy, self.folder / "colonies.db")
        self.restored = True

    async def serve(self, body: bytes, caller: str) -> bytes:
        """Answer a letter. It dies with the node."""
        row = TABLE["syncmsg"]
        service = self.service
        assert service is not None, "looked at before"
        tongue = self.world.tongue
        message = tongue.hear(body)
        return await self._within(lambda: service.exchanges.exchange(row, message, service.call(caller)), tongue.answer)

    async def _within(self, work: Callable[[], Any], show: Callable[[Any], bytes] = encode) -> bytes:
        """Do something as long as the node is up; LinkDown when it is killed meanwhile."""
        down = self._down
        outcome: list[bytes | ColonyError] = []
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await down.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                outcome.append(show(await work()))
            except ColonyError as refusal:
                outcome.append(refusal)
            nursery.cancel_scope.cancel()
        if not outcome:
            raise LinkDown("it was killed")
        if isinstance(outcome[0], ColonyError):
            raise outcome[0]
        return outcome[0]

    async def work(self, change: Callable[[Transaction], Any]) -> Any:
        """Make a change on the node. LinkDown when it is killed meanwhile."""
        service = self.service
        if service is None:
            raise LinkDown("it is down")
        return msgspec.json.decode(await self._within(lambda: service.write(change)))

    async def ask(self, caller: str, msgtype: str, **fields: Any) -> Any:
        """Send a message to the node; the decoded answer. Raises ColonyError."""
        service = self.service
        if service is None:
            raise LinkDown("it is down")
        row = TABLE[msgtype]
        message = row.read(encode({"msgtype": msgtype, **fields}))

        def decide(tx: Transaction) -> Any:
            reply = row.run(tx, message, service.call(caller))
            return msgspec.Raw(encode(reply)) if isinstance(reply, msgspec.Struct) else None

        return await self.work(decide)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What is stored."""
        assert self.service is not None, "it is up"
        return self.service.read(lambda tx: tx.all(query, values))


class Through:
    """A service as a link sees it."""

    def __init__(self, service: Service) -> None:
        self.write = service.write
        self.read = service.read
        self.clock = service.clock
        self.closed = service.closed


class World:
    """All nodes, and what is true of them whatever their records say."""

    def __init__(self, folder: Path, seed: int, nursery: trio.Nursery) -> None:
        self.folder = folder
        self.dice = Random(seed)
        self.nursery = nursery
        self.network = Network(self.dice)
        self.tongue: Tongue = Json()
        self.nodes: dict[str, SimNode] = {}
        self.ran: defaultdict[str, list[tuple[str, str, float]]] = defaultdict(list)
        self.submitted: dict[str, str] = {}
        self.cancelled: set[str] = set()
        self.workflows: dict[str, str] = {}
        self.failing = 0.0

    def add(self, name: str, types: Sequence[str]) -> SimNode:
        """A node with an executor for each type."""
        node = self.nodes[name] = SimNode(self, name)
        node.executors = [Executor(node, f"{name}-{number}", one) for number, one in enumerate(types)]
        return node

    def link(self, lower: str, upper: str, **settings: Any) -> None:
        """Link two nodes."""
        self.nodes[lower].upstreams.append((upper, {"executorname": lower, **settings}))

    def below(self, upper: str) -> list[str]:
        """The nodes that have this one as an upstream."""
        return [node.name for node in self.nodes.values() if any(name == upper for name, _ in node.upstreams)]

    async def begin(self) -> None:
        """Start everything."""
        for node in self.nodes.values():
            await node.start()
            for executor in node.executors:
                self.nursery.start_soon(executor.run)

    async def submit(self, name: str, executortype: str, **spec: Any) -> str | None:
        """Submit a process to a node; None when it is not there to take it."""
        given = {"executortype": executortype, "colonyname": COLONY}
        try:
            process = await self.nodes[name].ask(
                an_id("user"), "submitfuncspecmsg", spec={"funcname": "f", "conditions": given, **spec}
            )
        except LinkDown:
            return None
        self.submitted[process["processid"]] = name
        processid: str = process["processid"]
        return processid

    async def submit_workflow(self, name: str, nodes: dict[str, tuple[str, list[str]]]) -> None:
        """Submit a workflow of "name → (type, names it waits for)"."""
        specs = [
            {
                "nodename": one,
                "funcname": "f",
                "conditions": {"executortype": executortype, "dependencies": dependencies},
            }
            for one, (executortype, dependencies) in nodes.items()
        ]
        try:
            graph = await self.nodes[name].ask(
                an_id("user"), "submitworkflowspecmsg", spec={"colonyname": COLONY, "functionspecs": specs}
            )
        except LinkDown:
            return
        for processid in graph["processids"]:
            self.submitted[processid] = name
            self.workflows[processid] = graph["processgraphid"]

    async def cancel(self, processid: str) -> None:
        """Cancel a process where it was submitted."""
        with suppress(ColonyError):
            await self.nodes[self.submitted[processid]].ask(an_id("user"), "cancelprocessmsg", processid=processid)
            self.cancelled.add(processid)

    def unsettled(self) -> list[str]:
        """What is not at its end, or not told, in any node that is up."""
        found = []
        for node in self.nodes.values():
            if node.service is None:
                found.append(f"{node.name} is down")
                continue
            for processid, state in node.rows("select processid, state from processes where state < 2"):
                found.append(f"{node.name}: {processid[:8]} is {state}")
            for link, processid, role in node.rows(
                "select link, processid, role from shares join links on links.seq = link"
                " where role <> 'heard' and (dirty = 1 or shares.batch > confirmed)"
            ):
                found.append(f"{node.name}: link {link} has not told of {processid[:8]} ({role})")
        return found

    async def settle(self, patience: float = 7200) -> list[str]:
        """Wait until everything is at its end and told; what is not after `patience` seconds."""
        deadline = trio.current_time() + patience
        while True:
            found = self.unsettled()
            if not found or trio.current_time() > deadline:
                return found
            await trio.sleep(20)
