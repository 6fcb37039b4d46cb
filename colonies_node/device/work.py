"""The life of one process on this machine: its folder, its program, its log, its end, and the outcome that is
handed in.

A process ends in one of four ways. Its program ends: success or failure, as the runner reads it. Its time is
over: the program is ended and nothing is handed in, because the server applies the same deadline and then
retries or fails it itself; a failure from here would take the retries away. It is not ours any more
(cancelled, removed, given to another): the program is ended and nothing is handed in. The executor stops: the
program is ended and the process fails with a sentence that says so, unless what was started outlives the executor.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import trio

from colonies_node.core.errors import BadRequest, LinkDown, Refused
from colonies_node.device.delivery import Delivery
from colonies_node.device.desk import Desks
from colonies_node.device.environment import wanted
from colonies_node.device.leftovers import kill_survivors
from colonies_node.device.link import Caller, is_gone
from colonies_node.device.logs import LogQueue, LogStream
from colonies_node.device.results import Outcome
from colonies_node.device.room import Need, Room, needed
from colonies_node.device.runners import GIVEN_UP, Errand, Runner, Started, Written, choose, visible
from colonies_node.device.supervised import NO_LIMITS, UNSUPERVISED, Ended, Limits

GRACE_S = 5.0
"""Seconds between asking a process group to end and killing it."""

LOOK_S = 5.0
"""Seconds between two looks at whether a running process is still ours: how late a cancel is noticed."""

LAST_WORDS_S = 2.0
"""Seconds to wait for the end of the output, and for a log message under way, once the program has ended."""

LEAST_MEMORY = 16 * 1024 * 1024
"""Bytes that every process may use, however little its spec asks for: with less hardly a program starts."""

STOPPED = "The executor stopped before the process finished."
RUNNING = 1  # state of a process (protocol/core.md 3.5)


class Why(Enum):
    """Why a program is ended from outside."""

    DEADLINE = "its time is over"
    LOST = "it is no longer ours"
    STOPPING = "the executor stops"
    FLOOD = "it has written too much"


@dataclass
class Workshop:
    """What every process of this executor has in common."""

    client: Caller
    desks: Desks
    delivery: Delivery
    runners: Sequence[Runner]
    names: Sequence[str]
    """What is offered, for the sentence that refuses the rest."""
    env: Mapping[str, str]
    """What every program's environment starts from."""
    executorid: str
    say: Callable[[str], None]
    room: Room
    limits: Limits = NO_LIMITS
    """What a program may use that does not ask for less."""


class _Left(Exception):
    """The executor stops, and what it started goes on without it."""


