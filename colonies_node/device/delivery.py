"""Brings outcomes from the disk to the server: first what is left of the log, then the close, oldest process
first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import trio

from colonies_node.core.errors import LinkDown, Refused
from colonies_node.device.desk import Desks
from colonies_node.device.link import Caller, is_membership, is_not_ours
from colonies_node.device.logs import LogQueue
from colonies_node.device.results import Outcome, Results
from colonies_node.http.backoff import Backoff

AT_ONCE = 8
"""Results on their way at the same time: enough for a slow link, too few to crowd out the rest."""


@dataclass
class Delivery:
    """The one place from which processes are closed. `say` tells a person what was refused."""

    client: Caller
    results: Results
    desks: Desks
    say: Callable[[str], None]
    backoff: Backoff = field(default_factory=Backoff)
    _saved: dict[str, Outcome] = field(default_factory=dict, init=False)
    """What is on disk and waits."""
    _looked: bool = field(default=False, init=False)
    """Whether it was seen what an earlier life left there."""
    _unsaved: dict[str, Outcome] = field(default_factory=dict, init=False)
    _fresh: trio.Event = field(default_factory=trio.Event, init=False)
    _empty: trio.Event = field(default_factory=trio.Event, init=False)

    async def hand_in(self, outcome: Outcome) -> None:
        """Take an outcome: it is on disk when this returns, and will be brought to the server.

        A full disk keeps it in memory only, which is said.
        """
        try:
            await trio.to_thread.run_sync(self.results.write, outcome)
            self._saved[outcome.processid] = outcome
        except OSError as fault:
            self._unsaved[outcome.processid] = outcome
            why = fault.strerror or fault
            self.say(f"The result of process {outcome.processid} could not be put on disk ({why}); do not stop now.")
        self.wake()

    def wake(self) -> None:
        """Look again at what waits."""
        if self._empty.is_set():
            self._empty = trio.Event()
        self._fresh.set()

    async def emptied(self) -> None:
        """Wait until nothing waits any more."""
        await self._empty.wait()

    async def run(self) -> None:
        """Deliver what waits, and what is handed in, until cancelled. A lost link is tried again for ever."""
        while True:
            self._fresh = trio.Event()
            if not await self.deliver_waiting():
                await trio.sleep(self.backoff.pause())
                continue
            self.backoff.reset()
            if not self._fresh.is_set():
                self._empty.set()
            await self._fresh.wait()

    async def deliver_waiting(self) -> bool:
        """Try all that wait once; whether the server has, or has refused for good, every one of them."""
        room = trio.CapacityLimiter(AT_ONCE)
        done: list[bool] = []
        delivered: list[Outcome] = []
        try:
            async with trio.open_nursery() as nursery:

                async def one(outcome: Outcome) -> None:
                    async with room:
                        try:
                            done.append(await self._deliver(outcome, delivered))
                        except LinkDown:
                            done.append(False)
                            nursery.cancel_scope.cancel()  # the others would only wait for the same silence

                for outcome in [*self._waiting(), *self._unsaved.values()]:
                    nursery.start_soon(one, outcome)
                    await trio.lowlevel.checkpoint()  # starts them in this order, which is that of their ends
        finally:
            if delivered:
                # A power cut before this has them delivered once more, which changes nothing.
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._clear, delivered)
                for outcome in delivered:
                    self._saved.pop(outcome.processid, None)
                    self._unsaved.pop(outcome.processid, None)
        return all(done)

    def _waiting(self) -> list[Outcome]:
        """All that is on disk, oldest first; read from there only once."""
        if not self._looked:
            self._looked = True
            self._saved = {outcome.processid: outcome for outcome in self.results.waiting()} | self._saved
        return sorted(self._saved.values(), key=lambda outcome: outcome.ended)

    def _clear(self, delivered: Sequence[Outcome]) -> None:
        for outcome in delivered:
            with contextlib.suppress(OSError):  # what stays is delivered once more by the next life
                self.desks.clear(outcome.processid)
                self.results.remove(outcome.processid)

    async def _deliver(self, outcome: Outcome, delivered: list[Outcome]) -> bool:
        """Bring one outcome to the server; False if it has to be tried again later."""
        try:
            await self._rest_of_log(outcome.processid)
            msgtype, fields = outcome.message
            await self.client.call(msgtype, **fields)
        except Refused as no:
            if is_not_ours(no):
                self._give_up(outcome, no)
                return True
            if is_membership(no) or no.status not in (400, 413):
                return False
            if outcome.successful:
                error = f"The server refused the output: {no.message}"
                await self.hand_in(replace(outcome, successful=False, out=[], errors=[error], ended=time.time_ns()))
                return False
            self._give_up(outcome, no)
            return True
        delivered.append(outcome)
        return True

    async def _rest_of_log(self, processid: str) -> None:
        queue = LogQueue(self.desks.log(processid))
        while (message := queue.oldest()) is not None:
            try:
                await self.client.call("addlogmsg", processid=processid, message=message)
            except Refused as no:
                if is_membership(no) or no.status >= 500:
                    raise
            queue.confirm()

    def _give_up(self, outcome: Outcome, no: Refused) -> None:
        said = f"The result of process {outcome.processid} was refused: {no.message}."
        try:
            self.say(f"{said} It is kept in {self.results.set_aside(outcome, no.message)}.")
        except OSError as fault:
            self.say(f"{said} It could not be kept: {fault.strerror or fault}.")
        self._forget(outcome)
        if is_not_ours(no):
            self.desks.clear(outcome.processid)  # else the folder stays: without it the process would be run again

    def _forget(self, outcome: Outcome) -> None:
        self._saved.pop(outcome.processid, None)
        self._unsaved.pop(outcome.processid, None)
        self.results.remove(outcome.processid)
