"""One question to Slurm for all jobs of this executor, asked often while things change and rarely while they do not.

A login node may have hundreds of our jobs, and a controller has other things to do than answer for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from colonies_node.device.runners.slurm.commands import Row, Slurm

SOON_S: Final = 0.5
"""Seconds between two questions while things change."""

GROWTH: Final = 1.5


class Queue:
    """What Slurm says of our jobs. `most` is the number of seconds between two questions while nothing changes."""

    def __init__(self, slurm: Slurm, most: float, say: Callable[[str], None]) -> None:
        self._slurm, self._most, self._say = slurm, most, say
        self.answered = 0
        """How many questions were answered."""
        self.begun = self.done = 0
        """How many questions were asked, and have come back."""
        self.jobs: dict[str, list[Row]] = {}
        """The last answer: jobs by name."""
        self.of = 0
        """The question to which that was the answer."""
        self._followed: Counter[str] = Counter()
        self._down = False
        self._stirred, self._asked = trio.Event(), trio.Event()

    @contextmanager
    def following(self, name: str) -> Iterator[None]:
        """Somebody wants to know about a job. Without anybody nothing is asked."""
        self._followed[name] += 1
        self.stir()
        try:
            yield
        finally:
            self._followed -= Counter([name])
            if name not in self._followed:
                self.jobs.pop(name, None)

    def stir(self) -> None:
        """Something changes: ask soon."""
        self._stirred.set()

    async def next(self) -> None:
        """Wait until a question has come back, answered or not."""
        await self._asked.wait()

    async def fresh(self, name: str) -> list[Row] | None:
        """The jobs of a name by a question that is asked now; None if it is not answered."""
        wanted = self.begun + 1
        self.stir()
        while self.done < wanted:
            await self._asked.wait()
        return self.jobs.get(name, []) if self.of >= wanted else None

    async def run(self) -> None:
        """Ask, until cancelled."""
        pause = SOON_S
        while True:
            if not self._followed:
                self._stirred = trio.Event()
                await self._stirred.wait()
                continue
            self._stirred = trio.Event()
            changed = await self._ask()
            pause = SOON_S if changed else min(pause * GROWTH, max(self._most, SOON_S))
            with trio.move_on_after(pause - SOON_S):
                await self._stirred.wait()
            if self._stirred.is_set():
                pause = SOON_S
            await trio.sleep(SOON_S)

    async def _ask(self) -> bool:
        """Ask once; whether anything has changed."""
        self.begun += 1
        jobs, complaint = await self._slurm.jobs()
        self.done, before = self.begun, self._states()
        if jobs is not None:
            self.jobs, self.of = jobs, self.begun
            self.answered += 1
        if (jobs is None) != self._down:
            self._down = jobs is None
            down = f"Slurm does not answer ({complaint}); its jobs go on."
            self._say(down if self._down else "Slurm answers again.")
        self._asked.set()
        self._asked = trio.Event()
        return self._states() != before

    def _states(self) -> dict[str, list[Row]]:
        return {name: self.jobs.get(name, []) for name in self._followed}
