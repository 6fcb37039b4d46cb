"""The envelope of the CBOR door: COSE_Sign1 (RFC 9052) under ES256K (RFC 8812), bytes ⇄ headers and payload.

A request says in its protected header who signs (the key id is the public key), until when it is good and which
message it is (`exp` and `cti`, CWT claims as in RFC 9597). What is signed covers the id of the node that it is meant
for, which is not sent, so a message that was overheard is worth nothing elsewhere. A reply is signed by the node,
names the `cti` of its request, and covers the key id of whoever asked.

A payload may be deflated; it is signed as it is sent.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from colonies_node.core import limits
from colonies_node.core.errors import SignatureRefused, TooLarge
from colonies_node.core.identity import Holder, Signer, holder
from colonies_node.core.model.cbor import dumps, end_of, loads
from colonies_node.core.model.wire import Malformed

ALG, CRIT, CONTENT_TYPE, KID, CLAIMS = 1, 2, 3, 4, 15
"""Header parameters (RFC 9052, 3.1; RFC 9597)."""

EXP, CTI = 4, 7
"""Claims (RFC 8392, 3.1)."""

ES256K: Final = -47
DEFLATED: Final = 11060
"""The content format `application/cbor` with the content coding `deflate` (RFC 7252, 12.3)."""

CTI_BYTES: Final = 16

_SIGN1: Final = 0xD2
"""Tag 18."""

_SMALL_WINDOW: Final = 12
"""Logarithm of the bytes of a window for small payloads."""

_MAP: Final = 5
"""The major type of maps."""


class Sign1(NamedTuple):
    """A signed message in parts, as it came."""

    protected: bytes
    payload: bytes
    signature: bytes

    def signed_by(self, signer: Holder, aad: bytes) -> bool:
        """Whether that is her signature over the message and what else belongs to it."""
        return signer.signed(_to_sign(self.protected, aad, self.payload), self.signature)


@dataclass(frozen=True, slots=True)
class Request:
    """What a request says of itself; nothing of it is sure before `verify`."""

    message: Sign1
    kid: bytes
    expiry: int
    """Whole Unix seconds."""
    cti: bytes
    deflated: bool

    def verify(self, node: bytes) -> Holder:
        """Who signed it for the node with that id (32 bytes). Raises SignatureRefused."""
        caller = holder(self.kid)
        if not self.message.signed_by(caller, node):
            raise SignatureRefused("The signature is not that of the key for this message and this server")
        return caller

    def body(self) -> Any:
        """What it says. Raises Malformed, TooLarge."""
        payload = self.message.payload
        return loads(inflate(payload) if self.deflated else payload)


def read(data: bytes) -> tuple[Sign1, dict[Any, Any]]:
    """A signed message, and its protected header. Raises Malformed."""
    if data[:2] != bytes((_SIGN1, 0x84)):
        raise Malformed("it is no COSE_Sign1: tag 18 and four parts")
    protected, place = _bytes_at(data, 2)
    if data[place : place + 1] and data[place] >> 5 != _MAP:
        raise Malformed("its unprotected header is no map")
    place = end_of(data, place)  # what is not signed says nothing
    payload, place = _bytes_at(data, place)
    signature, place = _bytes_at(data, place)
    if place != len(data):
        raise Malformed("something follows the end")
    header = loads(protected)
    if type(header) is not dict or header.get(ALG) != ES256K:
        raise Malformed("its algorithm is not ES256K")
    if CRIT in header:
        raise Malformed("it has critical headers, none of which is known here")
    content = header.get(CONTENT_TYPE, DEFLATED)
    if type(content) is not int or content != DEFLATED:
        raise Malformed(f"its content type is not {DEFLATED}, which is the only one that can be named")
    return Sign1(protected, payload, signature), header


def read_request(data: bytes) -> Request:
    """A request. Raises Malformed."""
    message, header = read(data)
    kid, claims = header.get(KID), header.get(CLAIMS)
    if type(kid) is not bytes:
        raise Malformed("it has no key id")
    if type(claims) is not dict:
        raise Malformed("it has no claims")
    expiry, cti = claims.get(EXP), claims.get(CTI)
    if type(expiry) is not int or not 0 <= expiry < 1 << 33:
        raise Malformed("it does not say until when it is good")
    if type(cti) is not bytes or len(cti) != CTI_BYTES:
        raise Malformed(f"it has no message id of {CTI_BYTES} bytes")
    return Request(message, kid, expiry, cti, CONTENT_TYPE in header)


def write_request(signer: Signer, node: bytes, expiry: int, cti: bytes, body: Any) -> bytes:
    """A request for the node with that id, good until `expiry` (Unix seconds)."""
    payload, deflated = deflate(dumps(body))
    header = {ALG: ES256K, **({CONTENT_TYPE: DEFLATED} if deflated else {}), KID: signer.kid}
    return _write(signer, dumps({**header, CLAIMS: {EXP: expiry, CTI: cti}}), node, payload)


def write_reply(node: Signer, kid: bytes, cti: bytes, payload: bytes) -> bytes:
    """The node's reply to a request; both of its marks are empty where that could not be read."""
    payload, deflated = deflate(payload)
    header: dict[int, Any] = {ALG: ES256K, **({CONTENT_TYPE: DEFLATED} if deflated else {})}
    if cti:
        header[CLAIMS] = {CTI: cti}
    return _write(node, dumps(header), kid, payload)


