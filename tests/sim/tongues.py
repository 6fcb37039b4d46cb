"""What letters look like on a simulated line: JSON, which is quick, or what the CBOR door makes of them."""

from __future__ import annotations

from typing import Protocol

import msgspec

from colonies_node.core.broker.table import TABLE
from colonies_node.core.identity import Holder, Signer
from colonies_node.core.model.sync import Letter, SyncMessage
from colonies_node.core.model.wire import decode, encode
from colonies_node.http import cose, replies
from colonies_node.http.payload import message_of, show

ROW = TABLE["syncmsg"]


class Tongue(Protocol):
    """Both ends of what is said over a line."""

    def say(self, message: SyncMessage) -> bytes: ...

    def hear(self, body: bytes) -> SyncMessage: ...

    def answer(self, letter: Letter) -> bytes: ...

    def read(self, body: bytes) -> Letter: ...


class Json:
    """The records as they are."""

    def say(self, message: SyncMessage) -> bytes:
        """The body of a request."""
        return encode(message)

    def hear(self, body: bytes) -> SyncMessage:
        """What a request says."""
        message: SyncMessage = ROW.read(body)
        return message

    def answer(self, letter: Letter) -> bytes:
        """The body of a reply."""
        return encode(letter)

    def read(self, body: bytes) -> Letter:
        """What a reply says."""
        return decode(Letter, body)


class Cbor:
    """Compact, deflated and signed: byte by byte what sync.post sends and the CBOR door answers."""

    CTI = bytes(cose.CTI_BYTES)

    def __init__(self) -> None:
        self.lower, self.upper = Signer("1" * 64), Signer("2" * 64)

    def say(self, message: SyncMessage) -> bytes:
        """The body of a request."""
        fields = msgspec.to_builtins(message)
        del fields["msgtype"]
        body = replies.item(ROW.msgtype, fields)
        return cose.write_request(self.lower, bytes.fromhex(self.upper.id), 1 << 32, self.CTI, body)

    def hear(self, body: bytes) -> SyncMessage:
        """What a request says."""
        request = cose.read_request(body)
        request.verify(bytes.fromhex(self.upper.id))
        row, fields = message_of(request.body())
        message: SyncMessage = row.read_compact(fields)
        return message

    def answer(self, letter: Letter) -> bytes:
        """The body of a reply."""
        return cose.write_reply(self.upper, self.lower.kid, self.CTI, show(ROW, letter))

    def read(self, body: bytes) -> Letter:
        """What a reply says."""
        reply = cose.read_reply(body, Holder(self.upper.kid), self.lower.kid)
        return msgspec.convert(replies.result(ROW.msgtype, reply.body), Letter)
