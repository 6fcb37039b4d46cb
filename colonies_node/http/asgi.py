"""What the doors share of ASGI: reading a request to its end, answering it, what is told of a fault, and noticing that
the client is gone."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from colonies_node.core import limits
from colonies_node.core.errors import ColonyError, Internal, TimedOut, TooLarge

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)

TEXT = (b"content-type", b"text/plain; charset=utf-8")


class Gone(Exception):
    """The client hung up before its request was complete."""


async def live(receive: Receive, send: Send) -> None:
    """Answer hypercorn's lifespan: there is nothing to start or stop, and `rest` is not made before it is needed."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": event["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def watch(receive: Receive, gone: trio.Event, patience: trio.CancelScope) -> None:
    """Take notice when the client hangs up: set `gone`, and end its patience."""
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
    patience.cancel()


async def read_body(receive: Receive) -> bytes:
    """The request's body. Raises TooLarge, TimedOut when no more of it comes, Gone when the client hangs up."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        with trio.move_on_after(limits.BODY_PATIENCE_S) as patience:
            event = await receive()
        if patience.cancelled_caught:
            raise TimedOut(f"The request did not come whole: nothing more of it came for {limits.BODY_PATIENCE_S} s")
        more = event["type"] == "http.request" and event.get("more_body", False)
        parts.append(event.get("body", b""))
        size += len(parts[-1])
        if size > limits.MAX_BODY:
            raise _too_large()
    if event["type"] == "http.disconnect":
        raise Gone
    return b"".join(parts)


def _too_large() -> TooLarge:
    return TooLarge(f"The request is larger than {limits.MAX_BODY >> 20} MiB: send it in smaller parts")


def told(fault: Exception, what: str = "a request failed") -> ColonyError:
    """What a caller is told of what went wrong; the log has what is none of her business, as `what`."""
    if isinstance(fault, ColonyError):
        return fault
    log.error(what, exc_info=fault)
    return Internal()


async def respond(send: Send, status: int, body: bytes, headers: Any) -> None:
    """Send an answer, with its length."""
    length = () if status == 204 else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})
