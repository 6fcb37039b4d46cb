"""Clients that load a server and write down what it answered."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import trio

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.http.client import Client
from tests.node import ALICE, OWNER, Party

COLONY = "lab"
DISK_GONE = re.compile("the disk (refuses to be written|is full)|the store's file is damaged|the store failed")
"""What a server says whose disk is gone."""

EXECUTORS = tuple(Party(f"worker {n}") for n in range(3))


@dataclass
class Promises:
    """What was answered: it must be there whatever happens to the server."""

    submitted: dict[str, int] = field(default_factory=dict)
    """Process id → the number that it was submitted with."""
    assigned: dict[str, str] = field(default_factory=dict)
    closed: dict[str, list[Any]] = field(default_factory=dict)
    failed: dict[str, list[str]] = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)


async def furnish(url: str, server_key: str) -> None:
    """The colony, its user and its executors."""
    async with Client(url, server_key) as client:
        await client.call("addcolonymsg", colony={"name": COLONY, "colonyid": OWNER.id})
    async with Client(url, OWNER.key) as client:
        await client.call("addusermsg", user={"colonyname": COLONY, "name": "alice", "userid": ALICE.id})
        for executor in EXECUTORS:
            record = {"executorid": executor.id, "executorname": executor.name, "executortype": "worker"}
            await client.call("addexecutormsg", executor={**record, "colonyname": COLONY})
            await client.call("approveexecutormsg", colonyname=COLONY, executorname=executor.name)


async def submit(url: str, promises: Promises, luck: random.Random) -> None:
    """Submit until the server is gone."""
    conditions = {"colonyname": COLONY, "executortype": "worker"}
    async with Client(url, ALICE.key, timeout=20) as client:
        while True:
            number = luck.randrange(1 << 40)
            spec = {"funcname": "f", "args": [number], "env": {"N": str(number)}, "conditions": conditions}
            try:
                process = await client.call("submitfuncspecmsg", spec=spec)
            except LinkDown:
                return
            except Refused as refusal:
                assert DISK_GONE.search(refusal.message), refusal
                return
            promises.submitted[process["processid"]] = number


async def work(url: str, executor: Party, promises: Promises, luck: random.Random) -> None:
    """Take processes and close them until the server is gone."""
    async with Client(url, executor.key, timeout=20) as client:
        while True:
            try:
                process = await client.call("assignprocessmsg", colonyname=COLONY, timeout=10)
                processid = process["processid"]
                promises.assigned[processid] = executor.id
                if luck.random() < 0.3:
                    await client.call("addlogmsg", processid=processid, message="hello")
                    promises.logged[processid] = 1
                choice = luck.random()
                if choice < 0.7:
                    out = [process["spec"]["args"][0]]
                    await client.call("closesuccessfulmsg", processid=processid, out=out)
                    promises.closed[processid] = out
                elif choice < 0.9:
                    await client.call("closefailedmsg", processid=processid, errors=["no"])
                    promises.failed[processid] = ["no"]
            except Refused as refusal:
                if DISK_GONE.search(refusal.message):
                    return
                assert refusal.status == 404, refusal
            except LinkDown:
                return


async def load(url: str, promises: Promises, luck: random.Random) -> None:
    """Everybody at once, until the server is gone."""
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(submit, url, promises, luck)
        for executor in EXECUTORS:
            nursery.start_soon(work, url, executor, promises, luck)


_COLUMNS = "processid, state, isassigned, assignedexecutorid, starttime, endtime, out, errors, spec"


def check(database: Path, promises: Promises) -> None:
    """The promises are kept, and no process is in a state that cannot be."""
    connection = apsw.Connection(str(database))
    try:
        assert connection.pragma("integrity_check") == "ok"
        rows = {row[0]: row[1:] for row in connection.execute(f"select {_COLUMNS} from processes")}
        attributes = dict(
            connection.execute("select targetid, value from attributes where attributetype = 3").fetchall()
        )
        logs = {row[0] for row in connection.execute("select distinct processid from logs")}
    finally:
        connection.close()
    missing = promises.submitted.keys() - rows.keys()
    assert not missing, f"{len(missing)} acknowledged submits are gone"
    for processid, number in promises.submitted.items():
        assert f'"args":[{number}]' in rows[processid][-1]
        assert attributes[processid] == str(number)
    for processid, out in promises.closed.items():
        assert rows[processid][0] == 2 and rows[processid][5] == str(out).replace(" ", ""), "a close is gone"
    for processid in promises.failed:
        assert rows[processid][0] == 3 and rows[processid][6] == '["no"]', "a close is gone"
    for processid, executorid in promises.assigned.items():
        assert rows[processid][0] != 0 and rows[processid][2] == executorid, "an assignment is gone"
    assert promises.logged.keys() <= logs
    assert attributes.keys() == rows.keys()
    for state, isassigned, assignee, start, end, *_ in rows.values():
        assert state in (0, 1, 2, 3)
        assert bool(isassigned) == bool(assignee) == bool(start) == (state != 0)
        assert bool(end) == (state > 1)
