"""A server that is killed in the middle of workflow closes never leaves a graph half resolved."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

import apsw
import pytest
import trio

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.states import ProcessState, graph_state
from colonies_node.http.client import Client
from tests.crash.clients import COLONY, EXECUTORS, furnish
from tests.crash.test_kill import copy
from tests.e2e.programs import colonies_node
from tests.node import ALICE, Party

ROUNDS = 8
FAN = 6
"""Processes between the first and the last of each workflow."""


@pytest.mark.slow
async def test_no_graph_is_half_resolved_after_any_kill(tmp_path: Path, luck: random.Random) -> None:
    data = tmp_path / "data"
    submitted: set[str] = set()
    closed: set[str] = set()
    for number in range(ROUNDS):
        async with colonies_node("serve", "--data", str(data), "--port", "0") as server:
            url = await server.url()
            if number == 0:
                await furnish(url, (data / "server.key").read_text().strip())
            patience = luck.uniform(0.1, 0.7)
            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(submit, url, submitted)
                    for executor in EXECUTORS:
                        nursery.start_soon(work, url, executor, closed, random.Random(luck.random()))
                    with trio.move_on_after(patience):
                        await trio.sleep_forever()
                    server.process.kill()
                    await server.ended()
            assert [line for line in server.lines if "Traceback" in line or " ERROR " in line] == []
        check(copy(data, tmp_path / f"after-{number}"), submitted, closed)
    assert len(submitted) >= ROUNDS
    assert len(closed) > ROUNDS


async def submit(url: str, submitted: set[str]) -> None:
    """Submit workflows until the server is gone."""
    conditions = {"executortype": "worker"}
    middle = [f"m{i}" for i in range(FAN)]
    after: dict[str, list[str]] = {"first": [], **{name: ["first"] for name in middle}, "last": middle}
    nodes = [
        {"nodename": name, "funcname": "f", "conditions": {**conditions, "dependencies": of}}
        for name, of in after.items()
    ]
    async with Client(url, ALICE.key, timeout=20) as client:
        try:
            while True:
                spec = {"colonyname": COLONY, "functionspecs": nodes}
                submitted.add((await client.call("submitworkflowspecmsg", spec=spec))["processgraphid"])
                await trio.sleep(0.01)  # or the workers see only first processes
        except LinkDown:
            return


async def work(url: str, executor: Party, closed: set[str], luck: random.Random) -> None:
    """Take processes and close them until the server is gone; one of thirty fails."""
    async with Client(url, executor.key, timeout=20) as client:
        while True:
            try:
                process = await client.call("assignprocessmsg", colonyname=COLONY, timeout=10)
                processid = process["processid"]
                if luck.random() < 1 / 30:
                    await client.call("closefailedmsg", processid=processid, errors=["no"])
                else:
                    await client.call("closesuccessfulmsg", processid=processid, out=[process["spec"]["nodename"]])
                    closed.add(processid)
            except Refused as refusal:
                # Another worker's failure may have failed this one too.
                assert refusal.status == 404 or "Tried to set failed process" in refusal.message, refusal
            except LinkDown:
                return


def check(database: Path, submitted: set[str], closed: set[str]) -> None:
    """Every graph is whole, its counts and state are those of its members, and who waits waits for somebody."""
    connection = apsw.Connection(str(database))
    try:
        graphs = connection.execute(
            "select processgraphid, state, waiting, running, successful, failed, cancelled from processgraphs"
        ).fetchall()
        rows = connection.execute("select seq, processid, processgraphid, state, waitforparents from processes")
        members = {seq: tuple(more) for seq, *more in rows}
        parents = defaultdict(set)
        for parent, child in connection.execute("select parent, child from edges"):
            parents[child].add(parent)
    finally:
        connection.close()
    assert submitted <= {graph[0] for graph in graphs}, "an acknowledged workflow is gone"
    of_graph = defaultdict(list)
    for _, processgraphid, state, _ in members.values():
        of_graph[processgraphid].append(state)
    states = {}
    for processgraphid, state, *counts in graphs:
        found = Counter(of_graph[processgraphid])
        assert sum(found.values()) == FAN + 2
        assert counts == [found[state] for state in ProcessState]
        assert state == graph_state(*counts)
        states[processgraphid] = state
    for seq, (processid, processgraphid, state, waitforparents) in members.items():
        failed = states[processgraphid] == ProcessState.FAILED
        assert processid not in closed or state == ProcessState.SUCCESS or failed, "a close is gone"
        if not failed:
            unfinished = [parent for parent in parents[seq] if members[parent][2] != ProcessState.SUCCESS]
            assert waitforparents == len(unfinished)
            assert state == ProcessState.WAITING or not unfinished
