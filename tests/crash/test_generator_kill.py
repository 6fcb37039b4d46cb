"""A server that is killed while arguments are packed loses none that it acknowledged and uses none twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import count
from pathlib import Path

import apsw
import pytest
import trio

from colonies_node.core.errors import LinkDown
from colonies_node.http.client import Client
from tests.crash.clients import COLONY, furnish
from tests.crash.test_kill import copy
from tests.e2e.programs import colonies_node
from tests.node import ALICE

ROUNDS = 8
PACKERS = 4
GENERATORS = {"by number": (5, -1), "by time": (10_000, 1)}
"""Name → (arguments that start a workflow, seconds after which fewer do)."""


@pytest.mark.slow
async def test_every_packed_argument_reaches_one_workflow_whenever_the_server_is_killed(
    tmp_path: Path, luck: random.Random
) -> None:
    data = tmp_path / "data"
    numbers = count()
    generators: dict[str, str] = {}
    sent: set[str] = set()
    packed: set[str] = set()
    for number in range(ROUNDS + 1):
        async with colonies_node("serve", "--data", str(data), "--port", "0") as server:
            url = await server.url()
            if number == 0:
                await furnish(url, (data / "server.key").read_text().strip())
                generators = await add(url)
            with trio.fail_after(60):
                if number == ROUNDS:
                    await drained(url, generators)
                else:
                    async with trio.open_nursery() as nursery:
                        for n in range(PACKERS):
                            generatorid = list(generators.values())[n % len(generators)]
                            nursery.start_soon(pack, url, generatorid, numbers, sent, packed)
                        await trio.sleep(luck.uniform(0.1, 1.2))
                        server.process.kill()
                        await server.ended()
            assert [line for line in server.lines if "Traceback" in line or " ERROR " in line] == []
        check(copy(data, tmp_path / f"after-{number}"), generators, sent, packed)
    assert len(packed) > ROUNDS * PACKERS


async def add(url: str) -> dict[str, str]:
    """The generators: name → id."""
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {"executortype": "worker", "dependencies": after}}
        for name, after in (("root", []), ("leaf", ["root"]))
    ]
    spec = json.dumps({"colonyname": COLONY, "functionspecs": nodes})
    async with Client(url, ALICE.key) as client:
        added = {}
        for name, (trigger, timeout) in GENERATORS.items():
            made = {"name": name, "trigger": trigger, "timeout": timeout, "workflowspec": spec, "colonyname": COLONY}
            added[name] = (await client.call("addgeneratormsg", generator=made))["generatorid"]
        return added


async def pack(url: str, generatorid: str, numbers: count[int], sent: set[str], packed: set[str]) -> None:
    """Pack arguments, none of them twice, until the server is gone."""
    async with Client(url, ALICE.key, timeout=20) as client:
        try:
            while True:
                arg = f"{generatorid} {next(numbers)}"
                sent.add(arg)
                await client.call("packgeneratormsg", generatorid=generatorid, arg=arg)
                packed.add(arg)
        except LinkDown:
            return


async def drained(url: str, generators: dict[str, str]) -> None:
    """Wait until each generator has started what it can."""
    async with Client(url, ALICE.key) as client:
        for name, generatorid in generators.items():
            trigger, timeout = GENERATORS[name]
            left = 0 if timeout > 0 else trigger - 1
            while True:
                if (await client.call("getgeneratormsg", generatorid=generatorid))["queuesize"] <= left:
                    break
                await trio.sleep(0.05)


def check(database: Path, generators: dict[str, str], sent: set[str], packed: set[str]) -> None:
    """What was packed is in one workflow or waits, in its own generator; workflows are whole, and counts are true."""
    connection = apsw.Connection(str(database))
    try:
        specs = connection.execute("select spec from processes where nodename = 'root'").fetchall()
        members = connection.execute("select processgraphid, count(*) from processes group by 1").fetchall()
        waiting = connection.execute("select generatorid, arg from generatorargs").fetchall()
        queues = dict(connection.execute("select generatorid, queuesize from generators").fetchall())
    finally:
        connection.close()
    used = [json.loads(spec)["args"] for (spec,) in specs]
    everything = [arg for args in used for arg in args] + [arg for _, arg in waiting]
    assert max(Counter(everything).values(), default=0) <= 1, "an argument is used twice"
    assert packed <= set(everything), "an acknowledged argument is gone"
    assert set(everything) <= sent
    assert {size for _, size in members} <= {2}
    assert len(members) == len(used)
    assert all(generatorid == arg.split()[0] for generatorid, arg in waiting)
    assert queues == dict.fromkeys(queues, 0) | Counter(generatorid for generatorid, _ in waiting)
    for args in used:
        (generatorid,) = {arg.split()[0] for arg in args}
        assert generatorid != generators["by number"] or len(args) == GENERATORS["by number"][0]
