"""Many calls at a time on one websocket of the CBOR door, each answered when it is ready.

A call whose answer is lost with the connection is sent again as it was, by POST: it has its effect once all the same.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx2
import trio
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException
from wsproto.utilities import ProtocolError

from colonies_node.core import limits
from colonies_node.core.errors import LinkDown, SignatureRefused
from colonies_node.core.identity import Holder
from colonies_node.core.model.wire import Malformed
from colonies_node.http import cose, replies
from colonies_node.http.client import Client


class Pipeline:
    """One websocket under a client's key; safe to share between tasks."""

    def __init__(self, client: Client, session: AsyncWebSocketSession, node: Holder) -> None:
        self._client = client
        self._session = session
        self._node = node
        self._waiting: dict[bytes, trio.MemorySendChannel[Any]] = {}
        self.lost = trio.Event()
        """Set when the connection has ended."""

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        """As Client.call."""
        reply = await self._client.exchange(replies.item(msgtype, fields), _timeout, self._send)
        return replies.result(msgtype, reply)

    async def call_batch(
        self, messages: Sequence[tuple[str, dict[str, Any]]], *, _timeout: float | None = None
    ) -> list[Any]:
        """As Client.call_batch."""
        return replies.results(messages, await self._client.exchange(replies.items(messages), _timeout, self._send))

    @asynccontextmanager
    async def subscribe(self, msgtype: str, /, **fields: Any) -> AsyncIterator[Events]:
        """A subscription, for as long as somebody reads its events. Raises LinkDown when the connection is lost."""
        message, cti = self._client.sign(replies.item(msgtype, fields), self._node, 0)
        with self._hear(cti) as heard:
            await self._put(message)
            yield Events(msgtype, heard)

    async def run(self) -> None:
        """Take replies until the connection ends."""
        try:
            while True:
                reply = cose.read_reply(await self._session.receive_bytes(), self._node, self._client.speaker.kid)
                heard = self._waiting.get(reply.cti)
                if heard is not None:
                    heard.send_nowait(reply.body)
        except (HTTPXWSException, httpx2.HTTPError, Malformed, SignatureRefused):
            pass
        finally:
            self.lost.set()
            for heard in self._waiting.values():
                heard.close()

    async def _send(self, message: bytes, cti: bytes, node: Holder, timeout: float) -> Any:
        if self.lost.is_set():
            return await self._client.post_cbor(message, cti, node, timeout)
        with self._hear(cti) as heard:
            try:
                with trio.fail_after(max(timeout, 0.001)):
                    await self._put(message)
                    return await heard.receive()
            except trio.TooSlowError:
                raise LinkDown(f"no answer from {self._client.url}: it took too long") from None
            except trio.EndOfChannel:
                raise LinkDown("the connection is lost") from None

    async def _put(self, message: bytes) -> None:
        try:
            await self._session.send_bytes(message)
        except (HTTPXWSException, httpx2.HTTPError, ProtocolError) as fault:  # the last: it is being closed
            raise LinkDown("the connection is lost") from fault

    def _hear(self, cti: bytes) -> _Hearing:
        return _Hearing(self._waiting, cti, self.lost.is_set())


class Events:
    """What is told to a subscription, event by event. Reading raises Refused when it is over or may not be, LinkDown
    when the connection is lost."""

    def __init__(self, msgtype: str, heard: trio.MemoryReceiveChannel[Any]) -> None:
        self._msgtype = msgtype
        self._heard = heard

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return replies.result(self._msgtype, await self._heard.receive())
        except trio.EndOfChannel:
            raise LinkDown("the connection is lost") from None


class _Hearing:
    """What comes in reply to one message, for as long as somebody listens."""

    def __init__(self, waiting: dict[bytes, trio.MemorySendChannel[Any]], cti: bytes, lost: bool) -> None:
        self._waiting = waiting
        self._cti = cti
        self._send, self._heard = trio.open_memory_channel[Any](math.inf)
        if lost:
            self._send.close()

    def __enter__(self) -> trio.MemoryReceiveChannel[Any]:
        self._waiting[self._cti] = self._send
        return self._heard

    def __exit__(self, *_: object) -> None:
        del self._waiting[self._cti]
        self._send.close()
        self._heard.close()


@asynccontextmanager
async def open_pipeline(client: Client, http: httpx2.AsyncClient, node: Holder) -> AsyncIterator[Pipeline]:
    """A websocket to the client's server. Raises LinkDown."""
    scheme, _, place = client.url.partition("://")
    address = f"{'wss' if scheme == 'https' else 'ws'}://{place}/cbor"
    opened = False
    try:
        async with http.websocket(address, max_message_size_bytes=limits.MAX_REPLY_BODY) as session:
            pipeline = Pipeline(client, session, node)
            opened = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pipeline.run)
                yield pipeline
                nursery.cancel_scope.cancel()
    except (HTTPXWSException, httpx2.HTTPError, OSError) as fault:
        if opened:
            raise
        raise LinkDown(f"no websocket at {client.url}: {fault}") from fault
