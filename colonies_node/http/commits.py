"""Group commit: the changes of many tasks in one transaction, one fsync for all of them.

Whoever has a change when the last commit ends shares the next one. The commit itself runs on the event loop's thread
(core/store says why); only a bulk change, which may take long, is made in a thread, alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import trio

from colonies_node.core import limits
from colonies_node.core.errors import Internal
from colonies_node.core.events import Event
from colonies_node.core.store.sqlite import Store
from colonies_node.core.store.transaction import Change, Outcome, Transaction
from colonies_node.http.meter import Meter

T = TypeVar("T")

QUIET: Final = 2
"""Turns of the event loop without another change, after which a commit waits for no more: a connection that has more
needs one turn to read it and one to begin with it."""

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    change: Change
    task: trio.lowlevel.Task
    bulk: bool
    outcome: Outcome = field(default_factory=Outcome)


class Commits:
    """Takes changes from tasks and commits them while `run` runs.

    `before` is called before each commit. After it, and after its callers are free to go on, `tell` gets each event
    and `due` the earliest instant that a change asked to be looked at again.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[Event], None],
        due: Callable[[int], None],
        meter: Meter,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._tell = tell
        self._due = due
        self._meter = meter
        self._before = before
        self._jobs: list[_Job] = []
        self._work = trio.Event()
        self.at_bulk = False
        """Whether a bulk change is being made, for which all others wait."""
        self._folding = False
        self._fold_now_at = self._fold_pages = limits.CHECKPOINT_NOW_PAGES

    async def write(self, change: Callable[[Transaction], T], *, bulk: bool = False) -> T:
        """Make a change together with whoever else has one now (a `bulk` one alone); returns when it is on disk.

        Cancelled while it waits for its turn, the change is withdrawn; once begun, it is always answered.
        """
        job = _Job(change, trio.lowlevel.current_task(), bulk)
        self._jobs.append(job)
        self._work.set()

        def withdraw(_: Any) -> trio.lowlevel.Abort:
            if job not in self._jobs:
                return trio.lowlevel.Abort.FAILED
            self._jobs.remove(job)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(withdraw)
        if job.outcome.error is not None:
            raise job.outcome.error
        value: T = job.outcome.value
        return value

    def keep_log_under(self, size: int) -> None:
        """Fold the log at so many bytes, if that is sooner than usual, and give its room back to the disk."""
        waited = self._fold_now_at - self._fold_pages
        self._fold_pages = min(size // limits.PAGE, limits.CHECKPOINT_NOW_PAGES)
        self._fold_now_at = self._fold_pages + waited

    async def run(self) -> None:
        """Commit what comes, and fold the log when it has grown, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._work.wait()
                # Whoever can run now may join this commit, and so may those for whom a connection has more.
                await trio.lowlevel.checkpoint()
                quiet = 0
                while quiet < QUIET and len(self._jobs) < limits.MAX_BATCH:
                    known = len(self._jobs)
                    await trio.lowlevel.checkpoint()
                    quiet = 0 if len(self._jobs) > known else quiet + 1
                batch = self._next_batch()
                if not self._jobs:
                    self._work = trio.Event()
                if batch:
                    await self._commit(batch)
                    self._fold(nursery)

    def _next_batch(self) -> list[_Job]:
        """The jobs of the next commit, in the order in which they came: many, or a bulk one alone."""
        bulk = next((place for place, job in enumerate(self._jobs) if job.bulk), limits.MAX_BATCH)
        size = min(bulk or 1, limits.MAX_BATCH)
        batch, self._jobs = self._jobs[:size], self._jobs[size:]
        return batch

    async def _commit(self, batch: list[_Job]) -> None:
        changes = [job.change for job in batch]
        outcomes = [Outcome(error=Internal()) for _ in batch]
        began = trio.current_time()
        try:
            self._before()
            if batch[0].bulk:
                # Begun is finished, also when the server closes meanwhile: its caller cannot be cancelled any more.
                self.at_bulk = True
                with trio.CancelScope(shield=True):
                    outcomes = await trio.to_thread.run_sync(self._store.commit, changes)
            else:
                outcomes = self._store.commit(changes)
        finally:
            self.at_bulk = False
            for job, outcome in zip(batch, outcomes, strict=True):
                job.outcome = outcome
                trio.lowlevel.reschedule(job.task)
        self._meter.committed(trio.current_time() - began, batch[0].bulk, sum(not one.error for one in outcomes))
        if self._store.alarm:
            self._due(self._store.alarm)
        for outcome in outcomes:
            for event in outcome.events:
                self._tell(event)

    def _fold(self, nursery: trio.Nursery) -> None:
        if self._store.log_pages >= self._fold_now_at:
            # A reader may hold the log: then let it grow by as much again before everybody waits for the next try.
            folded = self._store.fold_now()
            self._fold_now_at = self._fold_pages + (0 if folded else self._store.log_pages)
        elif self._store.log_pages >= limits.CHECKPOINT_PAGES and not self._folding:
            self._folding = True
            nursery.start_soon(self._fold_aside)

    async def _fold_aside(self) -> None:
        try:
            await trio.to_thread.run_sync(self._store.fold)
        finally:
            self._folding = False
