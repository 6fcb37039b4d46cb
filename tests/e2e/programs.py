"""Real colonies-node processes that a test starts, reads and stops."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30


class Spoken:
    """A started process and the lines that it has said so far."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._said = trio.Event()
        self._over = False
        """Whether it has ended and all that it said is in `lines`."""

    async def until(self, words: str) -> str:
        """The first line that holds the words; fails if the process ends without it."""
        with trio.fail_after(PATIENCE_S):
            while True:
                for line in self.lines:
                    if words in line:
                        return line
                assert not self._over, f"it ended without saying {words!r}: {self.lines}"
                await self._said.wait()

    async def url(self) -> str:
        """Where a server can be asked, once it is ready."""
        found = re.search(r" on (https?://\S+:\d+),", await self.until("ready:"))
        assert found is not None
        return found[1]

    async def ended(self) -> int:
        """Its exit status."""
        with trio.fail_after(PATIENCE_S):
            return await self.process.wait()

    async def listen(self) -> None:
        """Take in its lines until it has ended."""
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            self.lines += [line.decode() for line in lines]
            self._change()
        await self.process.wait()
        self._over = True
        self._change()

    def _change(self) -> None:
        self._said.set()
        self._said = trio.Event()


async def exists(path: Path) -> None:
    """Wait until another program has made a file."""
    with trio.fail_after(PATIENCE_S):
        while True:
            if await trio.Path(path).exists():
                return
            await trio.sleep(0.05)


async def holds(folder: Path, count: int) -> None:
    """Wait until other programs have made so many entries in a folder."""
    with trio.fail_after(PATIENCE_S):
        while True:
            if len(list(await trio.Path(folder).iterdir())) >= count:
                return
            await trio.sleep(0.01)


async def vanishes(path: Path) -> None:
    """Wait until another program has removed a file."""
    with trio.fail_after(PATIENCE_S):
        while True:
            if not await trio.Path(path).exists():
                return
            await trio.sleep(0.05)


@asynccontextmanager
async def colonies_node(*arguments: str, **variables: str) -> AsyncIterator[Spoken]:
    """A running colonies-node; it is killed when the block ends."""
    environ = {name: text for name, text in os.environ.items() if not name.startswith("COLONIES_")}
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "colonies_node", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environ, **variables},
        cwd=ROOT,
    )
    spoken = Spoken(process)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spoken.listen)
        try:
            yield spoken
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
