"""A file that grows on another machine, as a stream.

No message comes from a network file system when a file has grown, so it is looked at: soon after something came, ever
more rarely while nothing does. Each look opens it anew, which is when such a file system asks for the newest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

CHUNK: Final = 64 * 1024

SOON_S: Final = 0.25
RARELY_S: Final = 3.0
"""Seconds between two looks, at the least and at the most."""

LATE_S: Final = 10.0
"""Seconds to wait for bytes that are known to come: network file systems keep what they know for some seconds."""

QUIET_S: Final = 1.0
"""The same when it is not known whether more comes."""

AHEAD: Final = 1 << 20
"""Bytes that are read before they are safe, while the job runs: the file keeps the rest until then."""

LONG: Final = 8192
"""Bytes without a line end after which a line counts as told."""


class Tail(trio.abc.ReceiveStream):
    """The bytes of a file from `start` on, until `finish` is called and all of it is read.

    `safe` says whether what was received is kept elsewhere; `told` is how much of the file that is known of, at the end
    of a line.
    """

    def __init__(self, path: Path, start: int = 0, safe: Callable[[], bool] = lambda: True) -> None:
        self.told = start
        self.ended = trio.Event()
        self._path, self._safe = path, safe
        self._position = self._line = start
        self._begun, self._over = trio.Event(), trio.Event()
        self._size: int | None = None

    def begin(self) -> None:
        """From now on something may come."""
        self._begun.set()

    def finish(self, size: int | None = None) -> None:
        """No more is written; the file has `size` bytes, where that is known."""
        self._size = size
        self._begun.set()
        self._over.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """The next bytes; none at the end."""
        self._mark()
        await self._begun.wait()
        pause, waited = SOON_S, 0.0
        while True:
            over = self._over.is_set()
            if over or self._position - self.told < AHEAD:
                data = await trio.to_thread.run_sync(read_from, self._path, self._position, max_bytes or CHUNK)
                if data:
                    self._take(data)
                    return data
            if over:
                if waited >= self._patience():
                    self.ended.set()
                    return b""
                await trio.sleep(SOON_S)
                waited += SOON_S
            else:
                with trio.move_on_after(pause):
                    await self._over.wait()
                pause = min(pause * 1.5, RARELY_S)
            self._mark()

    async def aclose(self) -> None:
        """Nothing is open."""
        await trio.lowlevel.checkpoint()

    def _patience(self) -> float:
        if self._size is None:
            return QUIET_S
        return LATE_S if self._position < self._size else 0

    def _take(self, data: bytes) -> None:
        end = data.rfind(b"\n")
        if end >= 0:
            self._line = self._position + end + 1
        self._position += len(data)
        if self._position - self._line > LONG:
            self._line = self._position

    def _mark(self) -> None:
        """Whoever reads has taken in all that it got before it asks again."""
        if self._line > self.told and self._safe():
            self.told = self._line

    def settle(self) -> None:
        """What was received is about to be kept."""
        self.told = self._line


def read_from(path: Path, position: int, most: int) -> bytes:
    """Bytes of a file from a position on; none if there are none yet, or no file."""
    try:
        with path.open("rb") as file:
            file.seek(position)
            return file.read(most)
    except OSError:
        return b""