@dataclass
class Work:
    """One process that is assigned to us, from its assignment until its end.

    `adopted` says that an earlier life of the executor has begun it.
    """

    shop: Workshop
    process: Mapping[str, Any]
    adopted: bool = False
    done: trio.Event = field(default_factory=trio.Event, init=False)
    _gpus: Sequence[int] | None = field(default=None, init=False)
    _why: Why | None = field(default=None, init=False)
    _ending: trio.Event = field(default_factory=trio.Event, init=False)
    _stopping: trio.Event = field(default_factory=trio.Event, init=False)
    _hurry: trio.Event = field(default_factory=trio.Event, init=False)
    _doubt: trio.Event = field(default_factory=trio.Event, init=False)

    @property
    def processid(self) -> str:
        """The id of the process."""
        return str(self.process["processid"])

    def end(self, why: Why, *, at_once: bool = False) -> None:
        """End the program: politely first, or at once. The first reason given counts."""
        self._why = self._why or why
        self._ending.set()
        if why is Why.STOPPING:
            self._stopping.set()
        if at_once:
            self._hurry.set()

    def take_room(self) -> None:
        """Take of this machine what the process asks for, if that is free; else `run` waits for it."""
        with contextlib.suppress(BadRequest):  # a senseless process: `run` says so
            if self._gpus is None:
                self._gpus = self.shop.room.take(self._need)

    async def run(self) -> Outcome | None:
        """Live the life of the process; what is to be handed in then, if anything is."""
        log = LogStream(LogQueue(self.shop.desks.log(self.processid)), self._send_log, self._doubt.set)
        try:
            out = await self._result(log)
            outcome = Outcome(self.processid, time.time_ns(), True, out=out)
        except BadRequest as no:
            outcome = Outcome(self.processid, time.time_ns(), False, errors=[no.message])
        except OSError as fault:
            error = f"The executor could not run the process: {fault.strerror or fault}."
            outcome = Outcome(self.processid, time.time_ns(), False, errors=[error])
        except _Left:
            log.queue.save()
            return None
        finally:
            if self._gpus is not None:
                self.shop.room.give_back(self._need, self._gpus)
        if self._why in (Why.DEADLINE, Why.LOST):
            self.shop.say(f"Process {self.processid} was ended: {self._why.value}.")
            self.shop.desks.clear(self.processid)
            return None
        log.queue.save()
        return outcome

    async def _result(self, log: LogStream) -> list[Any]:
        """The output; BadRequest with a sentence for every way to fail."""
        if not self.adopted:
            self.shop.desks.set_up(self.processid)
        return await self._run(self._runner, await self._room(), log)

    @property
    def _runner(self) -> Runner:
        return choose(self.shop.runners, self.process["spec"]["funcname"], self.shop.names)

    @property
    def _need(self) -> Need:
        """What it asks for of this machine: nothing if it runs elsewhere."""
        return Need() if self._runner.outlives else needed(self.process["spec"])

    async def _room(self) -> Sequence[int]:
        """Take what the process asks for, waiting until it is free; the GPUs set aside for it."""
        if self._gpus is None:
            self._gpus = self.shop.room.take(self._need)
        if self._gpus is None:
            async with trio.open_nursery() as nursery:

                async def give_up() -> None:
                    await self._ending.wait()
                    nursery.cancel_scope.cancel()

                for watch in (give_up, self._keep_time, self._keep_looking):
                    nursery.start_soon(watch)
                self._gpus = await self.shop.room.take_later(self._need)
                nursery.cancel_scope.cancel()
        if self._gpus is None:
            raise BadRequest(STOPPED)
        return self._gpus

    async def _run(self, runner: Runner, gpus: Sequence[int], log: LogStream) -> list[Any]:
        spec, desks = self.process["spec"], self.shop.desks
        errand = Errand(
            self.processid,
            spec,
            desks.folder(self.processid),
            {**self.shop.env, "COLONIES_PROCESS_ID": self.processid, **visible(gpus)},
            wanted(spec.get("env")),
            limited(self.shop.limits, spec),
            gpus,
            log.write,
            lambda: log.queue.safe,
        )
        if self.adopted:
            prepared = runner.adopt(errand)
        else:
            prepared = runner.prepare(errand)
            if runner.outlives:
                await trio.to_thread.run_sync(desks.keep_process, self.process)
        written = Written()
        ended = await self._live(await runner.start(prepared), log, written, errand.limits, runner.outlives)
        if ended is None:
            raise _Left
        if ended is GIVEN_UP:
            self._why = self._why or Why.LOST
        if self._why is Why.STOPPING:
            raise BadRequest(STOPPED)
        return runner.output(errand, ended, written)

    async def _live(
        self, started: Started, log: LogStream, written: Written, limits: Limits, outlives: bool
    ) -> Ended | None:
        """Stay with what was started until it, and all it started, has ended; None if it goes on without us."""
        flood = Flood(limits.output, lambda: self.end(Why.FLOOD, at_once=True))
        ended = None
        async with started as running, trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_asked, running, outlives)
            if outlives:
                nursery.start_soon(self._leave_when_stopped, nursery.cancel_scope)
            if self._seconds:
                nursery.start_soon(self._keep_time)
            nursery.start_soon(self._keep_looking)
            nursery.start_soon(log.run)
            async with trio.open_nursery() as readers:
                readers.start_soon(log.read, running.stdout, written.out.feed, flood.feed)
                readers.start_soon(log.read, running.stderr, written.err.feed, flood.feed)
                ended = await running.wait()
                if ended is UNSUPERVISED:
                    kill_survivors([self.processid])
                readers.cancel_scope.deadline = trio.current_time() + LAST_WORDS_S
            await log.settle(LAST_WORDS_S)
            nursery.cancel_scope.cancel()
        return replace(ended, exceeded="output") if ended and self._why is Why.FLOOD else ended

    async def _leave_when_stopped(self, stay: trio.CancelScope) -> None:
        """Leave what goes on without us, also while it is being ended: the next life goes on with that."""
        await self._stopping.wait()
        stay.cancel()

    async def _end_when_asked(self, running: Started, outlives: bool) -> None:
        await self._ending.wait()
        if outlives and self._why is Why.STOPPING:
            return
        if self._why is not Why.FLOOD:
            await running.terminate()
        with trio.move_on_after(GRACE_S):
            await self._hurry.wait()
        await running.kill()

    async def _keep_time(self) -> None:
        """End the program when its time is over, by our own clock: the link may be down, the server's clock
        differ.
        """
        if self._seconds:
            gone = self.shop.desks.age(self.processid) if self.adopted else 0
            await trio.sleep(max(self._seconds - gone, 0))
            self.end(Why.DEADLINE)

    @property
    def _seconds(self) -> int:
        """How long it may run; 0 for ever."""
        return max(self.process["spec"].get("maxexectime") or 0, 0)

    async def _keep_looking(self) -> None:
        """Look now and then, and at once after a refusal, whether the process is still ours."""
        while True:
            with trio.move_on_after(LOOK_S):
                await self._doubt.wait()
            doubted, self._doubt = self._doubt.is_set(), trio.Event()
            if not await self._is_ours():
                self.end(Why.LOST)
                return
            if doubted:
                await trio.sleep(LOOK_S)  # a server that contradicts itself must not be asked without pause

    async def _is_ours(self) -> bool:
        """Whether the server still counts the process as running here; without an answer we go on."""
        try:
            seen = await self.shop.client.call("getprocessmsg", processid=self.processid)
        except LinkDown:
            return True
        except Refused as no:
            return not is_gone(no)
        return bool(seen["state"] == RUNNING and seen["assignedexecutorid"] == self.shop.executorid)

    async def _send_log(self, message: str) -> None:
        await self.shop.client.call("addlogmsg", processid=self.processid, message=message)


class Flood:
    """Counts what a program writes; calls `end` once it is more than `most` bytes, unless that is 0."""

    def __init__(self, most: int, end: Callable[[], None]) -> None:
        self._most, self._end, self._read = most, end, 0

    def feed(self, data: bytes | bytearray) -> None:
        """Take in what came next."""
        self._read += len(data)
        if 0 < self._most < self._read:
            self._end()


def limited(limits: Limits, spec: Mapping[str, Any]) -> Limits:
    """The limits of a process: those of the executor, and no more memory than its spec asks for."""
    asked = needed(spec).mem
    return replace(limits, memory=max(min(asked, limits.memory or asked), LEAST_MEMORY)) if asked else limits
