"""The CBOR door: `/cbor`, for every message type of the table (docs/cbor.md).

It knows envelopes, signatures and connections, as the JSON door does, and leaves every decision to the same service.
Whatever is sent, the answer is signed by the node.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import Any

import msgspec

from colonies_node import __version__
from colonies_node.core import limits
from colonies_node.core.broker.table import TABLE, Kind, Row
from colonies_node.core.errors import BadRequest, ColonyError, Denied, Internal, TooLarge, WrongTime
from colonies_node.core.identity import Signer
from colonies_node.core.model import compact
from colonies_node.core.model.cbor import dumps
from colonies_node.core.model.numbers import MESSAGE_TYPES
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import Malformed
from colonies_node.core.store.remembered import Once
from colonies_node.http import cose
from colonies_node.http.asgi import App, Gone, Receive, Send, read_body, respond
from colonies_node.http.meter import GONE, Exchange
from colonies_node.http.polling import poll
from colonies_node.http.service import Asked, BatchForm, Service

COSE = (b"content-type", b"application/cose")

log = logging.getLogger(__name__)


class CborDoor:
    """The ASGI app, which replies under the node's own key. `rest` serves every path that is not ours."""

    def __init__(self, service: Service, key: Signer, rest: App) -> None:
        self.service = service
        self.key = key
        self.rest = rest
        self._node = bytes.fromhex(key.id)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http" or scope["path"] != "/cbor" or scope["method"] not in ("GET", "POST"):
            await self.rest(scope, receive, send)
        elif scope["method"] == "POST":
            await self._serve(receive, send)
        else:
            says = {"node": self._node, "time": self.service.clock() // 1_000_000, "version": __version__}
            await self._respond(send, 200, cose.write_introduction(self.key, says))

    async def _serve(self, receive: Receive, send: Send) -> None:
        exchange = Exchange()
        kid = cti = b""

        async def answer(reply: bytes) -> None:
            await self._respond(send, exchange.status, cose.write_reply(self.key, kid, cti, reply))

        reply: bytes | None = None
        try:
            data = await read_body(receive)
            exchange.begin()
            request = _read(data)
            kid, cti = request.kid, request.cti
            reply = await self._reply(request, exchange, receive, answer)
        except Gone:
            exchange.status = GONE
        except ColonyError as refusal:
            exchange.status, reply = refusal.status, dumps(refused(refusal))
        except Exception:
            log.exception("a request failed")
            fault = Internal("internal error, see the log of the server")
            exchange.status, reply = fault.status, dumps(refused(fault))
        if reply is not None:
            await answer(reply)
        self.service.meter.answered(exchange)

    async def _reply(self, request: cose.Request, exchange: Exchange, receive: Receive, answer: Any) -> bytes | None:
        """The payload of the reply; None when all is said. Raises ColonyError."""
        caller = request.verify(self._node).id
        once = Once(caller, request.cti, request.expiry * SECOND, sha256(request.message.payload).digest())
        self.service.check_expiry(once.expiry)
        asked = _body(request)
        if is_batch(asked):
            exchange.msgtype = "batch"
            return await self.service.answer_batch(read_batch(asked), caller, FORM, once)
        row, body = message_of(asked)
        exchange.msgtype = row.msgtype
        message = row.read_compact(body)
        if row.kind is not Kind.POLL:
            return await self.service.answer(row, message, caller, show, once)
        if not await poll(self.service, row, message, caller, receive, answer, show, once):
            exchange.status = GONE
        return None

    async def _respond(self, send: Send, status: int, body: bytes) -> None:
        # Or the client's next request comes on a connection that nobody reads any more.
        headers = (COSE, (b"connection", b"close")) if self.service.closing else (COSE,)
        await respond(send, status, body, headers)


def show(row: Row, reply: Any) -> bytes:
    """The payload of a reply to a row."""
    return dumps([0, compact.pack(row.gives, msgspec.json.decode(row.show(reply)))])


def refused(refusal: ColonyError) -> list[Any]:
    """What a reply says of a refusal."""
    told = [refusal.status, refusal.message, refusal.code]
    return [*told, refusal.now] if isinstance(refusal, WrongTime) else told


def message_of(item: Any) -> tuple[Row, Any]:
    """The row of a message and its body. Raises BadRequest, Denied."""
    if type(item) is not list or not 1 <= len(item) <= 2:
        raise BadRequest("A message is an array of its type and its body")
    msgtype = item[0]
    if type(msgtype) is int and 0 <= msgtype < len(MESSAGE_TYPES):
        msgtype = MESSAGE_TYPES[msgtype]
    row = TABLE.get(msgtype) if type(msgtype) is str else None
    if row is None or row.kind is Kind.SUBSCRIBE:
        raise Denied(f"invalid message type: {str(msgtype)[:256]}")
    return row, item[1] if len(item) == 2 else None


def is_batch(asked: Any) -> bool:
    """Whether a payload is several messages."""
    return type(asked) is list and bool(asked) and type(asked[0]) is list


def read_batch(asked: list[Any]) -> list[Asked]:
    """The messages of a batch, or why they are none. Raises TooLarge."""
    if len(asked) > limits.MAX_BATCH_MESSAGES:
        raise TooLarge(f"A batch has at most {limits.MAX_BATCH_MESSAGES} messages, this one has {len(asked)}")
    found: list[Asked] = []
    for item in asked:
        try:
            row, body = message_of(item)
            found.append((row, row.read_compact(body)))
        except ColonyError as refusal:
            found.append(refusal)
    return found


def _refuse(refusal: ColonyError) -> bytes:
    return dumps(refused(refusal))


def _join(replies: list[bytes]) -> bytes:
    """An array of what is CBOR already."""
    number = len(replies)
    head = bytes((0x80 | number,)) if number < 24 else b"\x99" + number.to_bytes(2, "big")
    return head + b"".join(replies)


FORM = BatchForm(show, _refuse, _join)


def _read(data: bytes) -> cose.Request:
    try:
        return cose.read_request(data)
    except Malformed as fault:
        raise BadRequest(f"The request cannot be read: {fault}") from None


def _body(request: cose.Request) -> Any:
    try:
        return request.body()
    except Malformed as fault:
        raise BadRequest(f"The payload cannot be read: {fault}") from None
