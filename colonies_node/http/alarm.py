"""The alarm clock: sleeps until something is due, and not a moment of processor time before."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from colonies_node.core.errors import ColonyError
from colonies_node.core.model.times import SECOND

log = logging.getLogger(__name__)

MAX_SLEEP = 60.0
"""Seconds until a sleeping alarm looks at the clock again: a wall clock may be set while it sleeps."""

STEP = 120 * SECOND
"""A wall clock that moved by more than this against the steady one was set: more than MAX_SLEEP, so that what happened
before the step and after it cannot be mixed up."""


class Alarm:
    """Calls `ring` when the instant it is set to has come; `ring` gives the next instant. 0 is never.

    Instants are Unix nanoseconds of `clock`. When that was set, or the machine slept, by more than STEP, `stepped` is
    called with by how much (back: negative) before anything rings, and gives the next instant too.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        ring: Callable[[], Awaitable[int]],
        stepped: Callable[[int], Awaitable[int]],
    ) -> None:
        self._clock = clock
        self._ring = ring
        self._stepped = stepped
        self._boot = 0
        self._instant = 0
        self._moved = trio.Event()

    def set(self, instant: int) -> None:
        """Ring at this instant, or earlier if it was set so."""
        if instant and (not self._instant or instant < self._instant):
            self._instant = instant
            self._moved.set()

    async def run(self) -> None:
        """Keep time until cancelled."""
        self._boot = self._booted()
        while True:
            self._moved = trio.Event()
            step = self._booted() - self._boot
            if abs(step) > STEP:
                self._boot += step
                self._instant = 0
                await self._call(partial(self._stepped, step))
                continue
            if not self._instant or self._instant > self._clock():
                await self._sleep()
                continue
            self._instant = 0
            await self._call(self._ring)

    def _booted(self) -> int:
        """The instant at which the loop's steady clock was 0, by the wall clock: it changes when that is set."""
        return self._clock() - int(trio.current_time() * SECOND)

    async def _call(self, what: Callable[[], Awaitable[int]]) -> None:
        try:
            self.set(await what())
        except ColonyError as fault:
            log.error("what was due could not be done, trying again in a minute: %s", fault)
            self.set(self._clock() + 60 * SECOND)

    async def _sleep(self) -> None:
        seconds = (self._instant - self._clock()) / SECOND if self._instant else float("inf")
        with trio.move_on_after(min(seconds, MAX_SLEEP) if self._instant else float("inf")):
            await self._moved.wait()
