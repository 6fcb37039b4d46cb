"""What a client of the CBOR door sends and gets, as values: the JSON door's dicts on one side, compact CBOR on the
other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from colonies_node.core.broker.table import TABLE
from colonies_node.core.errors import LinkDown, Refused
from colonies_node.core.model import compact
from colonies_node.core.model.messages import Message
from colonies_node.core.model.numbers import FIELD_NUMBERS, TYPE_NUMBERS
from colonies_node.core.model.wire import Malformed


def item(msgtype: str, fields: dict[str, Any]) -> list[Any]:
    """A message, for a payload."""
    row = TABLE.get(msgtype)
    return [TYPE_NUMBERS.get(msgtype, msgtype), compact.pack(row.record, fields) if row else fields]


def item_of(message: Message) -> list[Any]:
    """The same of a message's record."""
    body = compact.pack(type(message), message)
    del body[FIELD_NUMBERS["msgtype"]]
    return [TYPE_NUMBERS[message.msgtype], body]


def result(msgtype: str, reply: Any) -> Any:
    """What the JSON door would have given. Raises Refused, and LinkDown for what is no reply."""
    if not isinstance(reply, list) or not reply or type(reply[0]) is not int:
        raise LinkDown("the answer is not in our protocol")
    if reply[0] != 0:
        raise refusal(reply)
    row = TABLE.get(msgtype)
    try:
        (body,) = reply[1:]
        return compact.unpack(row.gives, body) if row else body
    except (Malformed, ValueError) as fault:
        raise LinkDown(f"the answer is not in our protocol: {fault}") from None


def items(messages: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
    """A batch, for a payload."""
    return [item(msgtype, fields) for msgtype, fields in messages]


def results(messages: Sequence[tuple[str, dict[str, Any]]], replies: Any) -> list[Any]:
    """The results of a batch, a Refused in place of each that was refused. Raises Refused if all of it was, LinkDown
    for what is no reply."""
    if isinstance(replies, list) and replies and type(replies[0]) is int:
        result("", replies)
    if not isinstance(replies, list) or len(replies) != len(messages):
        raise LinkDown("the answer does not fit the batch")
    found: list[Any] = []
    for (msgtype, _), reply in zip(messages, replies, strict=True):
        try:
            found.append(result(msgtype, reply))
        except Refused as no:
            found.append(no)
    return found


def refusal(reply: list[Any]) -> Refused:
    """A refusal, as the server put it."""
    status, message, reason = (*reply, "", "")[:3]
    return Refused(status, str(message), str(reason))