class Reply(NamedTuple):
    """A node's reply: to which request (empty if the node could not read that), and what it says."""

    cti: bytes
    body: Any


def read_reply(data: bytes, node: Holder, kid: bytes) -> Reply:
    """What the node replies to whoever has that key id. Raises Malformed, and SignatureRefused when the node did not
    sign it."""
    message, header = read(data)
    claims = header.get(CLAIMS, {})
    cti = claims.get(CTI) if type(claims) is dict else None
    cti = cti if type(cti) is bytes else b""
    if not message.signed_by(node, kid if cti else b""):
        raise SignatureRefused("The reply is not signed by the server's key")
    payload = inflate(message.payload, limits.MAX_REPLY_BODY) if CONTENT_TYPE in header else message.payload
    return Reply(cti, loads(payload))


def write_introduction(node: Signer, says: dict[str, Any]) -> bytes:
    """What a node says to those who do not know it yet: its key id, and `says`."""
    return _write(node, dumps({ALG: ES256K, KID: node.kid}), b"", dumps(says))


def read_introduction(data: bytes) -> tuple[Holder, dict[Any, Any]]:
    """Which node that is, and what it says. Raises Malformed, SignatureRefused."""
    message, header = read(data)
    kid = header.get(KID)
    if type(kid) is not bytes:
        raise Malformed("it has no key id")
    node = Holder(kid)
    says = loads(message.payload)
    if not message.signed_by(node, b"") or type(says) is not dict:
        raise SignatureRefused("The introduction is not signed by the key that it names")
    return node, says


def deflate(payload: bytes) -> tuple[bytes, bool]:
    """The payload to send, and whether it was deflated, which happens where it helps."""
    if len(payload) >= limits.DEFLATE_FROM:
        # A window as large as what goes through it; a full one takes ten times as long to begin with.
        window = (_SMALL_WINDOW, 5) if len(payload) <= 1 << _SMALL_WINDOW else (zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL)
        stream = zlib.compressobj(1, zlib.DEFLATED, *window)
        smaller = stream.compress(payload) + stream.flush()
        if len(smaller) < len(payload):
            return smaller, True
    return payload, False


def inflate(payload: bytes, most: int = limits.MAX_BODY) -> bytes:
    """What was deflated. Raises Malformed, and TooLarge when it is more than `most` bytes."""
    stream = zlib.decompressobj()
    try:
        whole = stream.decompress(payload, most + 1)
    except zlib.error:
        raise Malformed("what is called deflated is not") from None
    if len(whole) > most:
        raise TooLarge(f"The request is larger than {most >> 20} MiB when it is inflated: send it in smaller parts")
    if not stream.eof or stream.unused_data:
        raise Malformed("what is called deflated is not whole")
    return whole


def _write(signer: Signer, protected: bytes, aad: bytes, payload: bytes) -> bytes:
    signature = signer.sign_es256k(_to_sign(protected, aad, payload))
    return b"\xd2\x84%b\xa0%b\x58\x40%b" % (_bytes(protected), _bytes(payload), signature)


def _to_sign(protected: bytes, aad: bytes, payload: bytes) -> bytes:
    """The Sig_structure (RFC 9052, 4.4)."""
    return b"\x84\x6aSignature1%b%b%b" % (_bytes(protected), _bytes(aad), _bytes(payload))


def _bytes(raw: bytes) -> bytes:
    """A byte string of CBOR."""
    size = len(raw)
    if size < 24:
        return b"%c%b" % (0x40 | size, raw)
    if size < 256:
        return b"\x58%c%b" % (size, raw)
    if size < 65_536:
        return b"\x59%b%b" % (size.to_bytes(2, "big"), raw)
    return b"\x5a%b%b" % (size.to_bytes(4, "big"), raw)


def _bytes_at(data: bytes, place: int) -> tuple[bytes, int]:
    """The byte string at a place, and the place behind it. Raises Malformed."""
    end = end_of(data, place)
    first = data[place]
    if first >> 5 != 2:
        raise Malformed("something else where a byte string belongs")
    width = 0 if first & 31 < 24 else 1 << ((first & 31) - 24)
    return data[place + 1 + width : end], end
