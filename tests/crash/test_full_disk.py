"""A disk that fills up under a running node: new work is refused in the order of the policy, what was accepted goes on,
and what was answered is there.

A small ext4 file system on a loop device; that needs root. tests/core/test_pressure.py has the policy in detail.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from colonies_node.core.errors import Refused
from colonies_node.http.client import Client
from tests.crash.clients import COLONY, EXECUTORS, Promises, check, furnish
from tests.crash.test_power import Machine, a_machine
from tests.e2e.programs import Spoken, colonies_node
from tests.node import ALICE, OWNER, Party

MIB = 1 << 20
RESERVE = 8 * MIB
FILLING = "x" * 60_000
"""What makes a process large."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    yield from a_machine(tmp_path)


def free(root: Path) -> int:
    """Bytes that an ordinary user may still fill."""
    disk = os.statvfs(root)
    return disk.f_bavail * disk.f_frsize


def leave(root: Path, size: int) -> Path:
    """Let another program have all of the disk but so many bytes."""
    ballast = root / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free(root) - size, 1))
    return ballast


def serve(machine: Machine, *options: str) -> Any:
    """The node on that disk."""
    return colonies_node("serve", "--data", str(machine.root / "data"), "--port", "0", *options)


async def submit(client: Client, promises: Promises, luck: random.Random, priority: int) -> None:
    """Submit a process; what it was submitted with is kept."""
    number = luck.randrange(1 << 40)
    spec = {
        "funcname": "f",
        "args": [number],
        "kwargs": {"filling": FILLING},
        "env": {"N": str(number)},
        "priority": priority,
        "conditions": {"colonyname": COLONY, "executortype": "worker"},
    }
    process = await client.call("submitfuncspecmsg", spec=spec)
    promises.submitted[process["processid"]] = number


async def fill(url: str, promises: Promises, luck: random.Random, priority: int) -> str:
    """Submit until that is refused; the refusal."""
    said: list[str] = []

    async def one() -> None:
        async with Client(url, ALICE.key, timeout=20) as client:
            while not said:
                try:
                    await submit(client, promises, luck, priority)
                except Refused as refusal:
                    assert refusal.status == 503
                    said.append(refusal.message)

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
    return said[0]


async def work(url: str, executor: Party, promises: Promises, count: int) -> None:
    """Run processes to their end, and log what they do."""
    async with Client(url, executor.key, timeout=20) as client:
        for _ in range(count):
            process = await client.call("assignprocessmsg", colonyname=COLONY, timeout=10)
            processid = process["processid"]
            promises.assigned[processid] = executor.id
            await client.call("addlogmsg", processid=processid, message="hello")
            promises.logged[processid] = 1
            out = [process["spec"]["args"][0]]
            await client.call("closesuccessfulmsg", processid=processid, out=out)
            promises.closed[processid] = out


async def accepted(url: str, promises: Promises, luck: random.Random) -> None:
    """Submit with priority 0 until that is taken."""
    async with Client(url, ALICE.key, timeout=20) as client:
        with trio.fail_after(30):
            while True:
                try:
                    return await submit(client, promises, luck, 0)
                except Refused as refusal:
                    assert refusal.status == 503
                    await trio.sleep(0.1)


async def stop(server: Spoken) -> None:
    """Tell it to go; it closes its store."""
    server.process.send_signal(signal.SIGTERM)
    assert await server.ended() == 0


