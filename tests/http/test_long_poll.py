"""A client that hangs up takes no process with it, and a server that stops answers everybody who waits."""

from __future__ import annotations

import base64
import json
import random
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from colonies_node.core import limits
from colonies_node.core.errors import Refused
from colonies_node.core.identity import id_of
from colonies_node.http.client import Client
from colonies_node.http.server import listen, make_config
from tests.e2e.programs import colonies_node
from tests.lab import COLONY, Lab
from tests.node import ALICE, OWNER, RUNNING, WAITING, Exchange, Node, Party, request, settle

RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"
"""SO_LINGER with no patience: closing resets the connection."""


# -- without sockets -------------------------------------------------------------------------------------------------


async def test_who_hangs_up_while_waiting_gets_nothing_and_somebody_else_does(lab: Lab) -> None:
    gone, there = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob"))
    gone.hang_up()
    await settle()
    process = await lab.submit()
    await settle()
    assert gone.sent == []
    assert there.answer is not None and there.answer.payload["processid"] == process["processid"]


@pytest.mark.parametrize("first", ["hang up", "submit"])
async def test_who_hangs_up_at_the_moment_of_the_submit_gives_way(lab: Lab, first: str) -> None:
    ann, bob = await lab.poll(await lab.join("ann")), await lab.poll(await lab.join("bob"))
    async with trio.open_nursery() as nursery:
        if first == "hang up":
            ann.hang_up()
        nursery.start_soon(lab.submit)
        if first == "submit":
            # The commit has the submit, the waiter has not run yet.
            await trio.lowlevel.checkpoint()
            await trio.lowlevel.checkpoint()
            ann.hang_up()
    await settle()
    assert [exchange.answer is not None for exchange in (ann, bob)].count(True) == 1
    ((state, assignee),) = lab.node.store.read(lambda tx: tx.all("select state, assignedexecutorid from processes"))
    assert state == RUNNING
    told = ann if ann.answer is not None else bob
    assert told.answer is not None and told.answer.payload["assignedexecutorid"] == assignee


async def test_a_hang_up_at_any_step_loses_no_process(lab: Lab) -> None:
    """The client goes at the k-th turn of the event loop, for every k until the answer is out."""
    ann = await lab.join("ann")
    for k in range(30):
        process = await lab.submit()
        exchange = Exchange(request(ann, "assignprocessmsg", colonyname=COLONY, timeout=60))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchange.run, lab.node.door)
            for _ in range(k + 1):
                await trio.lowlevel.checkpoint()
            sent = len(exchange.sent)
            exchange.hang_up()
        state = (await lab.get(process))["state"]
        if exchange.answer is None:
            assert state == WAITING, f"lost at turn {k}"
            await lab.node.call(lab.user, "removeprocessmsg", processid=process["processid"])
        else:
            assert state == RUNNING
            await lab.close(ann, process)
        if sent == 2:
            break
    assert sent == 2 and k > 3


async def test_a_body_that_never_ends_is_given_up(node: Node, mock_clock: trio.testing.MockClock) -> None:
    exchange = Exchange(b"")

    async def receive() -> Any:
        if exchange.sent or not started.is_set():
            started.set()
            return {"type": "http.request", "body": b"{", "more_body": True}
        await trio.sleep_forever()

    started = trio.Event()
    scope = {"type": "http", "method": "POST", "path": "/api", "headers": []}
    mock_clock.autojump_threshold = 0
    before = trio.current_time()
    await node.door(scope, receive, exchange._take)
    assert trio.current_time() - before == limits.BODY_PATIENCE_S
    assert exchange.answer is not None and exchange.answer.refusal is not None
    assert exchange.answer.refusal[0] == 408


# -- with sockets, in one event loop ---------------------------------------------------------------------------------


