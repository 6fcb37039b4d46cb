"""The load: several keep-alive connections in one event loop over plain sockets, as lean as Python allows.

A connection holds a conversation: a generator that yields requests and is sent the bodies of the replies.
Whatever can be prepared (signatures, JSON) is prepared before the clock starts: it costs no time here.
"""

from __future__ import annotations

import json
import select
import socket
import time
from base64 import b64decode
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

Address = tuple[str, int]
Conversation = Generator[bytes, bytes, None]

PATIENCE = 30.0  # seconds without any answer after which the server counts as stuck
_CHUNK = 256 * 1024  # a page of 100 processes is about this large


class BenchFailed(Exception):
    """Something could not be measured; the message says what happened."""


@dataclass(frozen=True)
class Spent:
    """What a run took: seconds on the clock, and seconds of processor time in this process."""

    seconds: float
    own_cpu: float


class Connection:
    """One HTTP/1.1 connection that sends a request and gathers its reply."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._received = bytearray()
        self._socket = self._open()
        self.is_closing = False
        self.got = 0
        """Bytes that came, heads included."""

    def _open(self) -> socket.socket:
        opened = socket.create_connection(self._address, timeout=PATIENCE)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)

    def receive(self) -> bytes | None:
        """Take what has arrived: the body of the reply once it is whole, else None.

        Raises BenchFailed for a reply that is not a 200 and for a connection that ends early.
        """
        chunk = self._socket.recv(_CHUNK)
        if not chunk:
            raise BenchFailed("The server closed a connection that waited for a reply.")
        self.got += len(chunk)
        received = self._received
        received += chunk
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(received[:end]).lower()
        if len(received) < end + 4 + _length(head):
            return None
        body = bytes(received[end + 4 :])
        received.clear()
        if head[9:12] != b"200":
            raise BenchFailed(f"The server answered {head[9:12].decode()}: {_message(body)}")
        self.is_closing = b"\r\nconnection: close" in head
        return body

    def ask(self, request: bytes) -> bytes:
        """Send a request and wait for the body of its reply."""
        self.send(request)
        while (body := self.receive()) is None:
            pass
        return body

    def reopen(self) -> None:
        """Connect anew, after the server said that it closes."""
        self._socket.close()
        self._socket = self._open()

    def close(self) -> None:
        self._socket.close()


def _length(head: bytes) -> int:
    _, found, rest = head.partition(b"\r\ncontent-length:")
    if not found:
        raise BenchFailed("The server sent a reply without a content-length.")
    return int(rest.partition(b"\r\n")[0])


def _message(body: bytes) -> str:
    """What a refusal says: the message inside an error's envelope, or the text that came instead of one."""
    try:
        return str(json.loads(b64decode(json.loads(body)["payload"]))["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace")


def drive(address: Address, conversations: Sequence[Conversation]) -> Spent:
    """Hold all conversations at once, each over a connection of its own, and give what that took.

    The connections stand before the clock starts.
    """
    with ExitStack() as closing, select.epoll() as readable:
        open_lines: dict[int, tuple[Connection, Conversation]] = {}
        for conversation in conversations:
            connection = Connection(address)
            closing.callback(connection.close)
            open_lines[connection.fileno()] = connection, conversation
            readable.register(connection.fileno(), select.EPOLLIN)
        began, cpu = time.perf_counter(), time.process_time()
        for number, (connection, conversation) in list(open_lines.items()):
            if (request := next(conversation, None)) is not None:
                connection.send(request)
            else:
                del open_lines[number]
        while open_lines:
            ready = readable.poll(PATIENCE)
            if not ready:
                raise BenchFailed(f"The server gave no answer within {PATIENCE:.0f} s.")
            for number, _ in ready:
                connection, conversation = open_lines[number]
                if (reply := connection.receive()) is None:
                    continue
                try:
                    request = conversation.send(reply)
                except StopIteration:
                    readable.unregister(number)
                    del open_lines[number]
                    continue
                if connection.is_closing:
                    del open_lines[number]
                    connection.reopen()
                    open_lines[connection.fileno()] = connection, conversation
                    readable.register(connection.fileno(), select.EPOLLIN)
                connection.send(request)
        return Spent(time.perf_counter() - began, time.process_time() - cpu)


def recite(requests: Iterable[bytes], connections: int) -> list[Conversation]:
    """Conversations that share out the requests: whichever connection is free takes the next one."""
    shared = iter(requests)
    return [_recitation(shared) for _ in range(connections)]


def _recitation(shared: Iterator[bytes]) -> Conversation:
    while (request := next(shared, None)) is not None:
        yield request
