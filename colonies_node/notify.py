"""What a long-running command tells the service manager that started it: ready, how it is, alive, stopping.

The protocol is systemd's sd_notify(3): lines of NAME=value in a datagram to the Unix socket that $NOTIFY_SOCKET names.
Without that variable nothing is said. No answer ever comes, and a manager that cannot be reached is no reason to stop.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import trio

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""What the manager sets for this program alone: no program that it starts may have them."""

MAX_STATUS = 300
"""Letters of a status line: it is shown on one line of a terminal, and may hold words of a server."""

WAIT_S = 1.0
"""How long READY and STOPPING may wait for room in the manager's queue; the rest is dropped when it is full."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServiceManager:
    """The manager to tell. Without an `address` it is nobody, and every call does nothing."""

    address: str = field(default="", repr=False)
    watchdog_s: float = 0.0
    """Seconds of silence after which it ends this program; 0 for never."""

    @classmethod
    def around(cls, environ: Mapping[str, str] = os.environ) -> ServiceManager:
        """The manager that started this very process, as the variables say."""
        named = environ.get("NOTIFY_SOCKET", "")
        if not named.startswith(("/", "@")):
            return cls()
        micros = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID") or str(os.getpid())
        watched = re.fullmatch(r"[0-9]{1,18}", micros) and meant == str(os.getpid())
        # "@" stands for the zero byte of a name that is in no file system
        return cls(re.sub("^@", "\0", named), int(micros) / 1e6 if watched else 0.0)

    def ready(self, status: str) -> None:
        """What was started does its work, or waits for it."""
        self._send(WAIT_S, "READY=1", _status(status))

    def status(self, text: str) -> None:
        """How it is, as one line for a person."""
        self._send(0.0, _status(text))

    def stopping(self) -> None:
        """It was told to stop, and puts its things in order."""
        self._send(WAIT_S, "STOPPING=1")

    async def watch(self, alive: Callable[[], Awaitable[bool]]) -> None:
        """Give a sign of life whenever `alive` says so, twice as often as is asked for, until cancelled.

        `alive` is asked in the event loop and may take its time: as long as it does not answer there is no sign, and
        when the manager has waited long enough it starts the program anew. SIGABRT, with which it ends it, then shows
        on standard error where it hung.
        """
        if not self.watchdog_s:
            return
        faulthandler.enable(sys.__stderr__ or 2, all_threads=True)
        while True:
            if await alive():
                self._send(0.0, "WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)

    def _send(self, wait: float, *lines: str) -> None:
        if not self.address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.settimeout(wait)
                to.sendto("\n".join(lines).encode(errors="replace"), self.address)
        except OSError as fault:
            log.debug("the service manager was not told %s: %s", lines[0], fault)


async def turning() -> bool:
    """The least that `watch` can ask: whether the event loop still turns."""
    await trio.lowlevel.checkpoint()
    return True


def _status(text: str) -> str:
    """A status line: what is not printable would begin another line, or confuse a terminal."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"STATUS={line[:MAX_STATUS]}"
