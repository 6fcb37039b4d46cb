"""One async client of a Colonies server for both doors: signs, posts, and gives back the decoded answer.

Over the JSON door it never repeats a request by itself: a lost answer does not tell there whether the request took
effect, so the caller decides (look first, then send again). Over the CBOR door the same message has its effect once,
so it is sent again until it is answered or its time is over.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import httpx2
import msgspec
import trio

from colonies_node.core import limits
from colonies_node.core.errors import LinkDown, Refused, SignatureRefused, TooLarge, WrongServer
from colonies_node.core.identity import Holder, Signer, new_private_key
from colonies_node.core.model.wire import Malformed
from colonies_node.http import cose
from colonies_node.http.backoff import Backoff
from colonies_node.http.envelope import read_reply, write_request

if TYPE_CHECKING:
    from colonies_node.http.listening import Listening
    from colonies_node.http.pipeline import Pipeline

Door = Literal["json", "cbor"]

Transmit = Callable[[bytes, bytes, Holder, float], Awaitable[Any]]
"""A way to send a message: its bytes, its id, the node that is to sign the reply, and the patience in seconds; what the
reply says. Raises LinkDown."""

ATTEMPT_S: Final = 60.0
"""Seconds for which one copy of a message waits for its answer: after that its connection may be dead."""

MARGIN_S: Final = 60
"""Seconds for which a message is good beyond the caller's patience: clocks may differ by as much."""


