"""A connection that knows whether its client was still there when the last bytes were sent.

An answer to `assign` that nobody gets would take a process away from everybody. hypercorn keeps a failed send to
itself, and a client that has hung up is noticed only when the reading task comes to it. So this looks at the socket in
the very moment of sending. What is lost after that, inside the network, a process's execution deadline brings back.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

import hypercorn.protocol.ws_stream
import hypercorn.trio.run
import trio
from hypercorn.protocol.ws_stream import FrameTooLargeError, WebsocketBuffer
from hypercorn.trio.tcp_server import TCPServer

KEEPALIVE_S: Final = 60
"""Seconds of silence after which the kernel asks whether the client is still there."""

STREAM: Final[ContextVar[Stream | None]] = ContextVar("stream", default=None)


class Stream(trio.abc.HalfCloseableStream):
    """A trio.SocketStream that, while it is `wary`, does not send to a client which has hung up.

    Only then: a client that closes just its own direction still waits for an answer.
    """

    def __init__(self, inner: trio.SocketStream) -> None:
        self._inner = inner
        self.socket = inner.socket
        self.wary = False
        self.undelivered = False
        self.largest = 0
        """Bytes that a websocket's message may have here, where that is more than usual."""
        self._dropped = False
        self._deaf = False

    async def send_all(self, data: Any) -> None:
        """Send, or raise BrokenResourceError and remember it."""
        if not data:
            # hypercorn ends an answer with an empty send; who has it whole may have closed the connection already.
            await self._inner.send_all(data)
            return
        try:
            if self.wary and self._hung_up():
                raise trio.BrokenResourceError("the client hung up")
            await self._inner.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as fault:
            self.undelivered = True
            raise self._told(fault) from None

    def _hung_up(self) -> bool:
        # trio's own recv gives other tasks their turn first, and so leaves time to hang up.
        handle = self.socket.fileno()
        if handle < 0:
            return True
        peer = socket.socket(self.socket.family, self.socket.type, self.socket.proto, handle)
        try:
            return not peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            peer.detach()

    async def wait_send_all_might_not_block(self) -> None:
        """As trio.SocketStream has it."""
        await self._inner.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """As trio.SocketStream has it."""
        await self._inner.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> Any:
        """As trio.SocketStream has it."""
        try:
            data = await self._inner.receive_some(max_bytes)
            return b"" if self._deaf else data
        except trio.ClosedResourceError as fault:
            raise self._told(fault) from None

    async def aclose(self) -> None:
        """As trio.SocketStream has it."""
        await self._inner.aclose()

    def hear_no_more(self) -> None:
        """Take what comes from now on for the end."""
        self._deaf = True

    async def drop(self) -> None:
        """Close it as it is. To whoever uses it at this moment, TLS included, that looks like a network's doing."""
        self._dropped = True
        await self._inner.aclose()

    def _told(self, fault: Exception) -> Exception:
        return trio.BrokenResourceError("the connection was dropped") if self._dropped else fault


class Message(WebsocketBuffer):
    """A websocket's message as it comes in parts; one that is too large is the last that is read.

    hypercorn's own looks at the size after it has kept a part, and goes on keeping what comes.
    """

    def extend(self, event: Any) -> None:
        """Take a part. FrameTooLargeError if it is one too many."""
        size = self.length + len(event.data)
        if size > self.max_length:
            stream = STREAM.get()
            if stream is None or size > stream.largest:
                if stream is not None:
                    stream.hear_no_more()
                raise FrameTooLargeError
            self.max_length = stream.largest
        super().extend(event)


class Connection(TCPServer):
    """hypercorn's connection, whose requests can ask for its stream."""

    async def run(self) -> None:
        """Serve the connection until it ends."""
        server: Any = self  # hypercorn declares its own two kinds of stream
        if isinstance(server.stream, trio.SocketStream):
            watched = server.stream = Stream(server.stream)
        else:
            watched = server.stream.transport_stream = Stream(server.stream.transport_stream)
        # A client that vanished without a word is noticed by the kernel; hearing nothing is normal for a subscriber.
        watched.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        watched.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        STREAM.set(watched)
        await super().run()


async def deliver(answer: Callable[[], Awaitable[None]]) -> bool:
    """Send an answer; False if it surely did not reach the client, because that had hung up."""
    stream = STREAM.get()
    if stream is None:
        await answer()
        return True
    stream.wary = True
    try:
        await answer()
    finally:
        stream.wary = False
    return not stream.undelivered


async def drop() -> None:
    """Close the connection of this request without another word on it, also when it is stuck in sending."""
    stream = STREAM.get()
    if stream is not None:
        with trio.CancelScope(shield=True):
            await stream.drop()


def allow_messages(size: int) -> None:
    """Let messages on the websocket of this request have so many bytes."""
    stream = STREAM.get()
    if stream is not None:
        stream.largest = size


def watch_connections() -> None:
    """Have hypercorn make such connections and messages; it has no setting for that."""
    hypercorn.protocol.ws_stream.WebsocketBuffer = Message  # type: ignore[misc]
    hypercorn.trio.run.TCPServer = Connection  # type: ignore[attr-defined]
