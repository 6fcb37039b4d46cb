"""The websocket `/pubsub` (protocol/events.md): subscriptions to processes and to channels, on one connection.

A request is the same signed envelope as on /api, answered by events only, or by an error in an envelope. One task
writes, so frames never mix. Streams of channels run one after the other, since their frames do not say whose they are.

When the time of a process subscription is over, and whenever the server ends a connection, it is dropped without a
closing handshake: clients that wait for a process take a polite end for success (protocol/clients.md, 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio
from msgspec.structs import replace

from colonies_node.core import limits
from colonies_node.core.broker.channels import Backlog
from colonies_node.core.broker.subscriptions import Watch
from colonies_node.core.broker.table import TABLE, Kind, Row
from colonies_node.core.errors import BadRequest, Denied, NotFound, SignatureRefused
from colonies_node.core.identity import recover
from colonies_node.core.model.messages import SubscribeChannel
from colonies_node.core.model.wire import Malformed
from colonies_node.http import envelope
from colonies_node.http.asgi import Receive, Send, told
from colonies_node.http.connection import drop
from colonies_node.http.line import Line
from colonies_node.http.service import Service
from colonies_node.http.subscribers import Frame, Refusal, Stream, Subscriber, of_entries

CHANNEL_TIMEOUT_S: Final = 30
"""How long a stream lasts when its listener does not say."""


async def serve(service: Service, receive: Receive, send: Send) -> None:
    """Serve one websocket from its handshake to its end."""
    await receive()
    if service.closing:
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    connection = _Connection(service)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.read, receive)
        nursery.start_soon(connection.write, send)
        nursery.start_soon(connection.stream)
        await connection.wait_until_over()
        await drop()
        # hypercorn tells of the end last, after what came before it, and does so from the task that writes: it must not
        # be cancelled, nor left with what nobody takes, or the connection's task would stay for good.
        await connection.gone.wait()
        nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class _Request:
    """A signed message, and whether its answers go out as bytes rather than text."""

    row: Row
    message: Any
    caller: str
    binary: bool


class _Connection:
    def __init__(self, service: Service) -> None:
        self.gone = trio.Event()
        """Set when there is nothing more to read."""
        self._service = service
        self._subscribers = service.subscribers
        self._line: Line[tuple[Frame, bool]] = Line()
        self._subscriber = Subscriber(self._line)
        self._patience = trio.CancelScope(deadline=trio.current_time() + limits.IDLE_S)
        self._streams, self._to_stream = trio.open_memory_channel[_Request](limits.MAX_SUBSCRIPTIONS)

    async def wait_until_over(self) -> None:
        """Return when the client is gone, was cut off, or its time is over."""
        self._subscribers.enter(self._subscriber)
        try:
            with self._patience:
                await self._subscriber.over.wait()
        finally:
            self._subscriber.over.set()
            self._subscribers.leave(self._subscriber)

    async def read(self, receive: Receive) -> None:
        """Take requests while the client is there."""
        while (event := await receive())["type"] != "websocket.disconnect":
            if self._subscriber.over.is_set():
                continue
            text = event.get("text")
            self._take(event["bytes"] if text is None else text.encode(), binary=text is None)
        self._subscriber.over.set()
        self.gone.set()

    async def write(self, send: Send) -> None:
        """Send what comes, one frame at a time."""
        while True:
            frame, binary = await self._line.next()
            await send({"type": "websocket.send", **({"bytes": frame.body} if binary else {"text": frame.text})})

    async def stream(self) -> None:
        """Serve the wishes for streams, one after the other."""
        async for request in self._to_stream:
            self._stay(math.inf)
            with self._refusing(request.binary):
                await listen(
                    self._service, self._subscriber, request.row, request.message, request.caller, request.binary
                )
            self._stay(trio.current_time() + limits.IDLE_S)

    def _take(self, body: bytes, binary: bool) -> None:
        try:
            request = envelope.read_request(body)
            caller = recover(request.payload.encode(), request.signature)
        except (Malformed, SignatureRefused):
            self._subscriber.over.set()
            return
        row = TABLE.get(request.payloadtype)
        if row is None or row.kind is not Kind.SUBSCRIBE:
            return
        with self._refusing(binary):
            message = row.read(envelope.payload_of(request))
            self._begin(_Request(row, message, caller, binary))

    def _begin(self, request: _Request) -> None:
        if isinstance(request.message, SubscribeChannel):
            try:
                self._streams.send_nowait(request)
            except trio.WouldBlock:
                raise BadRequest(f"At most {limits.MAX_SUBSCRIPTIONS} subscriptions can wait on a connection") from None
            return
        subscriber = self._subscriber
        watch: Watch = self._service.look(request.row, request.message, request.caller)
        if len(subscriber.topics) + len(watch.topics) > limits.MAX_SUBSCRIPTIONS:
            raise BadRequest(f"A connection can have at most {limits.MAX_SUBSCRIPTIONS} subscriptions")
        # The first of several that is over ends the connection, and so all of them.
        deadline = deadline_of(request.message.timeout)
        self._patience.deadline = min(self._patience.deadline, deadline) if subscriber.topics else deadline
        subscriber.grants.update((request.caller, colonyname) for colonyname in watch.colonynames)
        for topic in watch.topics:
            self._subscribers.watch(subscriber, topic, request.binary)
        if watch.present is not None and not subscriber.put(self._subscribers.show(watch.present), request.binary):
            subscriber.over.set()

    def _stay(self, deadline: float) -> None:
        """Keep the connection until then, unless it has subscriptions, which know better."""
        if not self._subscriber.topics:
            self._patience.deadline = deadline

    @contextmanager
    def _refusing(self, binary: bool) -> Iterator[None]:
        """Answer with what goes wrong inside."""
        try:
            yield
        except Exception as fault:
            if not self._subscriber.put(Refusal(told(fault, "a subscription failed")), binary):
                self._subscriber.over.set()


async def listen(
    service: Service, subscriber: Subscriber, row: Row, message: SubscribeChannel, caller: str, binary: bool
) -> None:
    """Pass on what is said on a channel, from its beginning to the end of the stream. Raises ColonyError to refuse."""
    stream = Stream(subscriber, caller, message.name, binary)
    try:
        with trio.move_on_at(deadline_of(message.timeout or CHANNEL_TIMEOUT_S)):
            # Old entries come in parts, as fast as they are taken. Nothing is committed between the look at the
            # last part and the moment from which the stream hears what is new.
            complete = begun = False
            while not complete:
                try:
                    backlog: Backlog = service.look(row, message, caller)
                except (NotFound, Denied):
                    if not begun:
                        raise
                    stream.end()
                    break
                begun, complete = True, backlog.complete
                message = replace(message, afterseq=backlog.afterseq)
                if complete:
                    stream.colonyname = backlog.colonyname
                    service.subscribers.open(message.processid, stream)
                if backlog.entries:
                    stream.hear(of_entries(backlog.entries))
                if not complete:
                    await subscriber.line.sent.wait()
            await stream.ended.wait()
        stream.rest()
    finally:
        service.subscribers.close(message.processid, stream)


def deadline_of(timeout: int) -> float:
    """When a subscription of so many seconds is over, by trio's clock."""
    return trio.current_time() + min(max(timeout, 0), limits.MAX_SECONDS)
