"""A bad line between two nodes: carries TCP connections, cuts them in the middle, holds bytes up, stays shut."""

from __future__ import annotations

import math
import socket
import struct
from random import Random

import trio

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of a socket whose close throws away what was not sent, and tells the peer so."""


class Proxy:
    """Carries what comes to `port` on to the port `target` of this machine, badly while it is `bad`."""

    def __init__(self, target: int, dice: Random) -> None:
        self.target = target
        self.dice = dice
        self.bad = True
        self.port = 0
        self.carried = 0
        """Bytes so far."""
        self.cuts = 0
        """Connections that ended in the middle."""
        self._shut = False
        self._open: set[trio.CancelScope] = set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Carry connections until cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._connect, [listener])

    def shut(self) -> None:
        """Cut what is open, and refuse all that comes."""
        self._shut = True
        self._cut_all()

    def open(self) -> None:
        """Carry again."""
        self._shut = False

    def heal(self) -> None:
        """Lose nothing from now on: what was held up is cut, or it would be waited for."""
        self.bad = self._shut = False
        self._cut_all()

    def _cut_all(self) -> None:
        self.cuts += len(self._open)
        for scope in self._open:
            scope.cancel()

    async def _connect(self, lower: trio.SocketStream) -> None:
        async with lower:
            if self._shut:
                return _reset(lower)
            try:
                upper = await trio.open_tcp_stream("127.0.0.1", self.target)
            except OSError:
                return _reset(lower)
            async with upper:
                with trio.CancelScope() as scope:
                    self._open.add(scope)
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._pump, lower, upper, scope)
                        nursery.start_soon(self._pump, upper, lower, scope)
                self._open.discard(scope)
                if self.dice.random() < 0.5:
                    _reset(lower)
                    _reset(upper)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
        """Carry one direction, until either side ends it or the line has carried all that it will."""
        left: float = self.dice.randrange(40, self.dice.choice((2_000, 20_000))) if self.bad else math.inf
        try:
            async for data in source:
                if self.bad and self.dice.random() < 0.2:
                    await trio.sleep(self.dice.uniform(0, 0.3))
                part = data[: int(left)] if left < len(data) else data
                left -= len(part)
                await sink.send_all(part)
                self.carried += len(part)
                if left <= 0:
                    self.cuts += 1
                    break
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        scope.cancel()


def _reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
