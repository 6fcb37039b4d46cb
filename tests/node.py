"""A node inside the test: the real store, service and door without sockets, under a clock that the test moves."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha3_256
from pathlib import Path
from typing import Any

import trio
import trio.testing

from colonies_node.core.broker.call import Rules
from colonies_node.core.errors import Refused
from colonies_node.core.identity import Signer
from colonies_node.core.store import members
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Transaction
from colonies_node.http.cbor_door import CborDoor
from colonies_node.http.connection import STREAM
from colonies_node.http.envelope import write_request
from colonies_node.http.json_door import JsonDoor
from colonies_node.http.rest import Rest
from colonies_node.http.service import Service

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
START = 1_800_000_000 * SECOND
"""Unix nanoseconds at which the time of every test begins (in January 2027)."""

NEVER = "0001-01-01T00:00:00Z"
WAITING, RUNNING, SUCCESS, FAILED, CANCELLED = range(5)
PENDING, APPROVED, REJECTED, UNREGISTERED = range(4)


@dataclass(frozen=True)
class Party:
    """Somebody with a key of her own; the same name has always the same key."""

    name: str

    @cached_property
    def key(self) -> str:
        return sha3_256(self.name.encode()).hexdigest()

    @cached_property
    def signer(self) -> Signer:
        return Signer(self.key)

    @property
    def id(self) -> str:
        return self.signer.id


SERVER, OWNER, STRANGER = Party("the server"), Party("the owner of lab"), Party("a stranger")
NODE = Party("the node")
"""The node itself, which signs what it says over CBOR."""

ALICE = Party("alice")
"""A user of the colony `lab`."""


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @cached_property
    def envelope(self) -> dict[str, Any]:
        envelope: dict[str, Any] = json.loads(self.body)
        return envelope

    @cached_property
    def payload(self) -> Any:
        return json.loads(base64.b64decode(self.envelope["payload"], validate=True))

    @property
    def refusal(self) -> tuple[int, str] | None:
        """(status, message) of an error, None for a success."""
        if not self.envelope["error"]:
            return None
        assert self.envelope["payloadtype"] == "error"
        assert self.status == self.payload["status"]
        return self.status, self.payload["message"]


@dataclass
class Exchange:
    """One request on its way; `hang_up` is the client that goes away."""

    body: bytes
    method: str = "POST"
    path: str = "/api"
    headers: Iterable[tuple[bytes, bytes]] = ()
    sent: list[Any] = field(default_factory=list)
    done: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self._tell, self._told = trio.open_memory_channel[Any](10)
        self._tell.send_nowait({"type": "http.request", "body": self.body, "more_body": False})

    async def run(self, app: Callable[..., Any]) -> None:
        """Let the app serve it to its end."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"node.test"), *self.headers],
            "client": ("192.0.2.1", 50000),
            "server": ("192.0.2.2", 50080),
        }
        try:
            await app(scope, self._told.receive, self._take)
        finally:
            self.done.set()

    def hang_up(self) -> None:
        """Close the connection from the client's side."""
        self._tell.send_nowait({"type": "http.disconnect"})

    async def _take(self, event: Any) -> None:
        await trio.lowlevel.checkpoint()
        self.sent.append(event)

    @property
    def answer(self) -> Answer | None:
        """What was sent; None if nothing was."""
        if not self.sent:
            return None
        start = self.sent[0]
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(event.get("body", b"") for event in self.sent[1:]))