class Client:
    """A connection pool to one server under one key; safe to share between tasks.

    `url` is `http://host:port` or `https://host:port`. `timeout` is how long to wait for an answer, in seconds;
    `tls_verify` is False to accept any certificate, or the path of a CA file. `door` is `json` or `cbor`; over `cbor`
    the server must have the key with the id `node_id`, and if that is not given, the one that it shows first
    (`node_id` is that then, and `first_seen` says so). With `persistent` off, a message over
    `cbor` is sent once. `clock` gives Unix seconds, `transport` is another way to the
    server.
    """

    def __init__(
        self,
        url: str,
        private_key: str | Signer | None,
        *,
        door: Door = "json",
        node_id: str | None = None,
        timeout: float = 30.0,
        tls_verify: bool | str = True,
        persistent: bool = True,
        clock: Callable[[], float] = time.time,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.signer = Signer(private_key) if isinstance(private_key, str) else private_key
        self.door = door
        self.node_id = node_id
        self.first_seen = False
        """Whether nobody said which server it is: the first that answered is taken for it."""
        self.sent = self.received = 0
        """Bytes of bodies so far."""
        self._persistent = persistent
        self.speaker = self.signer or Signer(new_private_key(os.urandom(32)))
        """Who signs over CBOR, where everybody must: without a key, somebody whom nobody knows."""
        self._timeout = timeout
        self._clock = clock
        self._offset = 0.0
        """Seconds by which the server's clock is ahead of ours, once it has said so."""
        self._node: Holder | None = None
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            verify=_tls(tls_verify) if url.startswith("https:") else False,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        """Send one message and give back the decoded answer (dict, list or None), the same over both doors.

        `_timeout` is this call's own patience in seconds (long polls). Raises Refused when the server says no, LinkDown
        when no answer came: the request may or may not have taken effect then; WrongServer over CBOR when another
        server answers.
        """
        if self.door == "cbor":
            from colonies_node.http import replies

            return replies.result(msgtype, await self.exchange(replies.item(msgtype, fields), _timeout))
        payload = msgspec.json.encode({"msgtype": msgtype, **fields})
        body = write_request(msgtype, payload, self.signer)
        _, answer = await self.post(body, _timeout)
        try:
            return msgspec.json.decode(answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
            raise LinkDown(f"the answer from {self.url} cannot be read: {fault}") from None

    async def call_batch(
        self, messages: Sequence[tuple[str, dict[str, Any]]], *, _timeout: float | None = None
    ) -> list[Any]:
        """Send several messages; the answers in their order, a Refused in place of each that was refused.

        Over CBOR they are one request and one change on the server's disk; over JSON they go one after the other.
        Raises as `call`.
        """
        if self.door == "cbor":
            from colonies_node.http import replies

            return replies.results(messages, await self.exchange(replies.items(messages), _timeout))
        found: list[Any] = []
        for msgtype, fields in messages:
            try:
                found.append(await self.call(msgtype, _timeout=_timeout, **fields))
            except Refused as no:
                found.append(no)
        return found

    async def post(self, body: bytes, timeout: float | None = None) -> tuple[str, bytes]:
        """Send a ready envelope; (payloadtype, payload) of the answer. Raises as `call`."""
        return read_reply((await self._request("POST", "/api", body, timeout)).content)

    async def healthy(self) -> bool:
        """Whether the server answers /health with 200."""
        try:
            response = await self._http.get("/health")
        except (httpx2.HTTPError, OSError):
            return False
        return response.status_code == 200

    async def has_cbor(self) -> bool:
        """Whether the server has a CBOR door. Raises LinkDown when it does not answer, WrongServer as `call`."""
        try:
            await self.meet(self._timeout)
        except _NotThere:
            return False
        return True

    async def _request(self, method: str, path: str, body: bytes | None, timeout: float | None) -> httpx2.Response:
        patience: Any = httpx2.USE_CLIENT_DEFAULT
        if timeout is not None:
            patience = httpx2.Timeout(timeout, connect=min(timeout, 10.0) if self.door == "cbor" else 10.0)
        self.sent += len(body or b"")
        try:
            response = await self._http.request(method, path, content=body, timeout=patience)
            self.received += len(response.content)
            return response
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
            raise _Unsent(f"no answer from {self.url}: {_reason(fault)}") from fault
        except httpx2.HTTPError as fault:
            raise LinkDown(f"no answer from {self.url}: {_reason(fault)}") from fault
        except OSError as fault:
            raise LinkDown(f"no answer from {self.url}: {fault.strerror or fault}") from fault

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Listening]:
        """A websocket for subscriptions, whatever the door (listening.py). Raises LinkDown when there is none, or it is
        lost."""
        from colonies_node.http.listening import open_listening

        async with open_listening(self.url, self.signer, self._http) as listening:
            yield listening

    # -- the CBOR door

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """A websocket over which many calls go at a time, and subscriptions (pipeline.py). Raises LinkDown when there
        is none, WrongServer."""
        from colonies_node.http.pipeline import open_pipeline

        node = self._node or await self.meet(self._timeout)
        async with open_pipeline(self, self._http, node) as pipeline:
            yield pipeline

    async def exchange(self, body: Any, timeout: float | None, send: Transmit | None = None) -> Any:
        """What the server replies to a payload, however often that has to be sent; `send` is another way than POST.
        Raises as `call`."""
        patience = self._timeout if timeout is None else timeout
        deadline = trio.current_time() + patience
        backoff = Backoff()
        message = cti = b""
        corrected = lost = False
        while True:
            left = deadline - trio.current_time()
            try:
                node = self._node or await self.meet(min(left, ATTEMPT_S))
                if not message:
                    message, cti = self.sign(body, node, max(left, 0))
                wait = min(left, ATTEMPT_S) if self._persistent else left
                reply = await (send or self.post_cbor)(message, cti, node, wait)
            except LinkDown as fault:
                lost = lost or (bool(message) and not isinstance(fault, _Unsent))
                pause = backoff.pause()
                if not self._persistent or isinstance(fault, _NotThere) or trio.current_time() + pause >= deadline:
                    raise
                await trio.sleep(pause)
                continue
            if not _is_wrong_time(reply):
                return reply
            if lost:
                raise LinkDown(
                    f"{self.url} answers that the message's time is over: whether an earlier copy of it took effect,"
                    " whose answer was lost, is not known"
                )
            if corrected:
                raise Refused(reply[0], reply[1], reply[2])
            # It came too late or too early by the server's clock, and so had no effect: sign it anew, by that clock.
            self._offset = reply[3] / 1000 - self._clock()
            corrected, message = True, b""

    def sign(self, body: Any, node: Holder, patience: float) -> tuple[bytes, bytes]:
        """A message with that payload, good for so many seconds and some, and its id."""
        cti = os.urandom(cose.CTI_BYTES)
        expiry = int(self._clock() + self._offset + patience) + MARGIN_S
        return cose.write_request(self.speaker, bytes.fromhex(node.id), expiry, cti, body), cti

    async def post_cbor(self, message: bytes, cti: bytes, node: Holder, timeout: float) -> Any:
        """What the server says to a signed message, sent once. Raises LinkDown, WrongServer."""
        response = await self._request("POST", "/cbor", message, max(timeout, 0.001))
        try:
            reply = cose.read_reply(response.content, node, self.speaker.kid)
        except SignatureRefused:
            self._node = None
            await self.meet(timeout)  # WrongServer, if it is another one now
            raise LinkDown(f"the answer from {self.url} is not signed by its key") from None
        except TooLarge:
            raise Refused(413, f"the answer is larger than {limits.MAX_REPLY_BODY >> 20} MiB") from None
        except Malformed:
            raise self._no_door(response) from None
        if reply.cti and reply.cti != cti:
            raise LinkDown(f"the answer from {self.url} is to another message")
        if not reply.cti and not _is_refusal(reply.body):
            raise LinkDown(f"the answer from {self.url} does not say to which message it is")
        return reply.body

    async def meet(self, timeout: float) -> Holder:
        """Learn the server's key. Raises WrongServer if it is not the one that it should be."""
        response = await self._request("GET", "/cbor", None, max(timeout, 0.001))
        try:
            node, _ = cose.read_introduction(response.content)
        except (Malformed, SignatureRefused):
            raise self._no_door(response) from None
        if self.node_id is None:
            self.node_id, self.first_seen = node.id, True
        if node.id != self.node_id:
            raise WrongServer(
                f"{self.url} is not the server with the node id {self.node_id}, it is {node.id}: if its key was changed"
                " on purpose, give the new id"
            )
        self._node = node
        return node

    def _no_door(self, response: httpx2.Response) -> LinkDown:
        if response.status_code in (404, 405):
            return _NotThere(f"{self.url} has no CBOR door: use the JSON door, or ask its operator")
        return LinkDown(f"the answer from {self.url} is no COSE message: is this the address of a colonies-node?")


class _Unsent(LinkDown):
    """There was no connection: nothing was sent."""


class _NotThere(LinkDown):
    """The server answers, but not this."""


def _is_refusal(reply: Any) -> bool:
    return isinstance(reply, list) and len(reply) >= 3 and type(reply[0]) is int and reply[0] != 0


def _is_wrong_time(reply: Any) -> bool:
    return _is_refusal(reply) and reply[2] == "wrong_time" and len(reply) == 4 and type(reply[3]) is int


def _tls(verify: bool | str) -> Any:
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return verify


def _reason(fault: BaseException) -> str:
    """What went wrong underneath: the transport wraps the system's own words several times."""
    if isinstance(fault, httpx2.TimeoutException):
        return "it took too long"
    told = ""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or cause})"
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
            continue
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0:
            told = os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return told or str(fault) or type(fault).__name__
