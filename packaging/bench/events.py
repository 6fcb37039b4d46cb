"""How long an event takes to everybody who listens for it on a websocket of its own."""

from __future__ import annotations

import os
import select
import socket
import statistics
import time
from base64 import b64encode
from contextlib import ExitStack

from figures import Figure, Reading
from load import PATIENCE, Address, BenchFailed, Connection
from stage import Stage, say
from wire import COLONY, Member

SUBSCRIBERS = 200


def event_fanout_ms(stage: Stage) -> Reading:
    count = stage.amounts.events
    with stage.node() as node, ExitStack() as closing, select.epoll() as readable:
        say(f"opening {SUBSCRIBERS} websockets")
        listeners = {}
        for _ in range(SUBSCRIBERS):
            listener = Listener(node.server.address, node.colony.user)
            closing.callback(listener.close)
            listeners[listener.fileno()] = listener
            readable.register(listener.fileno(), select.EPOLLIN)
        submitting = Connection(node.server.address)
        closing.callback(submitting.close)
        took = []
        for request in node.colony.submits(count):
            began = time.perf_counter()
            submitting.send(request)
            missing = set(listeners)
            while missing:
                ready = readable.poll(PATIENCE)
                if not ready:
                    raise BenchFailed(f"{len(missing)} of {SUBSCRIBERS} subscribers heard nothing.")
                missing -= {number for number, _ in ready if listeners[number].receive()}
            took.append((time.perf_counter() - began) * 1000)
            while submitting.receive() is None:
                pass
    worst = sorted(took)[int(len(took) * 0.95)]
    return Reading(
        statistics.median(took), f"median of {count}, to the last of {SUBSCRIBERS}; 95 % within {worst:.1f} ms"
    )


class Listener:
    """A websocket that is told of every process that is submitted."""

    def __init__(self, address: Address, member: Member) -> None:
        self._received = bytearray()
        self._socket = socket.create_connection(address, timeout=PATIENCE)
        key = b64encode(os.urandom(16))
        self._socket.sendall(
            b"GET /pubsub HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n" % key
        )
        while b"\r\n\r\n" not in self._received:
            self._received += self._socket.recv(4096)
        if not self._received.startswith(b"HTTP/1.1 101 "):
            raise BenchFailed("The server opens no websocket.")
        self._received.clear()
        self._send(member.envelope("subscribeprocessesmsg", colonyname=COLONY, executortype="worker", timeout=600))
        # This one is refused: when the answer comes, the one before it is in force.
        self._send(member.envelope("subscribeprocessmsg", processid="none", timeout=600))
        while not self.receive():
            pass

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> bool:
        """Take what has arrived; whether a frame is whole now, which is then forgotten."""
        chunk = self._socket.recv(65536)
        if not chunk:
            raise BenchFailed("The server dropped a websocket.")
        received = self._received
        received += chunk
        # RFC 6455, 5.2: a length above 125 follows in two bytes; no event here has more than they can say.
        head = 4 if len(received) > 1 and received[1] == 126 else 2
        if len(received) < head:
            return False
        size = int.from_bytes(received[2:4], "big") if head == 4 else received[1]
        if len(received) < head + size:
            return False
        del received[: head + size]
        return True

    def close(self) -> None:
        self._socket.close()

    def _send(self, body: bytes) -> None:
        # A client masks what it sends; a mask of zeros leaves it as it is.
        self._socket.sendall(b"\x81\xfe" + len(body).to_bytes(2, "big") + bytes(4) + body)


FIGURES = (
    Figure("event_fanout_ms", 50.0, f"from submit until {SUBSCRIBERS} websockets have heard, ms", event_fanout_ms),
)
