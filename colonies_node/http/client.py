"""One async client of a Colonies server: signs, posts, and gives back the decoded answer.

It never repeats a request by itself: over the JSON door a lost answer does not tell whether the request took effect, so
the caller decides (look first, then send again).
"""

from __future__ import annotations

import os
import ssl
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from colonies_node.core.errors import LinkDown
from colonies_node.core.identity import Signer
from colonies_node.http.envelope import read_reply, write_request


class Client:
    """A connection pool to one server under one key; safe to share between tasks.

    `url` is `http://host:port` or `https://host:port`. `timeout` is how long to wait for an answer, in seconds;
    `tls_verify` is False to accept any certificate, or the path of a CA file.
    """

    def __init__(
        self,
        url: str,
        private_key: str | Signer | None,
        *,
        timeout: float = 30.0,
        tls_verify: bool | str = True,
    ) -> None:
        self.url = url.rstrip("/")
        self.signer = Signer(private_key) if isinstance(private_key, str) else private_key
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            verify=_tls(tls_verify) if url.startswith("https:") else False,
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def call(self, msgtype: str, /, *, _timeout: float | None = None, **fields: Any) -> Any:
        """Send one message and give back the decoded answer (dict, list or None).

        `_timeout` is this call's own patience in seconds (long polls). Raises Refused when the server says no, LinkDown
        when no answer came: the request may or may not have taken effect then.
        """
        payload = msgspec.json.encode({"msgtype": msgtype, **fields})
        body = write_request(msgtype, payload, self.signer)
        _, answer = await self.post(body, _timeout)
        return msgspec.json.decode(answer)

    async def post(self, body: bytes, timeout: float | None = None) -> tuple[str, bytes]:
        """Send a ready envelope; (payloadtype, payload) of the answer. Raises as `call`."""
        patience: Any = httpx2.USE_CLIENT_DEFAULT if timeout is None else httpx2.Timeout(timeout, connect=10.0)
        try:
            response = await self._http.post("/api", content=body, timeout=patience)
        except httpx2.HTTPError as fault:
            raise LinkDown(f"no answer from {self.url}: {_reason(fault)}") from fault
        except OSError as fault:
            raise LinkDown(f"no answer from {self.url}: {fault.strerror or fault}") from fault
        return read_reply(response.content)

    async def healthy(self) -> bool:
        """Whether the server answers /health with 200."""
        try:
            response = await self._http.get("/health")
        except (httpx2.HTTPError, OSError):
            return False
        return response.status_code == 200


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
