"""A service manager's ear: the socket to which programs tell how they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio
import trio.socket

from tests.e2e.programs import PATIENCE_S

WATCHDOG_S = 0.4
"""The silence that is allowed in tests, long enough for a busy machine to give two signs in it."""


class Ear:
    """Hears one datagram at a time, as a map of names to texts; `address` is what NOTIFY_SOCKET holds."""

    def __init__(self, sock: trio.socket.SocketType, address: str) -> None:
        self._sock, self.address = sock, address
        self.variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}

    async def next(self) -> dict[str, str]:
        """What is told next."""
        said = (await self._sock.recv(65536)).decode()
        return dict(line.split("=", 1) for line in said.splitlines())

    async def until(self, name: str, words: str = "") -> dict[str, str]:
        """The next that tells such a name, with such words in it."""
        with trio.fail_after(PATIENCE_S):
            while True:
                told = await self.next()
                if words in told.get(name, "") and name in told:
                    return told

    async def silence(self) -> None:
        """Come back when nothing was told for several times as long as is allowed; fails if that never is."""
        with trio.fail_after(PATIENCE_S):
            while True:
                with trio.move_on_after(4 * WATCHDOG_S) as quiet:
                    await self.next()
                if quiet.cancelled_caught:
                    return


@contextmanager
def ear(path: Path | str) -> Iterator[Ear]:
    """Listen at a path, or at `@name`, which is in no file system."""
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_DGRAM) as sock:
        text = str(path)
        # trio's bind would wait for a thread only for addresses that have to be looked up
        sock._sock.bind("\0" + text[1:] if text.startswith("@") else text)  # type: ignore[attr-defined]
        yield Ear(sock, text)