@asynccontextmanager
async def listening(node: Node) -> AsyncIterator[int]:
    """The node behind hypercorn; its port."""
    stop = trio.Event()
    config = make_config("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        yield await nursery.start(listen, node.door, config, stop.wait)
        node.service.close()
        stop.set()


async def connect(port: int, body: bytes) -> trio.SocketStream:
    """A connection with a request on it."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    head = b"POST /api HTTP/1.1\r\nHost: node.test\r\nContent-Length: %d\r\n\r\n" % len(body)
    await stream.send_all(head + body)
    return stream


def arrived(stream: trio.SocketStream) -> bytes:
    """What the server has sent so far, read without waiting. Nothing else runs meanwhile: all share one loop."""
    try:
        return stream.socket._sock.recv(1 << 20, socket.MSG_DONTWAIT)  # type: ignore[attr-defined, no-any-return]
    except OSError:
        return b""


def answer_in(data: bytes) -> Any:
    """The process in a complete answer to assign, None if it is not complete or a refusal."""
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    if length is None or len(body) < int(length[1]):
        return None
    envelope = json.loads(body)
    return None if envelope["error"] else json.loads(base64.b64decode(envelope["payload"]))


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_in_many_random_interleavings_no_process_is_swallowed(lab: Lab, how: str) -> None:
    luck = random.Random(how)
    ann, bob = await lab.join("ann"), await lab.join("bob")
    delivered: set[str] = set()
    async with listening(lab.node) as port:
        poll = {"colonyname": COLONY, "timeout": 600}
        waiting = await connect(port, request(bob, "assignprocessmsg", **poll))
        read = b""
        for _ in range(200):
            leaving = await connect(port, request(ann, "assignprocessmsg", **poll))
            for _ in range(luck.randrange(12)):
                await trio.lowlevel.checkpoint()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lab.submit)
                for _ in range(luck.randrange(25)):
                    await trio.lowlevel.checkpoint()
                if how == "RST":
                    leaving.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                got = answer_in(arrived(leaving))
                leaving.socket.close()
            if got is not None:
                delivered.add(got["processid"])
            read += await settled(waiting)
            while (process := answer_in(read)) is not None:
                delivered.add(process["processid"])
                read = b""
                await waiting.aclose()
                waiting = await connect(port, request(bob, "assignprocessmsg", **poll))
                read += await settled(waiting)
        await waiting.aclose()
        await settled(waiting)
    states = dict(lab.node.store.read(lambda tx: tx.all("select processid, state from processes")))
    assert len(states) == 200
    lost = {processid for processid, state in states.items() if state == RUNNING} - delivered
    assert not lost, f"{len(lost)} of 200 processes run nowhere"
    assert len(delivered) > 100


async def settled(stream: trio.SocketStream) -> bytes:
    """What has arrived once the server has nothing left to do."""
    got = b""
    for _ in range(3):
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        if stream.socket.fileno() >= 0:
            got += arrived(stream)
    return got


# -- a real server ---------------------------------------------------------------------------------------------------


async def test_a_server_that_is_told_to_stop_answers_everybody_who_waits(tmp_path: Path) -> None:
    arguments = ("serve", "--data", str(tmp_path / "data"), "--port", "0")
    async with colonies_node(*arguments) as server:
        url = await server.url()
        executors = await furnish(url, (tmp_path / "data" / "server.key").read_text().strip(), 20)
        answers: list[tuple[int, str]] = []
        asked = 0

        async def wait_for_work(executor: Party) -> None:
            nonlocal asked
            async with Client(url, executor.key) as client:
                asked += 1
                try:
                    await client.call("assignprocessmsg", colonyname=COLONY, timeout=600, _timeout=60)
                except Refused as refusal:
                    answers.append((refusal.status, refusal.message))

        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for executor in executors:
                    nursery.start_soon(wait_for_work, executor)
                await everybody_waits(url, len(executors))
                server.process.send_signal(signal.SIGTERM)
            assert await server.ended() == 0
        assert answers == [(404, "No process available for assignment")] * 20
        assert [line for line in server.lines if "Traceback" in line or " ERROR " in line] == []
    # In good order: the log is folded into the file.
    assert not (tmp_path / "data" / "colonies.db-wal").exists()


async def furnish(url: str, server_key: str, number: int) -> list[Party]:
    """A colony with a user and executors."""
    executors = [Party(f"executor {n}") for n in range(number)]
    async with Client(url, server_key) as client:
        await client.call("addcolonymsg", colony={"name": COLONY, "colonyid": OWNER.id})
    async with Client(url, OWNER.key) as client:
        user = {"colonyname": COLONY, "name": "alice", "userid": id_of(ALICE.key)}
        await client.call("addusermsg", user=user)
        for executor in executors:
            name = executor.name.replace(" ", "-")
            record = {"executorid": executor.id, "executorname": name, "executortype": "worker", "colonyname": COLONY}
            await client.call("addexecutormsg", executor=record)
            await client.call("approveexecutormsg", colonyname=COLONY, executorname=name)
    return executors


async def everybody_waits(url: str, number: int) -> None:
    """Come back when the front page counts so many waiting executors."""
    async with Client(url, None) as client:
        with trio.fail_after(20):
            while f"<dd>{number}</dd>" not in (await client._http.get("/")).text:
                await trio.lowlevel.checkpoint()
