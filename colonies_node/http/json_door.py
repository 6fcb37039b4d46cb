"""The JSON door: `POST /api`, `GET /health`, the websocket, and the way to everything else (protocol/core.md, 2).

A thin ASGI app, since it is the hot path: it knows envelopes, signatures and connections, and leaves every decision
to the service. Every failure is an envelope with a sentence; the reply is text/plain, as all clients expect.
"""

from __future__ import annotations

from typing import Any

from colonies_node.core.broker.table import TABLE, Kind, Row
from colonies_node.core.errors import BadRequest, Denied
from colonies_node.core.identity import recover
from colonies_node.core.model.wire import Malformed
from colonies_node.http import envelope, pubsub
from colonies_node.http.asgi import TEXT, App, Gone, Receive, Send, live, read_body, respond, told
from colonies_node.http.meter import GONE, Exchange
from colonies_node.http.polling import poll
from colonies_node.http.service import Service

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
            body = await self._reply(await read_body(receive), exchange, receive, send, headers)
        except Gone:
            exchange.status = GONE
        except Exception as fault:
            refusal = told(fault)
            exchange.status, body = refusal.status, envelope.failure(refusal)
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
        message = row.read(payload)
        if row.kind is not Kind.POLL:
            reply = await self.service.answer(row, message, caller, Row.show)
            return envelope.success(row.reply_type or row.msgtype, reply)

        async def answer(reply: bytes) -> None:
            await self._respond(send, 200, envelope.success(row.msgtype, reply), headers)

        if not await poll(self.service, row, message, caller, receive, answer, Row.show):
            exchange.status = GONE
        return None

    async def _respond(self, send: Send, status: int, body: bytes, headers: Any) -> None:
        if self.service.closing:
            # Or the client's next request comes on a connection that nobody reads any more.
            headers = (*headers, (b"connection", b"close"))
        await respond(send, status, body, headers)


def _foreign_origin(scope: Any) -> bool:
    origin = host = b""
    for name, value in scope["headers"]:
        if name == b"origin":
            origin = value
        elif name == b"host":
            host = value
    return bool(origin) and origin not in (b"http://" + host, b"https://" + host)
