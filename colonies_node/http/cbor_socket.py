"""The websocket `/cbor`: many messages on one connection, and their replies in the order in which they are ready.

Every frame is a request as on `POST /cbor`; the `cti` of a reply says whose it is. Long polls and subscriptions hold
nothing up. One task reads, one writes, and one works on each message that has to wait for something. A connection that
is over is dropped, as on /pubsub; work that was assigned and never sent is taken back.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from colonies_node.core import limits
from colonies_node.core.broker.subscriptions import Watch
from colonies_node.core.broker.table import Kind, Row
from colonies_node.core.errors import BadRequest, ColonyError, TimedOut, Unavailable
from colonies_node.core.model.messages import SubscribeChannel
from colonies_node.http import payload
from colonies_node.http.asgi import Receive, Send, told
from colonies_node.http.assignments import Given
from colonies_node.http.connection import allow_messages, deliver, drop
from colonies_node.http.line import Line
from colonies_node.http.meter import Exchange
from colonies_node.http.pubsub import deadline_of, listen
from colonies_node.http.question import Marks, Question
from colonies_node.http.subscribers import Frame, Subscriber

if TYPE_CHECKING:
    from colonies_node.http.cbor_door import CborDoor

log = logging.getLogger(__name__)


async def serve(door: CborDoor, receive: Receive, send: Send) -> None:
    """Serve one websocket from its handshake to its end."""
    await receive()
    if door.service.closing:
        await send({"type": "websocket.close"})
        return
    allow_messages(limits.MAX_BODY)
    await send({"type": "websocket.accept"})
    connection = _Connection(door)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.read, receive, nursery)
            nursery.start_soon(connection.write, send)
            await connection.wait_until_over()
            await drop()
            # As on /pubsub: what hypercorn still has to tell must be taken before its tasks may go.
            await connection.gone.wait()
            nursery.cancel_scope.cancel()
    finally:
        await connection.take_back_unsent()


@dataclass(frozen=True, slots=True)
class _Reply:
    """A frame to send, and the work that it brings to an executor."""

    data: bytes
    given: Given | None = None


class _Connection:
    def __init__(self, door: CborDoor) -> None:
        self.gone = trio.Event()
        """Set when there is nothing more to read."""
        self.line: Line[_Reply] = Line()
        self._door = door
        self._service = door.service
        self._client = Subscriber(self.line)
        self.over = self._client.over
        self._room = trio.Semaphore(limits.MAX_IN_FLIGHT)
        self._busy = self._waiting = 0
        self._patience = trio.CancelScope(deadline=trio.current_time() + limits.IDLE_S)
        self._unsent: list[_Reply] = []

    async def wait_until_over(self) -> None:
        """Return when the client is gone or was cut off, or nothing was asked for long."""
        self._service.subscribers.enter(self._client)
        try:
            with self._patience:
                await self.over.wait()
        finally:
            self.over.set()
            self._service.subscribers.leave(self._client)

    async def read(self, receive: Receive, nursery: trio.Nursery) -> None:
        """Take requests while the client is there."""
        while (event := await receive())["type"] != "websocket.disconnect":
            if self.over.is_set():
                continue
            data = event.get("bytes")
            await self._take(event["text"].encode() if data is None else data, nursery)
        self.over.set()
        self.gone.set()

    async def write(self, send: Send) -> None:
        """Send what is ready, one frame at a time."""
        while True:
            reply = await self.line.next()
            frame = partial(send, {"type": "websocket.send", "bytes": reply.data})
            if reply.given is None:
                await frame()
            elif self.over.is_set():
                self._unsent.append(reply)
            else:
                # What hangs here is freed when the connection is dropped.
                with trio.CancelScope(shield=True):
                    told = await deliver(frame)
                if told:
                    self._service.assignments.settle(reply.given)
                else:
                    self._unsent.append(reply)

    async def take_back_unsent(self) -> None:
        """Return to the queue what the client was to get and never will."""
        with trio.CancelScope(shield=True):
            for reply in (*self._unsent, *self.line.drain()):
                if reply.given is not None:
                    await self._service.assignments.take_back(reply.given)

    async def _take(self, data: bytes, nursery: trio.Nursery) -> None:
        """Answer a message at once, or begin to."""
        exchange, marks = Exchange(), Marks()
        exchange.begin()
        try:
            request = self._door.read(data)
            marks = Marks(request.kid, request.cti)
            question = self._door.open(request, exchange)
            row = question.row
            if row is not None and row.kind in (Kind.POLL, Kind.SUBSCRIBE):
                if self._waiting >= limits.MAX_SUBSCRIPTIONS:
                    raise BadRequest(f"At most {limits.MAX_SUBSCRIPTIONS} messages can wait on a connection")
                self._waiting += 1
                work = self._poll if row.kind is Kind.POLL else self._subscribe
                self._begin()
                nursery.start_soon(self._wait, work, question, row, exchange, marks)
                return
        except Exception as fault:
            self._refuse(fault, exchange, marks)
            return
        if row is not None and row.kind is Kind.READ and not (row.heavy and row.heavy(question.message)):
            await self._answer(question, exchange, marks)
            self._rest()
            return
        try:
            self._room.acquire_nowait()
        except trio.WouldBlock:
            # Who has as much under way as is worked on at a time is read from again when some of it is done.
            await self._room.acquire()
        self._begin()
        nursery.start_soon(self._work, question, exchange, marks)

    async def _work(self, question: Question, exchange: Exchange, marks: Marks) -> None:
        try:
            await self._answer(question, exchange, marks)
        finally:
            self._room.release()
            self._end()

    async def _answer(self, question: Question, exchange: Exchange, marks: Marks) -> None:
        try:
            reply = await self._door.answer(question)
        except Exception as fault:
            self._refuse(fault, exchange, marks)
        else:
            self._tell(marks, reply)
            self._service.meter.answered(exchange)

    async def _wait(self, work: Any, question: Question, row: Row, exchange: Exchange, marks: Marks) -> None:
        try:
            await work(question, row, marks)
        except Exception as fault:
            self._refuse(fault, exchange, marks)
        else:
            self._service.meter.answered(exchange)
        finally:
            self._waiting -= 1
            self._end()

    async def _poll(self, question: Question, row: Row, marks: Marks) -> None:
        service = self._service
        call = service.call(question.caller)
        given = await service.assignments.assign(row, question.message, call, payload.show, question.once)
        self._tell(marks, given.shown, given)

    async def _subscribe(self, question: Question, row: Row, marks: Marks) -> None:
        listener = _Listener(self, partial(self._door.seal, marks))
        subscribers, message = self._service.subscribers, question.message
        subscribers.enter(listener)
        try:
            if isinstance(message, SubscribeChannel):
                await listen(self._service, listener, row, message, question.caller, binary=True)
                return
            watch: Watch = self._service.look(row, message, question.caller)
            listener.grants.update((question.caller, colonyname) for colonyname in watch.colonynames)
            for topic in watch.topics:
                subscribers.watch(listener, topic, binary=True)
            if watch.present is not None:
                listener.put(subscribers.show(watch.present), binary=True)
            with trio.move_on_at(deadline_of(message.timeout)):
                await listener.over.wait()
                raise Unavailable("The subscription has ended: subscribe again")
            raise TimedOut("The time of the subscription is over")
        finally:
            subscribers.leave(listener)

    def _tell(self, marks: Marks, reply: bytes, given: Given | None = None) -> None:
        data = self._door.seal(marks, reply)
        if given is not None:
            self.line.put_last(_Reply(data, given), len(data))
        elif not self.line.put(_Reply(data), len(data)):
            self.cut_off()

    def cut_off(self) -> None:
        """End the connection: its client does not read what it asked for."""
        if not self.over.is_set():
            log.warning("a client is cut off: it does not read what it asked for")
            self.over.set()

    def _refuse(self, fault: Exception, exchange: Exchange, marks: Marks) -> None:
        refusal: ColonyError = told(fault)
        exchange.status = refusal.status
        self._tell(marks, payload.refuse(refusal))
        self._service.meter.answered(exchange)

    def _begin(self) -> None:
        self._busy += 1
        self._patience.deadline = math.inf

    def _end(self) -> None:
        self._busy -= 1
        self._rest()

    def _rest(self) -> None:
        """With nothing under way, stay for a while."""
        if not self._busy:
            self._patience.deadline = trio.current_time() + limits.IDLE_S


class _Listener(Subscriber):
    """One subscription of a connection: each event is a reply to it."""

    def __init__(self, connection: _Connection, seal: Callable[[bytes], bytes]) -> None:
        super().__init__(connection.line)
        self._connection = connection
        self._seal = seal

    def put(self, frame: Frame, binary: bool) -> bool:
        """As a subscriber; who does not read loses the whole connection."""
        data = self._seal(frame.compact)
        if self.line.put(_Reply(data), len(data)):
            return True
        self._connection.cut_off()
        return False

    def put_last(self, frame: Frame, binary: bool) -> None:
        """As a subscriber."""
        data = self._seal(frame.compact)
        self.line.put_last(_Reply(data), len(data))
