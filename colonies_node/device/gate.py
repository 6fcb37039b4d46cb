"""Whether this executor takes new work: not while its machine is locked, nor while its condition of work does not hold.

What runs goes on. A lock is a file in the data folder: it holds through a restart and a power cut, and `device lock`
can put it there while no executor runs. One that runs is told by SIGUSR1. Sensors cannot be waited for, so where there
is a condition it is looked at every few seconds.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import trio

from colonies_node.core.rules import Rule, Value
from colonies_node.device.results import write_durably

INTERVAL_S = 10.0
"""Seconds between two looks at the condition of work: batteries and heat move slower."""

MAX_REASON = 200
"""Characters of the reason of a lock."""


@dataclass(frozen=True)
class Lock:
    """Why a machine is locked and since when, in Unix seconds; `until` is when the lock ends by itself, 0 for never."""

    reason: str
    since: float
    until: float = 0


def lock(data: Path, reason: str, seconds: float = 0, now: float | None = None) -> Lock:
    """Lock the executor with this data folder; when this returns the lock is on disk. Over a lock it counts anew."""
    now = time.time() if now is None else now
    made = Lock(reason, now, now + seconds if seconds else 0)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_durably(_file(data), json.dumps(asdict(made)).encode())
    _tell(data)
    return made


def unlock(data: Path) -> bool:
    """Take the lock away; whether there was one."""
    there = locked(data) is not None
    _file(data).unlink(missing_ok=True)
    _tell(data)
    return there


def locked(data: Path, now: float | None = None) -> Lock | None:
    """The lock, if there is one that has not ended. One that cannot be read holds: whoever put it there meant it."""
    try:
        found = Lock(**json.loads(_file(data).read_bytes()))
        over = bool(found.until) and found.until <= (time.time() if now is None else now)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        return Lock("its file cannot be read", 0)
    return None if over else found


def why_locked(lock: Lock | None) -> str:
    """A lock in words; empty for none."""
    if lock is None:
        return ""
    return f"locked ({lock.reason})" if lock.reason else "locked"


def _file(data: Path) -> Path:
    return data / "lock.json"


def _tell(data: Path) -> None:
    """Have an executor that runs look at its lock."""
    try:
        with (data / "execute.lock").open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # one runs, and has its number in there
                os.kill(int(file.read()), signal.SIGUSR1)
    except (OSError, ValueError):
        pass


@dataclass
class Gate:
    """The present answer. `read` gives what the machine feels now; `changed` is called after each change."""

    data: Path
    when: Rule | None
    read: Callable[[], Mapping[str, Value]]
    say: Callable[[str], None]
    changed: Callable[[], None] = lambda: None
    closed: str = ""
    """Why no work is taken; empty while it is."""
    locked: Lock | None = None
    _opened: trio.Event = field(default_factory=trio.Event, init=False)

    def look(self) -> None:
        """See whether work may be taken now."""
        was = bool(self.closed), self.locked
        self.locked = locked(self.data)
        values = self.read() if self.when is not None and self.locked is None else {}
        self.closed = self._why(values)
        if (bool(self.closed), self.locked) == was:
            return
        if self.closed:
            self.say(f"No new work is taken: {self.closed}.")
        else:
            self.say("Work is taken again.")
            self._opened.set()
            self._opened = trio.Event()
        self.changed()

    async def until_open(self) -> None:
        """Wait until work may be taken."""
        while self.closed:
            await self._opened.wait()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look, and again whenever something may have changed, until cancelled."""
        with trio.open_signal_receiver(signal.SIGUSR1) as told:
            self.look()
            task_status.started()
            while True:
                self.look()
                with trio.move_on_after(self._pause()):
                    await anext(told)

    def _why(self, values: Mapping[str, Value]) -> str:
        if self.locked is not None:
            return why_locked(self.locked)
        if self.when is not None and not self.when.holds(values):
            return f"the condition does not hold: {self.when.explain(values)}"
        return ""

    def _pause(self) -> float:
        """Seconds until something may have changed by itself."""
        lock = self.locked.until - time.time() if self.locked and self.locked.until else math.inf
        return max(min(lock, INTERVAL_S if self.when is not None else math.inf), 0)
