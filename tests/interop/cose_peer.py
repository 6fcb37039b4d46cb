"""Runs in an environment of its own, with `cwt`: signs and verifies COSE_Sign1 as the lines of standard input ask.

A line is JSON, {"do", ...} with bytes as hex; so is the answer to it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cbor2
from cwt import COSE, COSEKey
from cwt.exceptions import VerifyError


def key(public: str, private: str | None = None, kid: str = "") -> Any:
    """The key with the point (uncompressed, without its first byte); it is found by its id where a message has one."""
    point = bytes.fromhex(public)
    parts: dict[int, Any] = {1: 2, 3: -47, -1: 8, -2: point[:32], -3: point[32:]}
    if kid:
        parts[2] = bytes.fromhex(kid)
    return COSEKey.new(parts if private is None else parts | {-4: bytes.fromhex(private)})


def sign(asked: dict[str, Any]) -> dict[str, Any]:
    """A tagged message over `payload` with the protected header `header` (CBOR)."""
    header = cbor2.loads(bytes.fromhex(asked["header"]))
    message = COSE.new().encode_and_sign(
        bytes.fromhex(asked["payload"]),
        key(asked["public"], asked["private"]),
        protected=header,
        external_aad=bytes.fromhex(asked["aad"]),
    )
    return {"message": message.hex()}


def verify(asked: dict[str, Any]) -> dict[str, Any]:
    """The headers and the payload of a message that is good."""
    data, public, aad = (
        bytes.fromhex(asked["message"]),
        key(asked["public"], kid=asked["kid"]),
        bytes.fromhex(asked["aad"]),
    )
    try:
        protected, unprotected, payload = COSE.new().decode_with_headers(data, public, external_aad=aad)
    except VerifyError:
        return {"good": False}
    return {
        "good": True,
        "protected": cbor2.dumps(protected).hex(),
        "unprotected": cbor2.dumps(unprotected).hex(),
        "payload": payload.hex(),
    }


for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"sign": sign, "verify": verify}[asked["do"]](asked)), flush=True)
