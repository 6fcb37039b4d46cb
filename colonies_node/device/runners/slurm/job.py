"""One job, from its submission until it is gone, through any number of lives of the executor.

What has to survive is in the folder of the process, each in a file of its own that is written before what it stands
for is done or right after:

    intent     name and options: a job of that name may exist from now on
    number     the job that sbatch has named
    given-up   the job is to be cancelled, and is not ours to report
    ended      the same, but its end is reported
    read       how much of its output is in the log

How it ended is asked of those who know best, in this order: the exit status that its script has noted, the controller,
the accounting. A file may come late over a network, and an answer may be missing, so none of them is believed to have
nothing to say before some time has passed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import trio

from colonies_node.device.results import write_durably
from colonies_node.device.runners import GIVEN_UP
from colonies_node.device.runners.slurm.commands import Record, Row, Slurm
from colonies_node.device.runners.slurm.queue import Queue
from colonies_node.device.runners.slurm.script import SUBMIT, Plan
from colonies_node.device.runners.slurm.states import ACTIVE, AT_WORK, BY_SLURM, explained
from colonies_node.device.runners.slurm.tail import Tail
from colonies_node.device.supervised import Ended

MOST_NOTES: Final = 30
"""Lines about the state of a job that go to its log: the reasons of a waiting job may change for days."""


@dataclass(frozen=True)
class Patience:
    """Seconds that something may take before we go on without it."""

    unclear: float = 20.0
    """Until a job shows whose submission had no clear answer. A second one would do nothing, see `script`."""
    late: float = 10.0
    """Until a file shows that was written on a node."""
    lost: float = 60.0
    """Until a job counts as gone that Slurm does not list."""
    leaving: float = 5.0
    """Until Slurm takes a job as ended whose script has ended."""
    completing: float = 120.0
    """Until a job that is cancelled counts as gone though its node does not say so: it may be dead."""
    look: float = 1.0
    """Between two looks for the exit status of a running job."""
    first: float = 5.0
    most: float = 120.0
    """Between two tries to submit, at first and at the most."""


class Job:
    """A job as what was started for a process (`runners.Started`). Closing it leaves it to the next life."""

    def __init__(self, plan: Plan, slurm: Slurm, queue: Queue, patience: Patience) -> None:
        self._plan, self._slurm, self._queue, self._patience = plan, slurm, queue, patience
        self._number = _read(plan.folder / "number")
        self._read = _offsets(plan.folder / "read")
        self._out, self._err = (
            Tail(plan.folder / name, self._read.get(name, 0), plan.errand.kept) for name in ("out", "err")
        )
        self.stdout: trio.abc.ReceiveStream = self._out
        self.stderr: trio.abc.ReceiveStream = self._err
        self._asked, self._hurried = trio.Event(), trio.Event()
        self._given_up_before = (plan.folder / "given-up").exists()
        if self._given_up_before or (plan.folder / "ended").exists():
            self._asked.set()
        self._cancelled_at: int | None = None
        self._noted: list[str] = []
        self._said: set[str] = set()

    async def terminate(self) -> None:
        """Cancel it. Slurm sends SIGTERM first, and SIGKILL after the time that its site gives."""
        self._remember("given-up")
        self._asked.set()

    async def kill(self) -> None:
        """Cancel it, at once if Slurm does that."""
        if not self._asked.is_set():
            self._remember("ended")
        self._asked.set()
        self._hurried.set()

    async def wait(self) -> Ended:
        """How it ended, for which it is first submitted."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_when_asked)
            nursery.start_soon(self._remember_what_was_read)
            with self._queue.following(self._plan.name):
                ended = await self._submit() or await self._follow()
            for tail, size in zip((self._out, self._err), await self._sizes(), strict=True):
                tail.finish(size)
            await self._out.ended.wait()
            await self._err.ended.wait()
            nursery.cancel_scope.cancel()
        return ended

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._out.settle()
        self._err.settle()
        self._write_read()

    # Submitting

    async def _submit(self) -> Ended | None:
        """Submit it, unless that was done; the end of it if it cannot be."""
        if self._number or (self._plan.again and await self._found()):
            return None
        pause = self._patience.first
        while not self._asked.is_set():
            answer = await self._slurm.submit(self._plan.options, self._plan.folder / SUBMIT)
            if answer.number:
                self._is(answer.number)
                self._cancelled_at = None  # one that was asked for before found no job
                self._note(f"[Slurm job {answer.number}]")
                self._queue.stir()
                return None
            if answer.refused:
                return Ended(fault=(0, f"Slurm does not take the job: {answer.refused}"))
            if answer.unclear and await self._found():
                return None
            self._once(f"[Slurm takes no job now: {answer.busy or 'sbatch did not answer'}. Trying again.]")
            with trio.move_on_after(pause):
                await self._asked.wait()
            pause = min(pause * 2, self._patience.most)
        return self._given_up()

    async def _found(self) -> bool:
        """Whether there is a job of this name, after waiting for it to show."""
        until = trio.current_time() + self._patience.unclear
        while True:
            if number := await self._claim():
                self._is(number)
                return True
            if await self._exit():
                return True
            if rows := await self._queue.fresh(self._plan.name):
                self._is(rows[0].number)
                return True
            if rows is not None and trio.current_time() >= until:
                return False

    def _is(self, number: str) -> None:
        self._number = number
        with contextlib.suppress(OSError):  # then it is found by its name
            write_durably(self._plan.folder / "number", number.encode())

    # Following

    async def _follow(self) -> Ended:
        """Stay with it until it is gone."""
        missing: float | None = None
        answered = 0
        while True:
            if status := await self._exit():
                return await self._ended(status[0])
            rows = self._queue.jobs.get(self._plan.name, [])
            active = [row for row in rows if row.state in ACTIVE]
            self._tell(active)
            if active:
                missing = None
            elif self._queue.answered > answered:
                now = trio.current_time()
                missing = now if missing is None else missing
                if self._is_cancelled():
                    return self._given_up()
                if ended := await self._judge(rows, now - missing):
                    return ended
            if self._is_cancelled() and self._is_stuck(active):
                return self._given_up()
            answered = self._queue.answered
            with trio.move_on_after(self._patience.look):
                await self._queue.next()

    async def _judge(self, rows: list[Row], missing: float) -> Ended | None:
        """What to make of a job that is not active and has left no exit status; None to wait for more."""
        if missing < self._patience.late:
            self._queue.stir()
            return None
        number = await self._claim() or self._number
        record = await self._slurm.record(number) if number else None
        if record is not None and record.state in ACTIVE:
            return None
        if record is None:
            listed = next((row for row in rows if row.number == number), rows[-1] if rows else None)
            record = Record(listed.state, int(listed.state != "COMPLETED"), 0, listed.reason) if listed else None
        if record is None and missing < self._patience.lost:
            return None
        if status := await self._exit():
            return await self._ended(status[0])
        if record is not None and record.state == "COMPLETED" and not record.code and not record.signal:
            return Ended(code=0)
        return Ended(fault=(0, explained(number, record, folder=str(self._plan.folder))))

    async def _ended(self, status: int) -> Ended:
        """The end by the status that the script has noted, once Slurm has let go of the job."""
        rows: list[Row] | None = None
        with trio.move_on_after(self._patience.leaving):
            while True:
                rows = await self._queue.fresh(self._plan.name)
                if rows is not None and not any(row.state in ACTIVE for row in rows):
                    break
        if status == 0:
            return Ended(code=0)
        if self._asked.is_set():
            return self._given_up()
        number = await self._claim() or self._number
        for row in rows or []:
            if row.number == number and row.state in BY_SLURM:
                return Ended(fault=(0, explained(number, Record(row.state, reason=row.reason), folder="")))
        return Ended(code=status)

    def _tell(self, active: list[Row]) -> None:
        """Say in the log what it waits for, and let its output be read once it runs."""
        for row in active:
            if row.state in AT_WORK:
                self._out.begin()
                self._err.begin()
            words = f"[Slurm job {row.number}: {row.state}{f', {row.reason}' if row.reason else ''}]"
            self._note(words)

    # Ending

    async def _cancel_when_asked(self) -> None:
        """Cancel it, and again until it is gone: the controller may be down."""
        await self._asked.wait()
        pause = 1.0
        while True:
            hurried = self._hurried.is_set()
            await self._slurm.cancel(self._plan.name, at_once=hurried)
            if self._cancelled_at is None:
                self._cancelled_at = self._queue.begun
                self._since = trio.current_time()
            self._queue.stir()
            if hurried:
                await trio.sleep(pause)
            else:
                with trio.move_on_after(pause):
                    await self._hurried.wait()
            pause = min(pause * 2, 30.0)

    def _is_cancelled(self) -> bool:
        """Whether an answer of Slurm is there to a question that was asked after the cancel."""
        return self._cancelled_at is not None and self._queue.of > self._cancelled_at

    def _is_stuck(self, active: list[Row]) -> bool:
        leaving = all(row.state == "COMPLETING" for row in active)
        return leaving and trio.current_time() - self._since > self._patience.completing

    def _given_up(self) -> Ended:
        return GIVEN_UP if self._given_up_before else Ended(signal=15)

    # Files

    def _remember(self, what: str) -> None:
        with contextlib.suppress(OSError):  # without room it is cancelled all the same
            write_durably(self._plan.folder / what, b"")

    async def _exit(self) -> list[int] | None:
        """Exit status and sizes as the script has noted them."""
        text = await trio.to_thread.run_sync(_read, self._plan.folder / "exit")
        return [int(word) for word in text.split()] if re.fullmatch(r"\d{1,3}( \d{1,18} \d{1,18})?", text) else None

    async def _sizes(self) -> list[int] | list[None]:
        """How much the program has written, where that is known."""
        if noted := (await self._exit() or [])[1:]:
            return noted
        return [None, None] if self._number else [0, 0]

    async def _claim(self) -> str:
        """The number of the job that does the work; empty if none has begun."""
        text = await trio.to_thread.run_sync(_read, self._plan.folder / "claim" / "job")
        return text if re.fullmatch(r"\d{1,18}", text) else ""

    async def _remember_what_was_read(self) -> None:
        while True:
            await trio.sleep(2.0)
            self._write_read()

    def _write_read(self) -> None:
        told = {"out": self._out.told, "err": self._err.told}
        if told != self._read:
            with contextlib.suppress(OSError):
                fresh = self._plan.folder / "read.new"
                fresh.write_text(json.dumps(told))
                fresh.replace(self._plan.folder / "read")
                self._read = told

    def _note(self, words: str) -> None:
        if words not in self._noted[-1:] and len(self._noted) < MOST_NOTES:
            self._noted.append(words)
            self._plan.errand.say(words)

    def _once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._plan.errand.say(words)


def write_plan(plan: Plan) -> None:
    """Put a new plan on disk: when this returns, a job of its name may be submitted."""
    plan.folder.mkdir(mode=0o700)
    for name, text in plan.files.items():
        with open(os.open(plan.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode(errors="surrogatepass"))
    intent = {"name": plan.name, "options": list(plan.options)}
    write_durably(plan.folder / "intent", json.dumps(intent).encode())


def read_plan(folder: Path) -> tuple[str, list[str]] | None:
    """Name and options as an earlier life has written them down; None if it has not come that far."""
    try:
        intent = json.loads((folder / "intent").read_bytes())
        return str(intent["name"]), [str(option) for option in intent["options"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(path: Path) -> str:
    """A short file. The folder is listed first: a network file system may remember that the file was not there."""
    try:
        if path.name not in os.listdir(path.parent):
            return ""
        with path.open(encoding="ascii", errors="replace") as file:
            return file.read(256).strip()
    except OSError:
        return ""


def _offsets(path: Path) -> Mapping[str, int]:
    try:
        told = json.loads(path.read_bytes())
        return {name: offset for name, offset in told.items() if isinstance(offset, int) and offset >= 0}
    except (OSError, ValueError, AttributeError):
        return {}
