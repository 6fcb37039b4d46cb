"""Talking to a node inside a test over its CBOR door, with what may happen to messages on their way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2

from colonies_node.core.identity import Holder
from colonies_node.http import cose
from colonies_node.http.client import Client, Door
from tests.node import NODE, SECOND, Answer, Exchange, Node, Party

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


def client(node: Node, party: Party | None, door: Door = "cbor", way: Way | None = None, **more: Any) -> Client:
    """A client of the node under the party's key, whose clock is right."""
    more = {"clock": lambda: now(node), **more}
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
