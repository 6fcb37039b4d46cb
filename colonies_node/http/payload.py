"""The payloads of the CBOR door: messages on their way in, replies and refusals on their way out (docs/cbor.md)."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker.call import DONE
from colonies_node.core.broker.table import TABLE, Kind, Row
from colonies_node.core.errors import BadRequest, ColonyError, Denied, TooLarge, WrongTime
from colonies_node.core.model import compact
from colonies_node.core.model.cbor import dumps
from colonies_node.core.model.numbers import MESSAGE_TYPES

NOTHING: Final = dumps([0, {}])
"""The reply to what is done, where nothing is to be told."""


def show(row: Row, reply: Any) -> bytes:
    """A reply to a row."""
    if reply is DONE:
        return NOTHING
    if reply == []:
        return success(row, row.empty)
    return dumps([0, compact.pack(row.gives, reply)])


def success(row: Row, reply: bytes) -> bytes:
    """A reply to a row that is there as JSON."""
    return dumps([0, compact.pack(row.gives, msgspec.json.decode(reply))])


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
    if row is None:
        raise Denied(f"invalid message type: {str(msgtype)[:256]}")
    return row, item[1] if len(item) == 2 else None


def is_batch(asked: Any) -> bool:
    """Whether a payload is several messages."""
    return type(asked) is list and bool(asked) and type(asked[0]) is list


def read_batch(asked: list[Any]) -> list[tuple[Row, Any] | ColonyError]:
    """The messages of a batch, or why they are none. Raises TooLarge."""
    if len(asked) > limits.MAX_BATCH_MESSAGES:
        raise TooLarge(f"A batch has at most {limits.MAX_BATCH_MESSAGES} messages, this one has {len(asked)}")
    found: list[tuple[Row, Any] | ColonyError] = []
    for item in asked:
        try:
            row, body = message_of(item)
            if row.kind is Kind.SUBSCRIBE:
                raise Denied(f"{row.msgtype} is answered on the websocket, and not in a batch")
            found.append((row, row.read_compact(body)))
        except ColonyError as refusal:
            found.append(refusal)
    return found


def refuse(refusal: ColonyError) -> bytes:
    """A refusal."""
    return dumps(refused(refusal))


def join(replies: list[bytes]) -> bytes:
    """An array of what is CBOR already."""
    number = len(replies)
    head = bytes((0x80 | number,)) if number < 24 else b"\x99" + number.to_bytes(2, "big")
    return head + b"".join(replies)
