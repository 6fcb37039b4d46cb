"""The JSON door: `POST /api`, `GET /health`, the websocket, and the way to everything else (protocol/core.md, 2).

A thin ASGI app, since it is the hot path: it knows envelopes, signatures and connections, and leaves every decision
to the service. Every failure is an envelope with a sentence; the reply is text/plain, as all clients expect.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from colonies_node.core import limits
from colonies_node.core.broker.call import Call
from colonies_node.core.broker.table import TABLE, Kind, Row
from colonies_node.core.errors import BadRequest, ColonyError, Denied, Internal, TimedOut, TooLarge
from colonies_node.core.identity import recover
from colonies_node.core.model.wire import Malformed
from colonies_node.http import envelope, pubsub
from colonies_node.http.connection import deliver
from colonies_node.http.meter import GONE, Exchange
from colonies_node.http.service import Service

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

TEXT = (b"content-type", b"text/plain; charset=utf-8")
_ALLOW_ANY = (b"access-control-allow-origin", b"*")
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"),
    (b"access-control-allow-headers", b"Origin,Content-Length,Content-Type"),
    (b"access-control-max-age", b"43200"),
    _ALLOW_ANY,
)
_NO_TYPE = (
    "invalid rpcMsg.PayloadType: empty (this usually means the client is misconfigured - check that COLONIES_PRVKEY and"
    " other environment variables are set correctly)"
)

log = logging.getLogger(__name__)


class Gone(Exception):
    """The client hung up before its request was complete."""


class JsonDoor:
    """The ASGI app. `rest` serves every path that is not ours."""

    def __init__(self, service: Service, rest: App) -> None:
        self.service = service
        self.rest = rest

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        if scope["type"] == "websocket":
            if scope["path"] == "/pubsub":
                await pubsub.serve(self.service, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close"})  # before it was accepted: 403, and no connection
            return
        origin = _foreign_origin(scope)
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS" and origin:
            await respond(send, 204, b"", _PREFLIGHT)
        elif path == "/api" and method == "POST":
            await self._api(receive, send, (TEXT, _ALLOW_ANY) if origin else (TEXT,))
        elif path == "/health" and method == "GET":
            await respond(send, 200, b"", (_ALLOW_ANY,) if origin else ())
        else:
            await self.rest(scope, receive, send)

    async def _api(self, receive: Receive, send: Send, headers: Any) -> None:
        exchange = Exchange()
        body: bytes | None = None
        try:
            body = await self._reply(await _read_body(receive), exchange, receive, send, headers)
        except Gone:
            exchange.status = GONE
        except ColonyError as refusal:
            exchange.status, body = refusal.status, envelope.failure(refusal)
        except Exception:
            log.exception("a request failed")
            fault = Internal("internal error, see the log of the server")
            exchange.status, body = fault.status, envelope.failure(fault)
        if body is not None:
            await self._respond(send, exchange.status, body, headers)
        self.service.meter.answered(exchange)

    async def _reply(self, body: bytes, exchange: Exchange, receive: Receive, send: Send, headers: Any) -> bytes | None:
        """The body of a success; None when all is said. Raises ColonyError."""
        exchange.begin()
        try:
            request = envelope.read_request(body)
        except Malformed as fault:
            raise BadRequest(str(fault)) from None
        row = TABLE.get(request.payloadtype)
        caller = ""
        if row is None or row.signed:
            caller = recover(request.payload.encode(), request.signature)
        if row is None or row.kind is Kind.SUBSCRIBE:
            raise Denied(
                f"invalid rpcMsg.PayloadType: {request.payloadtype[:256]}" if request.payloadtype else _NO_TYPE
            )
        exchange.msgtype = row.msgtype
        payload = envelope.payload_of(request)
        if row.kind is Kind.POLL:
            exchange.status = await self._poll(row, payload, caller, receive, send, headers)
            return None
        return envelope.success(*await self.service.answer(row, payload, caller))

    async def _poll(self, row: Row, payload: bytes, caller: str, receive: Receive, send: Send, headers: Any) -> int:
        """Assign: wait for work while the client is there. What it cannot be told goes back to the queue. The status
        of the answer, which is sent."""
        service = self.service
        message = service.read_message(row, payload)
        call = Call(caller, service.rules, service.heard)
        gone = trio.Event()
        status = GONE
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as patience:
                nursery.start_soon(_watch, receive, gone, patience)
                try:
                    given = await service.assignments.assign(row, message, call)
                except ColonyError as refusal:
                    status = refusal.status
                    await self._respond(send, status, envelope.failure(refusal), headers)
                else:
                    # Once the answer is on its way, the end of the exchange reads as a disconnect too: look before.
                    with trio.CancelScope(shield=True):
                        await trio.lowlevel.checkpoint()
                        body = envelope.success(row.msgtype, given.shown)
                        answer = partial(self._respond, send, 200, body, headers)
                        if gone.is_set() or not await deliver(answer):
                            await service.assignments.take_back(given.process)
                        else:
                            status = 200
            nursery.cancel_scope.cancel()
        return status

    async def _respond(self, send: Send, status: int, body: bytes, headers: Any) -> None:
        if self.service.closing:
            # Or the client's next request comes on a connection that nobody reads any more.
            headers = (*headers, (b"connection", b"close"))
        await respond(send, status, body, headers)


async def live(receive: Receive, send: Send) -> None:
    """Answer hypercorn's lifespan: there is nothing to start or stop, and `rest` is not made before it is needed."""
    while (event := await receive())["type"] != "lifespan.shutdown":
        await send({"type": event["type"] + ".complete"})
    await send({"type": "lifespan.shutdown.complete"})


async def _watch(receive: Receive, gone: trio.Event, patience: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
    patience.cancel()


async def _read_body(receive: Receive) -> bytes:
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


def _foreign_origin(scope: Any) -> bool:
    origin = host = b""
    for name, value in scope["headers"]:
        if name == b"origin":
            origin = value
        elif name == b"host":
            host = value
    return bool(origin) and origin not in (b"http://" + host, b"https://" + host)


async def respond(send: Send, status: int, body: bytes, headers: Any) -> None:
    """Send an answer, with its length."""
    length = () if status == 204 else ((b"content-length", b"%d" % len(body)),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})
