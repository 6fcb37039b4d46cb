"""From the bytes that a program writes to lines of text, its output and the end of its complaints. No I/O."""

from __future__ import annotations

import codecs
import io

MAX_LINE = 8192
"""Characters of one line; a longer one is split. Programs that print megabytes in one line do exist."""


class LineSplitter:
    """Cuts a stream of bytes into lines without their ends.

    A carriage return ends a line too, so a progress bar gives one line per step. Bytes that are not UTF-8,
    and NUL, which databases refuse, become U+FFFD.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._limit = limit
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)
        self._rest = ""

    def feed(self, data: bytes | bytearray, *, final: bool = False) -> list[str]:
        """The lines that are complete with `data`; with `final` also the last one that lacks its end."""
        text = self._rest + self._decoder.decode(data, final).replace("\0", "\N{REPLACEMENT CHARACTER}")
        *lines, self._rest = text.split("\n")
        pieces = [piece for line in lines for piece in self._split(line)]
        while len(self._rest) > self._limit:
            pieces.append(self._rest[: self._limit])
            self._rest = self._rest[self._limit :]
        if final and self._rest:
            pieces.append(self._rest)
            self._rest = ""
        return pieces

    def _split(self, line: str) -> list[str]:
        if len(line) <= self._limit:
            return [line]
        return [line[start : start + self._limit] for start in range(0, len(line), self._limit)]


class Head:
    """The first `limit` bytes of a stream, and how many came after them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self.more = 0

    def feed(self, data: bytes | bytearray) -> None:
        """Take in what came next."""
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        self.more += max(0, len(data) - room)

    def text(self) -> str:
        """What was kept, as text; a cut in the middle of a character leaves no trace of it."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder.decode(bytes(self._kept), final=not self.more)


class Tail:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def feed(self, data: bytes | bytearray) -> None:
        """Take in what came next."""
        self._kept += data[-self._limit :]
        del self._kept[: -self._limit]

    def text(self) -> str:
        """What was kept, as text without blank space around it."""
        return self._kept.decode(errors="replace").strip("\N{REPLACEMENT CHARACTER} \t\r\n")
