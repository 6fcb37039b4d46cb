"""The executor's line: a websocket where the server has one, requests otherwise, and nothing depends on which."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import MockClock

from colonies_node.core.errors import LinkDown, WrongServer
from colonies_node.device.line import PAUSE_S, QUESTION, Line


class Server:
    """What `http.client.Client` is to a line: counts what comes which way."""

    def __init__(self, *, cbor: bool = True) -> None:
        self.cbor, self.down, self.other = cbor, False, False
        self.node_id: str | None = "n"
        self.said: list[str] = []
        self.looks = self.opened = self.closed = 0
        self.socket: Socket | None = None

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if self.down:
            raise LinkDown("cut")
        self.said.append(f"request {msgtype}")
        return "request"

    async def has_cbor(self) -> bool:
        self.looks += 1
        await trio.lowlevel.checkpoint()
        if self.down:
            raise LinkDown("cut")
        if self.other and self.node_id is not None:
            raise WrongServer("another")
        return self.cbor

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Socket]:
        self.opened += 1
        self.socket = Socket(self)
        try:
            yield self.socket
        finally:
            self.closed += 1


class Socket:
    """One websocket."""

    def __init__(self, server: Server) -> None:
        self.server, self.lost = server, trio.Event()

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if self.lost.is_set():
            raise LinkDown("the connection is lost")
        self.server.said.append(f"socket {msgtype}")
        if fields.get("wait"):
            await trio.sleep_forever()
        return "socket"


@asynccontextmanager
async def line_to(server: Server) -> AsyncIterator[Line]:
    line = Line(server)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(line.run)
        yield line
        nursery.cancel_scope.cancel()


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked()


async def test_what_is_said_first_goes_as_a_request_and_the_rest_over_a_websocket() -> None:
    server = Server()
    async with line_to(server) as line:
        assert await line.call("first") == "request"
        await settled()
        assert [await line.call("second"), await line.call("third")] == ["socket", "socket"]
    assert (server.opened, server.closed) == (1, 1)


async def test_nothing_is_opened_before_something_is_said() -> None:
    server = Server()
    async with line_to(server):
        await settled()
    assert server.looks == 0


async def test_a_question_that_is_taken_back_takes_the_websocket_with_it_and_a_new_one_is_there_at_once() -> None:
    """So the server hears of it, and takes back what it cannot deliver."""
    server = Server()
    async with line_to(server) as line:
        await line.call("first")
        await settled()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: line.call(QUESTION, wait=True))
                await settled()
                scope.cancel()
        await settled()
        assert (server.opened, server.closed) == (2, 1)
        assert await line.call("next") == "socket"


async def test_any_other_call_that_is_cancelled_leaves_the_websocket_alone() -> None:
    server = Server()
    async with line_to(server) as line:
        await line.call("first")
        await settled()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: line.call("addlogmsg", wait=True))
                await settled()
                scope.cancel()
        assert await line.call("next") == "socket"
    assert server.opened == 1


async def test_a_websocket_that_is_lost_is_opened_again_when_something_is_said() -> None:
    server = Server()
    async with line_to(server) as line:
        await line.call("first")
        await settled()
        assert server.socket is not None
        server.socket.lost.set()
        await settled()
        assert server.opened == 1
        assert await line.call("second") == "request"
        await settled()
        assert await line.call("third") == "socket"
    assert server.opened == 2


async def test_a_server_without_the_door_is_asked_for_it_now_and_then(autojump_clock: MockClock) -> None:
    server = Server(cbor=False)
    async with line_to(server) as line:
        for _ in range(100):
            assert await line.call("word") == "request"
            await trio.sleep(PAUSE_S / 10)
        assert 10 <= server.looks <= 11
        server.cbor = True
        await trio.sleep(PAUSE_S)
        await line.call("word")
        await settled()
        assert await line.call("word") == "socket"


async def test_a_link_that_is_down_is_tried_with_growing_pauses_and_used_once_it_is_back(
    autojump_clock: MockClock,
) -> None:
    server = Server()
    server.down = True
    async with line_to(server) as line:
        for _ in range(600):
            try:
                await line.call("word")
            except LinkDown:
                await trio.sleep(1)
        assert server.looks < 100
        server.down = False
        await line.call("word")
        await trio.sleep(60)
        assert await line.call("word") == "socket"


async def test_a_server_that_has_another_key_now_is_met_anew(autojump_clock: MockClock) -> None:
    server = Server()
    server.other = True
    async with line_to(server) as line:
        await line.call("word")
        await trio.sleep(60)
        await line.call("word")
        await trio.sleep(1)
        assert await line.call("word") == "socket"
    assert server.node_id is None
