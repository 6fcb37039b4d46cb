"""The envelope of the JSON door (protocol/core.md, section 2): bytes ⇄ (payloadtype, payload, signature or error).

Request: `{"payloadtype", "payload": base64 of JSON, "signature": hex}`. Reply: `{"payloadtype", "payload", "error"}`,
where an error has payloadtype `error` and the payload `{"status", "message"}`. The signature covers the base64 text
as sent, so a payload is never re-encoded before it is verified.
"""

from __future__ import annotations

import binascii
import re

import msgspec

from colonies_node.core.errors import ColonyError, LinkDown, Refused
from colonies_node.core.identity import Signer
from colonies_node.core.model.wire import Malformed, Record, always, decode, encode

_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)


class Request(Record):
    """What a client posts to /api."""

    payloadtype: str = always(str)
    payload: str = always(str)
    signature: str = always(str)


class Failure(Record):
    """The payload of an error."""

    status: int = always(int)
    message: str = always(str)


class Reply(Record):
    """What comes back from /api."""

    payloadtype: str = always(str)
    payload: str = always(str)
    error: bool = always(bool)


def read_request(body: bytes) -> Request:
    """The envelope in a request's body. Raises Malformed with a text to send back."""
    if not body:
        raise Malformed("unexpected end of JSON input")
    if body.strip(b" \t\r\n") == b"null":
        raise Malformed("the request is null, expected an object with payloadtype, payload and signature")
    try:
        return msgspec.json.decode(body, type=Request)
    except msgspec.ValidationError:
        return _read_leniently(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Malformed(str(fault)) from None


def _read_leniently(body: bytes) -> Request:
    """As wire.decode, but nobody has signed yet: what is in fields that are not ours is passed over, never built."""
    request = Request()
    try:
        for key, value in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items():
            if key.lower() in Request.__struct_fields__:
                setattr(request, key.lower(), msgspec.json.decode(value, type=str | None) or "")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise Malformed(str(fault)) from None
    return request


def payload_of(request: Request) -> bytes:
    """The decoded payload. Line breaks are passed over, and damage ends it, as in the reference."""
    try:
        return binascii.a2b_base64(request.payload, strict_mode=True)
    except ValueError:  # also what is no ASCII
        whole = _BASE64.match(request.payload.replace("\r", "").replace("\n", ""))
        return binascii.a2b_base64(whole[0]) if whole else b""


def success(payloadtype: str, payload: bytes) -> bytes:
    """The body of an answer."""
    # Both parts need no escaping (a known message type, base64), so the envelope is put together by hand: it is the
    # largest copy on the hot path.
    return b'{"payloadtype":"%b","payload":"%b","error":false}' % (
        payloadtype.encode(),
        binascii.b2a_base64(payload, newline=False),
    )


def failure(error: ColonyError) -> bytes:
    """The body of an error answer."""
    payload = encode(Failure(status=error.status, message=error.message))
    return b'{"payloadtype":"error","payload":"%b","error":true}' % binascii.b2a_base64(payload, newline=False)


def write_request(payloadtype: str, payload: bytes, signer: Signer | None) -> bytes:
    """The body of a signed request; without a signer the signature is empty (only two message types need none)."""
    text = binascii.b2a_base64(payload, newline=False)
    signature = signer.sign(text) if signer else ""
    return encode(Request(payloadtype=payloadtype, payload=text.decode(), signature=signature))


def read_reply(body: bytes) -> tuple[str, bytes]:
    """(payloadtype, payload) of an answer.

    Raises Refused with the remote's status and message for an error, LinkDown when the bytes are no envelope.
    """
    try:
        reply = msgspec.json.decode(body, type=Reply)
        payload = binascii.a2b_base64(reply.payload)
        if not reply.error:
            return reply.payloadtype, payload
        fault = decode(Failure, payload)
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError, Malformed):
        raise LinkDown("the answer is no Colonies envelope: is this the address of a Colonies server?") from None
    raise Refused(fault.status, fault.message)
