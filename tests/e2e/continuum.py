"""Three machines in a chain, as one would find them: servers that die, lines that break, executors that do real work.

    drone (cam) -> edge (cpu) -> hpc (gpu)

Work goes up where no executor is for it, and down where the upper node's work is of a type that the lower one accepts.
A program that runs writes down when it began and when it ended, in one file that all of them append to: that is what
happened, whatever a record says.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio

from colonies_node.http.client import Client
from tests.e2e.programs import Spoken, colonies_node
from tests.e2e.proxy import Proxy
from tests.node import ALICE, OWNER, SERVER

COLONY = "lab"
TYPES = {"drone": "cam", "edge": "cpu", "hpc": "gpu"}
LINKS = {"drone": ("edge", ["cam"]), "edge": ("hpc", ["cpu", "cam"])}
"""Lower node → its upstream, and the types of work that it takes from there."""

SUCCESS, STATES = 2, range(5)
NOT_EPHEMERAL = range(20_000, 32_000)
"""Ports that no outgoing connection is given, so a server that was killed finds its own free again."""


class Machine:
    """A server that is started again, on the same folder and port, whenever it was killed."""

    def __init__(self, name: str, folder: Path, dice: Random) -> None:
        self.name = name
        self.data = folder / name
        self.dice = dice
        self.port = free_port(dice)
        self.server: Spoken | None = None
        self.kills = 0
        self.ready = trio.Event()
        self.ran: list[Spoken] = []
        self._stopped = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def id(self) -> str:
        return (self.data / "node.id").read_text().strip()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the server until `stop`; AssertionError if it ends by itself."""
        settings = ("--port", str(self.port), "--data", str(self.data), "--server-id", SERVER.id)
        while not self._stopped:
            async with colonies_node("serve", *settings) as self.server:
                self.ran.append(self.server)
                await self.server.until("ready:")
                self.ready.set()
                if len(self.ran) == 1:
                    task_status.started()
                await self.server.process.wait()
            assert len(self.ran) == self.kills, f"{self.name} ended by itself: {self.server.lines}"
            await trio.sleep(self.dice.expovariate(2))

    async def kill(self) -> None:
        """End the server at once, as soon as it is up."""
        await self.ready.wait()
        assert self.server is not None, "it is ready"
        self.ready = trio.Event()
        self.kills += 1
        self.server.process.kill()

    async def stop(self) -> None:
        """Do not start it again."""
        self._stopped = True
        await self.kill()

    def troubles(self) -> list[str]:
        """What no server should ever say."""
        lines = [line for server in self.ran for line in server.lines]
        return [f"{self.name} said: {line}" for line in lines if "Traceback" in line or " ERROR " in line]

    @asynccontextmanager
    async def asked_by(self, key: str) -> AsyncIterator[Client]:
        """A client that goes on asking while the server is down: what it says has its effect once."""
        async with Client(self.url, key, door="cbor", timeout=60) as client:
            yield client


def free_port(dice: Random) -> int:
    """A port on which nothing listens."""
    while True:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port := dice.choice(NOT_EPHEMERAL)))
            except OSError:
                continue
            return port