async def test_a_full_disk_refuses_new_work_by_priority_and_loses_nothing(machine: Machine) -> None:
    luck, promises = random.Random(7), Promises()
    async with serve(machine, "--disk-reserve", "8Mi") as server:
        url = await server.url()
        await furnish(url, (machine.root / "data" / "server.key").read_text().strip())
        ballast = leave(machine.root, 3 * RESERVE)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, url, EXECUTORS[0], promises, 40)
            said = await fill(url, promises, luck, 0)
        assert "new work of a priority below 1 needs 8.0 MiB" in said, said
        assert "submit it with priority 1 or higher" in said
        assert RESERVE // 2 < free(machine.root) < RESERVE + 4 * MIB
        low = len(promises.submitted)

        said = await fill(url, promises, luck, 1)
        assert "new work needs 4.0 MiB" in said, said
        assert len(promises.submitted) > low + 10
        assert "critical" in (await server_info(url))["diskpressure"]

        # What was accepted is assigned, logs and is closed, all of it.
        left = len(promises.submitted) - len(promises.closed)
        with trio.fail_after(120):
            async with trio.open_nursery() as nursery:
                for place, executor in enumerate(EXECUTORS):
                    nursery.start_soon(work, url, executor, promises, left // 3 + (place < left % 3))
        assert len(promises.closed) == len(promises.submitted)
        assert len(await refusals(url)) == 2

        ballast.unlink()
        await accepted(url, promises, luck)
        await server.until("the disk has room again")
        levels = [line for line in server.lines if "the disk " in line]
        assert len(levels) == 3, levels
        await stop(server)
    check(machine.root / "data" / "colonies.db", promises)
    machine.stop()


async def server_info(url: str) -> Any:
    async with Client(url, None) as client:
        return await client.call("getserverinfomsg")


async def refusals(url: str) -> list[str]:
    """What a submit of each priority is told."""
    said = []
    async with Client(url, ALICE.key, timeout=20) as client:
        for priority in (0, 50_000):
            with pytest.raises(Refused) as refusal:
                await submit(client, Promises(), random.Random(1), priority)
            said.append(refusal.value.message)
    return said


async def test_a_node_with_an_upstream_takes_more_work_than_its_disk_holds(machine: Machine, tmp_path: Path) -> None:
    """What it deletes to make room, the upstream has: every process, with its output and its log."""
    luck, promises = random.Random(8), Promises()
    above = tmp_path / "above"
    async with (
        colonies_node("serve", "--data", str(above), "--port", "0") as upper,
        serve(machine, "--disk-reserve", "8Mi") as server,
    ):
        up, url = await upper.url(), await server.url()
        await furnish(up, (above / "server.key").read_text().strip())
        key = (machine.root / "data" / "server.key").read_text().strip()
        await furnish(url, key)
        await join(up, url, key, (machine.root / "data" / "node.id").read_text().strip())
        leave(machine.root, 3 * RESERVE)
        rounds, total = 0, 0
        with trio.fail_after(300):
            while total < 8 * RESERVE:
                async with trio.open_nursery() as nursery:
                    for executor in EXECUTORS:
                        nursery.start_soon(work, url, executor, promises, 10)
                    for _ in range(30):
                        await accepted(url, promises, luck)
                rounds, total = rounds + 1, len(promises.submitted) * len(FILLING)
            await told(up, len(promises.submitted))
        await stop(server)
        await stop(upper)
    check(above / "colonies.db", promises)
    here = machine.root / "data" / "colonies.db"
    assert here.stat().st_size < 3 * RESERVE < total
    left = apsw.Connection(str(here)).execute("select count(*) from processes").get
    assert 0 < left < len(promises.submitted)
    machine.stop()


async def join(up: str, url: str, server_key: str, nodeid: str) -> None:
    """Link the node to the upper one, which keeps records of it."""
    async with Client(up, OWNER.key) as client:
        record = {"executorid": nodeid, "executorname": "edge", "executortype": "node", "colonyname": COLONY}
        await client.call("addexecutormsg", executor=record)
        await client.call("approveexecutormsg", colonyname=COLONY, executorname="edge")
    async with Client(url, server_key) as client:
        upstream = {"name": "up", "url": up, "colonyname": COLONY, "executorname": "edge", "record": True}
        await client.call("addupstreammsg", upstream=upstream)


async def told(up: str, count: int) -> None:
    """Wait until the upper node has so many successes."""
    async with Client(up, ALICE.key) as client:
        while True:
            if (await client.call("getcolonystatsmsg", colonyname=COLONY))["successfulprocesses"] >= count:
                return
            await trio.sleep(0.2)
