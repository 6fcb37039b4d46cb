"""The CBOR door: `/cbor`, for every message type of the table (docs/cbor.md).

It knows envelopes, signatures and connections, as the JSON door does, and leaves every decision to the same service.
Whatever is sent, the answer is signed by the node.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from colonies_node import __version__
from colonies_node.core.broker.table import Kind
from colonies_node.core.errors import BadRequest, Denied
from colonies_node.core.identity import Signer
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import Malformed
from colonies_node.core.store.remembered import Once
from colonies_node.http import cbor_socket, cose, payload
from colonies_node.http.asgi import App, Gone, Receive, Send, read_body, respond, told
from colonies_node.http.meter import GONE, Exchange
from colonies_node.http.polling import poll
from colonies_node.http.question import Marks, Question
from colonies_node.http.service import BatchForm, Service

COSE = (b"content-type", b"application/cose")
BATCH = "batch"
"""What a batch is called where requests are counted by message type."""

FORM = BatchForm(payload.show, payload.refuse, payload.join)


class CborDoor:
    """The ASGI app, which replies under the node's own key. `rest` serves every path that is not ours."""

    def __init__(self, service: Service, key: Signer, rest: App) -> None:
        self.service = service
        self.key = key
        self.rest = rest
        self._node = bytes.fromhex(key.id)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan" or scope["path"] != "/cbor":
            await self.rest(scope, receive, send)
        elif scope["type"] == "websocket":
            await cbor_socket.serve(self, receive, send)
        elif scope["method"] == "POST":
            await self._serve(receive, send)
        elif scope["method"] == "GET":
            says = {"node": self._node, "time": self.service.clock() // 1_000_000, "version": __version__}
            await self._respond(send, 200, cose.write_introduction(self.key, says))
        else:
            await self.rest(scope, receive, send)

    def read(self, data: bytes) -> cose.Request:
        """The request in the bytes. Raises BadRequest."""
        try:
            return cose.read_request(data)
        except Malformed as fault:
            raise BadRequest(f"The request cannot be read: {fault}") from None

    def open(self, request: cose.Request, exchange: Exchange) -> Question:
        """What is asked, and by whom. Raises ColonyError: the signature, the time or the message is not right."""
        caller = request.verify(self._node).id
        once = Once(caller, request.cti, request.expiry * SECOND, sha256(request.message.payload).digest())
        self.service.check_expiry(once.expiry)
        try:
            asked = request.body()
        except Malformed as fault:
            raise BadRequest(f"The payload cannot be read: {fault}") from None
        if payload.is_batch(asked):
            exchange.msgtype = BATCH
            return Question(caller, once, None, None, payload.read_batch(asked))
        row, body = payload.message_of(asked)
        exchange.msgtype = row.msgtype
        return Question(caller, once, row, row.read_compact(body), [])

    async def answer(self, question: Question) -> bytes:
        """The payload of the reply to what is neither a poll nor a subscription. Raises ColonyError."""
        if question.row is None:
            return await self.service.answer_batch(question.batch, question.caller, FORM, question.once)
        return await self.service.answer(question.row, question.message, question.caller, payload.show, question.once)

    def seal(self, marks: Marks, reply: bytes) -> bytes:
        """The signed reply with that payload."""
        return cose.write_reply(self.key, marks.kid, marks.cti, reply)

    async def _serve(self, receive: Receive, send: Send) -> None:
        exchange, marks = Exchange(), Marks()

        async def tell(reply: bytes) -> None:
            await self._respond(send, exchange.status, self.seal(marks, reply))

        reply: bytes | None = None
        try:
            data = await read_body(receive)
            exchange.begin()
            request = self.read(data)
            marks = Marks(request.kid, request.cti)
            question = self.open(request, exchange)
            row = question.row
            if row is None or row.kind is not Kind.POLL:
                if row is not None and row.kind is Kind.SUBSCRIBE:
                    raise Denied(f"{row.msgtype} is answered on the websocket /cbor only")
                reply = await self.answer(question)
            elif not await poll(
                self.service, row, question.message, question.caller, receive, tell, payload.show, question.once
            ):
                exchange.status = GONE
        except Gone:
            exchange.status = GONE
        except Exception as fault:
            refusal = told(fault)
            exchange.status, reply = refusal.status, payload.refuse(refusal)
        if reply is not None:
            await tell(reply)
        self.service.meter.answered(exchange)

    async def _respond(self, send: Send, status: int, body: bytes) -> None:
        # Or the client's next request comes on a connection that nobody reads any more.
        headers = (COSE, (b"connection", b"close")) if self.service.closing else (COSE,)
        await respond(send, status, body, headers)
