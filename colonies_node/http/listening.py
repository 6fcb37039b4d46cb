"""The client's end of the websocket `/pubsub` (pubsub.py): subscriptions, and what comes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx2
import msgspec
from httpx2.websockets import AsyncWebSocketSession, HTTPXWSException

from colonies_node.core import limits
from colonies_node.core.errors import LinkDown
from colonies_node.core.identity import Signer
from colonies_node.http.envelope import read_reply, write_request

_LOST: Final = (HTTPXWSException, httpx2.HTTPError, OSError)


class Listening:
    """One websocket under a key. Nothing that it says is signed: what it tells is news to go and read."""

    def __init__(self, session: AsyncWebSocketSession, signer: Signer | None) -> None:
        self._session = session
        self._signer = signer

    async def subscribe(self, msgtype: str, /, **fields: Any) -> None:
        """Ask to be told. Nothing answers but the events. Raises LinkDown."""
        payload = msgspec.json.encode({"msgtype": msgtype, **fields})
        try:
            await self._session.send_text(write_request(msgtype, payload, self._signer).decode())
        except _LOST as fault:
            raise LinkDown("the connection is lost") from fault

    async def next(self) -> bytes:
        """The payload of the next event. Raises Refused where a subscription was, LinkDown when the connection ends."""
        try:
            _, payload = read_reply((await self._session.receive_text()).encode())
        except _LOST as fault:
            raise LinkDown("the connection is lost") from fault
        return payload


@asynccontextmanager
async def open_listening(url: str, signer: Signer | None, http: httpx2.AsyncClient) -> AsyncIterator[Listening]:
    """A websocket to the server at `url`. Raises LinkDown when there is none, and when it is lost."""
    scheme, _, place = url.partition("://")
    address = f"{'wss' if scheme == 'https' else 'ws'}://{place}/pubsub"
    try:
        async with http.websocket(address, max_message_size_bytes=limits.MAX_REPLY_BODY) as session:
            yield Listening(session, signer)
    except _LOST as fault:
        raise LinkDown(f"no websocket at {url}: {fault}") from fault
    except BaseExceptionGroup as group:
        # The session has tasks of its own, and groups what goes wrong in them with what comes from here.
        lost, rest = group.split((*_LOST, LinkDown))
        if rest is not None:
            raise
        raise LinkDown(f"the websocket at {url} is lost") from lost
