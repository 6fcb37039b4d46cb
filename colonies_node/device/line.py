"""The executor's line to its server: one websocket of the CBOR door where the server has it, else requests of JSON.

A websocket costs both sides a third of what a request does. It is opened when something is said, and again after it was
lost. Until it is there, everything goes as requests: so nothing depends on it, and a server without the door is asked
for it only now and then. A question for work that is cancelled takes the websocket down with it, because the server
takes back what it then cannot deliver; a new one is opened at once.
"""

from __future__ import annotations

from typing import Any, Final

import trio

from colonies_node.core.errors import LinkDown, WrongServer
from colonies_node.http.backoff import Backoff
from colonies_node.http.client import Client
from colonies_node.http.pipeline import Pipeline

QUESTION: Final = "assignprocessmsg"

PAUSE_S: Final = 600.0
"""Seconds until a server that had no websocket is asked for one again: it may have been updated."""


class Line:
    """Calls a server as `client` does, faster where the server allows it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pipeline: Pipeline | None = None
        self._wanted, self._down = trio.Event(), trio.Event()

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        """Send one message and give back the decoded answer, as Client.call."""
        pipeline = self._pipeline
        if pipeline is None:
            self._wanted.set()
            return await self._client.call(msgtype, _timeout=_timeout, **fields)
        try:
            return await pipeline.call(msgtype, _timeout=_timeout, **fields)
        except LinkDown:
            self._drop(pipeline)
            raise
        except WrongServer as other:
            self._drop(pipeline)
            raise LinkDown(other.message) from other
        except trio.Cancelled:
            if msgtype == QUESTION:
                self._drop(pipeline)
            raise

    async def run(self) -> None:
        """Keep a websocket open while it is used, until cancelled."""
        backoff = Backoff()
        while True:
            await self._wanted.wait()
            self._wanted, self._down = trio.Event(), trio.Event()
            try:
                if not await self._client.has_cbor():
                    await trio.sleep(PAUSE_S)
                    continue
                async with self._client.pipeline() as self._pipeline:
                    backoff.reset()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._until_lost, self._pipeline)
                        await self._down.wait()
                        nursery.cancel_scope.cancel()
            except WrongServer:
                self._client.node_id = (
                    None  # requests of JSON do not look at it either: another server may have taken over
                )
                await trio.sleep(backoff.pause())
            except LinkDown:
                await trio.sleep(backoff.pause())
            finally:
                self._pipeline = None

    def _drop(self, pipeline: Pipeline) -> None:
        if pipeline is self._pipeline:
            self._pipeline = None
            self._wanted.set()
            self._down.set()

    async def _until_lost(self, pipeline: Pipeline) -> None:
        """A server that closes the websocket has had nothing to do on it: a new one waits until it is wanted."""
        await pipeline.lost.wait()
        if pipeline is self._pipeline:
            self._pipeline = None
            self._down.set()