class Continuum:
    """The three machines, the lines between them, and what was submitted where."""

    def __init__(self, folder: Path, dice: Random) -> None:
        self.folder = folder
        self.done = folder / "done"
        self.done.touch()
        self.machines = {name: Machine(name, folder, Random(dice.random())) for name in TYPES}
        self.lines = {
            lower: Proxy(self.machines[upper].port, Random(dice.random())) for lower, (upper, _) in LINKS.items()
        }
        self.home: dict[str, str] = {}
        """Process id → the node on which it was submitted."""
        self.parents: dict[str, list[str]] = {}

    async def begin(self, nursery: trio.Nursery) -> None:
        """Start everything, each node with its upstream and its executor."""
        async with trio.open_nursery() as starting:
            for one in (*self.machines.values(), *self.lines.values()):
                starting.start_soon(nursery.start, one.run)
        for machine in self.machines.values():
            async with machine.asked_by(SERVER.key) as admin, machine.asked_by(OWNER.key) as owner:
                await admin.call("addcolonymsg", colony={"name": COLONY, "colonyid": OWNER.id})
                await owner.call("addusermsg", user={"colonyname": COLONY, "userid": ALICE.id, "name": "alice"})
        for lower, (upper, accept) in LINKS.items():
            record = {"executorid": self.machines[lower].id, "executorname": lower, "executortype": "node"}
            async with self.machines[upper].asked_by(OWNER.key) as owner:
                await owner.call("addexecutormsg", executor=record | {"colonyname": COLONY})
                await owner.call("approveexecutormsg", colonyname=COLONY, executorname=lower)
            upstream = {"name": upper, "url": f"http://127.0.0.1:{self.lines[lower].port}", "colonyname": COLONY}
            rules = {"executorname": lower, "offload": ["missing"], "accept": accept, "record": True}
            async with self.machines[lower].asked_by(SERVER.key) as admin:
                await admin.call("addupstreammsg", upstream=upstream | rules)
        async with trio.open_nursery() as starting:
            for name, executortype in TYPES.items():
                starting.start_soon(nursery.start, self._execute, name, executortype)

    async def _execute(self, name: str, executortype: str, task_status: trio.TaskStatus[None]) -> None:
        place = ("--host", "127.0.0.1", "--port", str(self.machines[name].port), "--colony", COLONY)
        who = ("--name", f"{executortype}-1", "--type", executortype, "--data", str(self.folder / executortype))
        how = ("--shell", "--parallel", "4")
        async with colonies_node("execute", *place, *who, *how, COLONIES_COLONY_PRVKEY=OWNER.key) as executor:
            await executor.until("ready:")
            task_status.started()
            await trio.sleep_forever()

    def _work(self, executortype: str) -> dict[str, Any]:
        """A program that writes down that it ran."""
        script = f'echo "begin $COLONIES_PROCESS_ID" >> {self.done}; echo "end $COLONIES_PROCESS_ID" >> {self.done}'
        conditions = {"colonyname": COLONY, "executortype": executortype}
        return {"funcname": "sh", "args": ["-c", script], "conditions": conditions, "maxexectime": -1}

    async def submit(self, name: str, executortype: str) -> None:
        """Submit a process."""
        async with self.machines[name].asked_by(ALICE.key) as user:
            process = await user.call("submitfuncspecmsg", spec=self._work(executortype))
        self.home[process["processid"]] = name

    async def submit_diamond(self, name: str, types: tuple[str, str, str, str]) -> None:
        """Submit a workflow: one process, two beside each other that wait for it, one that waits for both."""
        first, left, right, last = types
        nodes = {"first": (first, []), "left": (left, ["first"]), "right": (right, ["first"])}
        nodes["last"] = last, ["left", "right"]
        specs = []
        for nodename, (executortype, dependencies) in nodes.items():
            spec = self._work(executortype) | {"nodename": nodename}
            spec["conditions"]["dependencies"] = dependencies
            specs.append(spec)
        async with self.machines[name].asked_by(ALICE.key) as user:
            graph = await user.call("submitworkflowspecmsg", spec={"colonyname": COLONY, "functionspecs": specs})
            for processid in graph["processids"]:
                process = await user.call("getprocessmsg", processid=processid)
                self.home[processid] = name
                self.parents[processid] = process["parents"]

    def heal(self) -> None:
        """The lines are good from now on."""
        for line in self.lines.values():
            line.heal()

    async def settle(self, patience: float) -> None:
        """Wait until everything that was promised is true; AssertionError with what is not."""
        deadline = trio.current_time() + patience
        for lower, (upper, _) in LINKS.items():
            async with self.machines[lower].asked_by(SERVER.key) as admin:
                await admin.call("syncupstreammsg", name=upper)
        while True:
            faults = await self.open_ends() or await self.faults()
            if not faults:
                return
            assert trio.current_time() < deadline, "\n".join(faults[:20])
            await trio.sleep(0.25)

    async def open_ends(self) -> list[str]:
        """What is still under way: a look that costs little."""
        found = []
        for name, machine in self.machines.items():
            async with machine.asked_by(ALICE.key) as user:
                counts = await user.call("getcolonystatsmsg", colonyname=COLONY)
            if open_ones := counts["waitingprocesses"] + counts["runningprocesses"]:
                found.append(f"{open_ones} processes have not ended at {name}")
        return found

    async def faults(self) -> list[str]:
        """Which promises do not hold."""
        found = self.effects()
        states: dict[str, dict[str, int]] = {}
        for name, machine in self.machines.items():
            states[name] = {}
            async with machine.asked_by(ALICE.key) as user:
                for state in STATES:
                    asked = {"colonyname": COLONY, "state": state, "seconds": 86_400}
                    for process in await user.call("getprocesshistmsg", **asked) or []:
                        states[name][process["processid"]] = state
                        late = [one["value"] for one in process["attributes"] if one["key"] == "sync.late"]
                        found += [f"{process['processid'][:8]} ended twice, says {name}: {text}" for text in late]
        for processid, home in self.home.items():
            there = {name: of[processid] for name, of in states.items() if processid in of}
            if home not in there or set(there.values()) != {SUCCESS}:
                found.append(f"{processid[:8]} of {home} has the states {there}")
        for lower, (upper, _) in LINKS.items():
            missing = states[lower].keys() - states[upper].keys()
            found += [f"{processid[:8]} of {lower} is not at {upper}" for processid in missing]
        return found

    def effects(self) -> list[str]:
        """Programs that did not run exactly once, or before those that they wait for."""
        lines = [tuple(line.split()) for line in self.done.read_text().splitlines()]
        times = Counter(lines)
        place = {line: number for number, line in enumerate(lines)}
        found = [
            f"{processid[:8]} of {home} has {times['begin', processid]} begins and {times['end', processid]} ends"
            for processid, home in self.home.items()
            if (times["begin", processid], times["end", processid]) != (1, 1)
        ]
        found += [f"{line} was submitted by nobody" for line in times if line[1] not in self.home]
        if not found:
            found += [
                f"{child[:8]} began before its parent {parent[:8]} had ended"
                for child, parents in self.parents.items()
                for parent in parents
                if place["begin", child] < place["end", parent]
            ]
        return found