class Socket:
    """A websocket to the node. `frames` is what came: (payloadtype, payload), or (status, message) of errors."""

    def __init__(self) -> None:
        self.frames: list[tuple[Any, Any]] = []
        self.binary: list[bool] = []
        self.accepted: bool | None = None
        self.over = trio.Event()
        self.reading = trio.Event()
        self.reading.set()
        self.wary = self.undelivered = False
        self.largest = 0
        self._tell, self._told = trio.open_memory_channel[Any](10_000)
        self._tell.send_nowait({"type": "websocket.connect"})

    async def run(self, app: Callable[..., Any], path: str) -> None:
        """Let the app serve it until the app is done with it."""
        STREAM.set(self)  # type: ignore[arg-type]
        try:
            await app({"type": "websocket", "path": path, "headers": []}, self._told.receive, self._take)
        finally:
            self.over.set()

    async def send(self, body: bytes | str) -> None:
        """Send a frame, and come back when the node waits."""
        kind = "bytes" if isinstance(body, bytes) else "text"
        self._tell.send_nowait({"type": "websocket.receive", "bytes": None, "text": None, kind: body})
        await settle()

    async def ask(self, party: Party | None, msgtype: str, /, **fields: Any) -> None:
        """Send a message signed by the party."""
        await self.send(request(party, msgtype, **fields).decode())

    async def hang_up(self) -> None:
        """Close it from the client's side."""
        self._tell.send_nowait({"type": "websocket.disconnect", "code": 1006})
        await settle()

    async def drop(self) -> None:
        """What the node does to end the connection."""
        self.reading.set()
        self._tell.send_nowait({"type": "websocket.disconnect", "code": 1006})

    def stop_reading(self) -> None:
        """Take no more frames, until `reading` is set."""
        self.reading = trio.Event()

    def take(self) -> list[tuple[Any, Any]]:
        """The frames since the last look."""
        found, self.frames = self.frames, []
        return found

    async def _take(self, event: Any) -> None:
        await trio.lowlevel.checkpoint()
        if event["type"] != "websocket.send":
            self.accepted = event["type"] == "websocket.accept"
            return
        await self.reading.wait()
        text = event.get("text")
        self.binary.append(text is None)
        envelope = json.loads(text or event["bytes"])
        payload = json.loads(base64.b64decode(envelope["payload"]))
        if envelope["error"]:
            self.frames.append((payload["status"], payload["message"]))
        else:
            self.frames.append((envelope["payloadtype"], payload))


class Node:
    """A running node and the ways to talk to it."""

    def __init__(self, store: Store, service: Service, nursery: trio.Nursery) -> None:
        self.store = store
        self.service = service
        self.door = CborDoor(service, NODE.signer, JsonDoor(service, Rest(service)))
        self.nursery = nursery

    async def post(
        self,
        body: bytes,
        *,
        method: str = "POST",
        path: str = "/api",
        headers: Iterable[tuple[bytes, bytes]] = (),
    ) -> Answer:
        """The answer to a request."""
        exchange = Exchange(body, method, path, headers)
        await exchange.run(self.door)
        assert exchange.answer is not None
        return exchange.answer

    async def ask(self, party: Party | None, msgtype: str, /, **fields: Any) -> Answer:
        """The answer to a message signed by the party."""
        return await self.post(request(party, msgtype, **fields))

    async def call(self, party: Party | None, msgtype: str, /, **fields: Any) -> Any:
        """The payload of the answer to a message; raises Refused."""
        answer = await self.ask(party, msgtype, **fields)
        if answer.refusal is not None:
            raise Refused(*answer.refusal)
        assert answer.status == 200
        return answer.payload

    async def begin(self, party: Party, msgtype: str, /, **fields: Any) -> Exchange:
        """Send a message and come back as soon as the node waits for something."""
        exchange = Exchange(request(party, msgtype, **fields))
        self.nursery.start_soon(exchange.run, self.door)
        await settle()
        return exchange

    async def open(self, path: str = "/pubsub") -> Socket:
        """A websocket."""
        socket = Socket()
        self.nursery.start_soon(socket.run, self.door, path)
        await settle()
        return socket

    async def subscribe(self, party: Party, msgtype: str, /, **fields: Any) -> Socket:
        """A websocket with a subscription; its time is a minute if nothing else is said."""
        socket = await self.open()
        await socket.ask(party, msgtype, **{"timeout": 60, **fields})
        return socket

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is stored, but for the moments at which executors were heard: every signed message is one."""
        return self.store.read(_tables)


def _tables(tx: Transaction) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for (table,) in tx.all("select name from sqlite_schema where type = 'table' and name not like 'sqlite%'"):
        columns = [column for (_, column, *_) in tx.all(f"pragma table_info({table})") if column != "lastheardfromtime"]
        found[table] = tx.all(f"select {', '.join(columns)} from {table}")
    return found


def request(party: Party | None, msgtype: str, /, **fields: Any) -> bytes:
    """The body of a request."""
    payload = json.dumps({"msgtype": msgtype, **fields}).encode()
    return write_request(msgtype, payload, party.signer if party else None)


async def settle() -> None:
    """Come back when everybody waits for something."""
    await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def open_node(folder: Path, clock: trio.testing.MockClock, rules: Rules | None = None) -> AsyncIterator[Node]:
    """Run a node over a store in `folder`, owned by SERVER. The time of day follows the clock."""

    def now() -> int:
        return START + round(clock.current_time() * SECOND)

    store = Store(folder, now, "normal")
    try:
        store.write(lambda tx: members.set_server_id(tx, SERVER.id))
        service = Service(store, rules or Rules(), now)
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run)
            yield Node(store, service, nursery)
            nursery.cancel_scope.cancel()
    finally:
        store.close()
