"""The wire of the CBOR door as a client speaks it: COSE messages, in HTTP requests or in the frames of a websocket."""

from __future__ import annotations

import os
import socket
import time
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from load import PATIENCE, Address, BenchFailed, Connection
from wire import COLONY, Colony, Member

from colonies_node.core.identity import Holder
from colonies_node.http import cose
from colonies_node.http.replies import item, result

EXPIRY_S = 600


@dataclass(frozen=True)
class Door:
    """The CBOR door of a node, which is known by its key."""

    address: Address
    node: Holder

    @property
    def id(self) -> bytes:
        return bytes.fromhex(self.node.id)

    def message(self, member: Member, body: Any) -> bytes:
        """A signed message, or a batch."""
        expiry = int(time.time()) + EXPIRY_S
        return cose.write_request(member.signer, self.id, expiry, os.urandom(cose.CTI_BYTES), body)

    def request(self, member: Member, body: Any) -> bytes:
        """The same as a whole HTTP request."""
        message = self.message(member, body)
        return b"POST /cbor HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(message), message)

    def read(self, member: Member, data: bytes) -> Any:
        """What the node replies."""
        return cose.read_reply(data, self.node, member.signer.kid).body


def door_at(address: Address) -> Door:
    """Meet a node. Raises BenchFailed."""
    connection = Connection(address)
    try:
        node, _ = cose.read_introduction(connection.ask(b"GET /cbor HTTP/1.1\r\nHost: bench\r\n\r\n"))
    finally:
        connection.close()
    return Door(address, node)


def submits(colony: Colony, numbers: Sequence[int]) -> list[Any]:
    """Messages that each submit another process, the same ones as wire.Colony.submits."""
    return [
        item(
            "submitfuncspecmsg",
            {
                "spec": {
                    "nodename": "count",
                    "funcname": "count_words",
                    "args": [f"/data/corpus/part-{number:06}.txt"],
                    "kwargs": {"language": "en"},
                    "priority": 0,
                    "maxwaittime": -1,
                    "maxexectime": 600,
                    "maxretries": 3,
                    "conditions": {"colonyname": COLONY, "executortype": "worker"},
                }
            },
        )
        for number in numbers
    ]


def assign() -> Any:
    """The message of an executor that wants work."""
    return item("assignprocessmsg", {"colonyname": COLONY, "timeout": 20})


def close(processid: str) -> Any:
    """The message of an executor that is done."""
    return item("closesuccessfulmsg", {"processid": processid, "out": [41_273]})


def process_in(reply: Any) -> str:
    """The id of the process in the reply to an assign."""
    found: str = result("assignprocessmsg", reply)["processid"]
    return found


class Pipe:
    """A websocket to the CBOR door: frames go out at once, and come back in any order."""

    def __init__(self, address: Address) -> None:
        self._received = bytearray()
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = self.got = 0
        key = b64encode(os.urandom(16))
        self._socket.sendall(
            b"GET /cbor HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
        )
        while b"\r\n\r\n" not in self._received:
            self._received += self._socket.recv(4096)
        if not self._received.startswith(b"HTTP/1.1 101 "):
            raise BenchFailed("The server opens no websocket.")
        self._received.clear()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        # RFC 6455, 5.2: a client masks what it sends; a mask of zeros leaves it as it is.
        size = len(data)
        if size < 126:
            head = bytes((0x82, 0x80 | size))
        elif size < 65_536:
            head = b"\x82\xfe" + size.to_bytes(2, "big")
        else:
            head = b"\x82\xff" + size.to_bytes(8, "big")
        frame = head + bytes(4) + data
        self.sent += len(frame)
        self._socket.sendall(frame)

    def receive(self) -> list[bytes]:
        """Take what has arrived: the messages that are whole now."""
        chunk = self._socket.recv(262_144)
        if not chunk:
            raise BenchFailed("The server dropped a websocket.")
        self.got += len(chunk)
        received = self._received
        received += chunk
        whole = []
        while (frame := _frame(received)) is not None:
            whole.append(frame)
        return whole

    def ask(self, data: bytes) -> bytes:
        """Send a message and wait for its reply, alone on the connection."""
        self.send(data)
        while not (found := self.receive()):
            pass
        return found[0]

    def close(self) -> None:
        self._socket.close()


def _frame(received: bytearray) -> bytes | None:
    """The payload of the first whole frame, taken off."""
    if len(received) < 2:
        return None
    size, head = received[1], 2
    if size == 126:
        head, size = 4, int.from_bytes(received[2:4], "big")
    elif size == 127:
        head, size = 10, int.from_bytes(received[2:10], "big")
    if len(received) < head or len(received) < head + size:
        return None
    payload = bytes(received[head : head + size])
    del received[: head + size]
    return payload
