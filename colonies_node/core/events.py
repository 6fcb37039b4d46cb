"""What happened, as values, and who waits for work.

Events are collected while a change is made and told only after its commit. `WaitingRoom` keeps the executors that
wait in a long poll; it wakes one that may take what became free, and nobody else. It knows no event loop: a waiter
brings the function that wakes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from colonies_node.core import limits
from colonies_node.core.states import ProcessState

if TYPE_CHECKING:
    from colonies_node.core.model.channel import Entry
    from colonies_node.core.store.processes import ProcessRow


@dataclass(frozen=True, slots=True)
class ProcessChanged:
    """A process came into the state that its row shows."""

    process: ProcessRow


@dataclass(frozen=True, slots=True)
class AssignmentsResumed:
    """A colony hands out work again."""

    colonyname: str


@dataclass(frozen=True, slots=True)
class EntryAppended:
    """A channel of a process got an entry."""

    processid: str
    name: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class MembersChanged:
    """Somebody is no longer what she was in a colony: what she was allowed to hear has to be asked again."""

    colonyname: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """An upstream was added, changed, paused or removed, or is to be reached now."""

    name: str


@dataclass(frozen=True, slots=True)
class OffersChanged:
    """Other executors can be given work in a colony than before, here or above."""

    colonyname: str


@dataclass(frozen=True, slots=True)
class ShareChanged:
    """There is news of a process that other nodes are to hear of, besides its state."""

    processid: str


Event = (
    ProcessChanged | AssignmentsResumed | EntryAppended | MembersChanged | LinkChanged | OffersChanged | ShareChanged
)

Topic = tuple[str, str, int] | tuple[str, int]
"""What can be watched: (colony, executor type, state) of processes, or (process, state) of one."""


def topics(process: ProcessRow) -> tuple[Topic, ...]:
    """What a process that came into its state is news of: nothing while it waits for its parents."""
    if process.state == ProcessState.WAITING and process.waitforparents:
        return ()
    return (process.colonyname, process.executortype, process.state), (process.processid, process.state)


@dataclass(eq=False, slots=True)
class Waiter:
    """An executor in a long poll: what it is, what it has free, and how to wake it.

    `cpu` (millicores), `mem` (bytes) and `gpu` (how many) are None for "no limit". `link` is that of a lower node,
    which does not get back what came over it. `offers` is what it was woken for and has not looked at yet.
    """

    colonyname: str
    executortype: str
    executorname: str
    executorid: str
    locationname: str
    cpu: int | None
    mem: int | None
    gpu: int | None = None
    link: int = 0
    wake: Callable[[], None] = lambda: None
    offers: list[str] = field(default_factory=list)

    def may_take(self, process: ProcessRow) -> bool:
        """The rule of the assign query (store/processes.py), for one process and one executor."""
        return (
            (process.target in ("", self.executorname) or (process.target == "*" and self._named(process)))
            and process.locationname in ("", self.locationname.lower())
            and process.parallelism <= limits.MAX_PARALLELISM
            and not (process.origin and process.origin == self.link)
            and (self.cpu is None or process.cpu <= self.cpu)
            and (self.mem is None or process.mem <= self.mem)
            and (self.gpu is None or process.gpu <= self.gpu)
        )

    def _named(self, process: ProcessRow) -> bool:
        return self.executorname in process.names()


class WaitingRoom:
    """The waiting executors, by colony and type, in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: defaultdict[tuple[str, str], dict[Waiter, None]] = defaultdict(dict)

    def enter(self, waiter: Waiter, wake: Callable[[], None]) -> None:
        """Wait from now on. Look for work once more after this: what came before it wakes nobody."""
        waiter.wake = wake
        self._waiters[waiter.colonyname, waiter.executortype][waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer."""
        key = waiter.colonyname, waiter.executortype
        line = self._waiters.get(key)
        if line is not None:
            line.pop(waiter, None)
            if not line:
                del self._waiters[key]

    def offer(self, process: ProcessRow, instead_of: Waiter | None = None) -> bool:
        """Wake the first waiter that may take the process, which then waits no longer; whether there was one."""
        line = self._waiters.get((process.colonyname, process.executortype))
        for waiter in line or ():
            if waiter is not instead_of and waiter.may_take(process):
                self.leave(waiter)
                waiter.offers.append(process.processid)
                waiter.wake()
                return True
        return False

    def wake_all(self, colonyname: str | None = None) -> None:
        """Wake every waiter (of a colony): it looks again, or goes home when the server closes."""
        for waiter in [w for (colony, _), line in self._waiters.items() if colonyname in (None, colony) for w in line]:
            self.leave(waiter)
            waiter.wake()

    def present(self) -> list[str]:
        """The ids of the executors that wait."""
        return [waiter.executorid for line in self._waiters.values() for waiter in line]

    def __len__(self) -> int:
        return sum(map(len, self._waiters.values()))
