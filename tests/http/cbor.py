"""Talking to a node inside a test over its CBOR door, with what may happen to messages on their way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import trio

from colonies_node.core.identity import Holder
from colonies_node.http import cose
from colonies_node.http.client import Client, Door
from tests.node import NODE, SECOND, Answer, Exchange, Node, Party, Socket, settle

COSE = "application/cose"
NODE_BYTES = bytes.fromhex(NODE.id)
NODE_KEY = Holder(NODE.signer.kid)


@dataclass
class Way(httpx2.AsyncBaseTransport):
    """The way from a client to the node, which keeps what went over it. `lose` tells of each exchange whether it fails,
    and if so, whether before or after the node has it."""

    node: Node
    lose: Callable[[int], str | None] = lambda _: None
    sent: list[bytes] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange."""
        body = await request.aread()
        fate = None
        if request.method == "POST":
            fate = self.lose(len(self.sent))
            self.sent.append(body)
        if fate == "unsent":
            raise httpx2.ConnectError("refused")
        if fate == "request":
            raise httpx2.ReadError("lost")
        exchange = Exchange(body, request.method, request.url.path)
        await exchange.run(self.node.door)
        answer = exchange.answer
        if fate == "answer" or answer is None:
            raise httpx2.ReadError("lost")
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)


def client(
    node: Node,
    party: Party | None,
    door: Door = "cbor",
    way: Way | None = None,
    port: int | None = None,
    **more: Any,
) -> Client:
    """A client of the node under the party's key, whose clock is right; over real connections with a port."""
    more = {"clock": lambda: now(node), **more}
    if port is not None:
        return Client(f"http://127.0.0.1:{port}", party and party.key, door=door, **more)
    return Client("http://node.test", party and party.key, door=door, transport=way or Way(node), **more)


def now(node: Node) -> float:
    """The time of day of a test's node, Unix seconds."""
    return node.service.clock() / SECOND


def message(
    node: Node, party: Party, body: Any, *, good_for: int = 60, cti: bytes = bytes(16), to: bytes = NODE_BYTES
) -> bytes:
    """A request signed by the party."""
    return cose.write_request(party.signer, to, int(now(node)) + good_for, cti, body)


def told(answer: Answer, party: Party | None = None) -> Any:
    """What a reply says, as the one who asked reads it."""
    assert answer.headers["content-type"] == COSE
    return cose.read_reply(answer.body, NODE_KEY, party.signer.kid if party else b"").body


async def say(node: Node, party: Party, body: Any, **more: Any) -> Any:
    """What the node replies to a payload signed by the party."""
    return told(await node.post(message(node, party, body, **more), path="/cbor"), party)


class Wire(Socket):
    """A websocket to the node's CBOR door. `replies` is what came for a party, by the id of the message."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.frames_sent: list[bytes] = []

    async def ask(self, party: Party | None, body: Any, /, **more: Any) -> None:
        """Send a message signed by the party."""
        assert party is not None
        await self.send(message(self.node, party, body, **more))

    def told(self, party: Party) -> list[tuple[int, Any]]:
        """(number of the message, what the reply says) of each frame since the last look; a message's number is its
        id."""
        frames, self.frames_sent = self.frames_sent, []
        replies = [cose.read_reply(frame, NODE_KEY, party.signer.kid) for frame in frames]
        return [(int.from_bytes(reply.cti, "big"), reply.body) for reply in replies]

    async def _take(self, event: Any) -> None:
        await trio.lowlevel.checkpoint()
        if event["type"] != "websocket.send":
            self.accepted = event["type"] == "websocket.accept"
            return
        await self.reading.wait()
        self.frames_sent.append(event["bytes"])


def number(value: int) -> bytes:
    """The id of a message."""
    return value.to_bytes(16, "big")


async def open_wire(node: Node) -> Wire:
    """A websocket to the node's CBOR door."""
    wire = Wire(node)
    node.nursery.start_soon(wire.run, node.door, "/cbor")
    await settle()
    return wire
