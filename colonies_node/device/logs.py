"""The lines of a program on their way to the process log: one message for many lines, and a bounded wait on
disk.

The first line leaves at once. While a message is under way, and for a moment after it, lines gather into the
next one, so that a flood makes few and large messages. Messages that gather faster than they leave wait as
numbered files; after `STORED` of them only the newest are kept, in memory, and a line in the log says how
many lines are missing there.
"""

from __future__ import annotations

import contextlib
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import trio

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.device.lines import LineSplitter
from colonies_node.device.link import is_membership, is_not_ours
from colonies_node.http.backoff import Backoff

MESSAGE = 64 * 1024
"""Characters of one message: far below any server's limit, far above what a terminal shows at once."""

STORED = 256
"""Messages that wait on disk for one process: 16 MiB, a day of a talkative program on a lost link."""

NEWEST = 4
"""Messages kept in memory beyond that: the end of the log is what a reader wants most."""

INTERVAL_S = 0.25
"""Pause between two messages of one process: four a second are as good as live."""


class LogQueue:
    """Messages of one process that the server does not have yet, in order. What an earlier life left is in
    it.
    """

    def __init__(self, folder: Path, *, message: int = MESSAGE, stored: int = STORED, newest: int = NEWEST) -> None:
        self._folder = folder
        self._message, self._limit, self._newest = message, stored, newest
        self._stored = deque(sorted(_numbers(folder)))
        self._next = self._stored[-1] + 1 if self._stored else 1
        self._held: tuple[int, str] | None = None
        self._late: deque[str] = deque()
        self._missing = 0
        self._lines: list[str] = []
        self._size = 0

    def write(self, line: str) -> None:
        """Add a line."""
        self._lines.append(f"{line}\n")
        self._size += len(line) + 1
        if self._size >= self._message:
            self._gather()

    def oldest(self) -> str | None:
        """The message to send next; the same one until `confirm`. None if there is nothing."""
        if self._held is None:
            if self._stored:
                number = self._stored[0]
                try:
                    self._held = number, self._path(number).read_text(encoding="utf-8", errors="replace")
                except OSError:  # somebody tidied up
                    self._stored.popleft()
                    return self.oldest()
            elif (text := self._from_memory()) is not None:
                self._held = self._number(), text
        return self._held[1] if self._held else None

    def confirm(self) -> None:
        """The message given by `oldest` need not be kept any more."""
        if self._held and self._stored and self._stored[0] == self._held[0]:
            with contextlib.suppress(OSError):
                self._path(self._stored.popleft()).unlink(missing_ok=True)
        self._held = None

    @property
    def safe(self) -> bool:
        """Whether nothing is in memory only."""
        on_disk = self._held is None or bool(self._stored and self._stored[0] == self._held[0])
        return on_disk and not (self._lines or self._late or self._missing)

    def save(self) -> None:
        """Put on disk all that is only in memory."""
        if self._held and not (self._stored and self._stored[0] == self._held[0]):
            self._store(*self._held)
        self._held = None
        while (text := self._from_memory()) is not None:
            self._store(self._number(), text)
        self._stored = deque(sorted(self._stored))

    def _from_memory(self) -> str | None:
        if self._missing:
            missing, self._missing = self._missing, 0
            return f"[{missing} lines are missing here: they came faster than they could be sent or kept]\n"
        if self._late:
            return self._late.popleft()
        if self._lines:
            return self._take_lines()
        return None

    def _take_lines(self) -> str:
        text = "".join(self._lines)
        self._lines, self._size = [], 0
        return text

    def _gather(self) -> None:
        text = self._take_lines()
        if self._late or self._missing or len(self._stored) >= self._limit or not self._store(self._number(), text):
            self._late.append(text)
            while len(self._late) > self._newest:
                self._missing += self._late.popleft().count("\n")

    def _store(self, number: int, text: str) -> bool:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path(number).write_text(text, encoding="utf-8")
        except OSError:  # no room: what is in memory is still sent when the link allows it
            with contextlib.suppress(OSError):
                self._path(number).unlink(missing_ok=True)
            return False
        self._stored.append(number)
        return True

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08d}"


def _numbers(folder: Path) -> Iterator[int]:
    """The messages that wait in a folder, beside whatever else a program may have put there."""
    with contextlib.suppress(OSError):
        yield from (int(path.name) for path in folder.iterdir() if re.fullmatch(r"[0-9]{8,12}", path.name))


class LogStream:
    """Feeds a LogQueue from a program's streams and sends it on while the program runs.

    `send` takes one message to the server. `doubt` is called when the server no longer wants to hear of the
    process.
    """

    def __init__(self, queue: LogQueue, send: Callable[[str], Awaitable[object]], doubt: Callable[[], None]) -> None:
        self.queue = queue
        self._send, self._doubt = send, doubt
        self._fresh = trio.Event()
        self._sending = trio.Lock()

    def write(self, line: str) -> None:
        """Add a line of our own."""
        self.queue.write(line)
        self._fresh.set()

    async def read(self, stream: trio.abc.ReceiveStream, *listeners: Callable[[bytes | bytearray], None]) -> None:
        """Take in a stream until its end; every listener gets the bytes as they are."""
        splitter = LineSplitter()
        async for data in stream:
            for listener in listeners:
                listener(data)
            self._take(splitter.feed(data))
        self._take(splitter.feed(b"", final=True))

    async def run(self) -> None:
        """Send what there is, and what comes, until cancelled."""
        backoff = Backoff()
        while True:
            await self._fresh.wait()
            async with self._sending:
                pause = await self._send_one(backoff)
            await trio.sleep(pause)

    async def settle(self, patience: float) -> None:
        """Wait until no message is under way, so that stopping `run` cannot send one twice."""
        with trio.move_on_after(patience):
            await self._sending.acquire()

    def _take(self, lines: list[str]) -> None:
        for line in lines:
            self.queue.write(line)
        if lines:
            self._fresh.set()

    async def _send_one(self, backoff: Backoff) -> float:
        """Send the oldest message; the pause before the next."""
        message = self.queue.oldest()
        if message is None:
            self._fresh = trio.Event()
            return 0
        try:
            await self._send(message)
        except LinkDown:
            return backoff.pause()
        except Refused as no:
            if is_not_ours(no):
                self._doubt()
            elif is_membership(no) or no.status >= 500:
                return backoff.pause()
        self.queue.confirm()
        backoff.reset()
        return INTERVAL_S
