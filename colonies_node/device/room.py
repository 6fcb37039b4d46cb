"""What of this machine is free for another process: processor, memory and GPUs, as function specs ask for them.

A process that asks for nothing needs a free slot only. What is said to be free is what nothing here has taken, and of
memory no more than the kernel says is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from colonies_node.core.errors import BadRequest
from colonies_node.core.model.quantities import cpu_text, memory_bytes, memory_text, millicores
from colonies_node.device import kernel
from colonies_node.device.machine import Machine

MEMINFO: Final = Path("/proc/meminfo")


@dataclass(frozen=True)
class Need:
    """What a process asks for: millicores, bytes, number of GPUs."""

    cpu: int = 0
    mem: int = 0
    gpus: int = 0

    def is_less_than(self, other: Need) -> bool:
        """Whether the other is more in processors or GPUs. Memory comes and goes by itself."""
        return self.cpu < other.cpu or self.gpus < other.gpus

    def __str__(self) -> str:
        return f"{cpu_text(self.cpu)} of processor, {memory_text(self.mem)} of memory and {self.gpus} GPU(s)"


def needed(spec: Mapping[str, Any]) -> Need:
    """What the conditions of a function spec ask for, of one machine. Amounts that mean nothing count as none."""
    conditions = spec.get("conditions") or {}
    count = (conditions.get("gpu") or {}).get("count")
    return Need(
        _read(millicores, conditions.get("cpu")),
        _read(memory_bytes, conditions.get("mem")),
        count if isinstance(count, int) and count > 0 else 0,
    )


def _read(amount: Callable[[str], int], text: object) -> int:
    try:
        return max(amount(text), 0) if isinstance(text, str) and text else 0
    except BadRequest:
        return 0


@dataclass
class Room:
    """One machine: what it has, and what of it is taken. `gpus` are numbers; `available` says how many bytes of memory
    the kernel could give, None if it does not tell. `changed` is called when something was taken or given back.
    """

    cpu: int
    mem: int
    gpus: Sequence[int] = ()
    available: Callable[[], int | None] = lambda: None
    changed: Callable[[], None] = lambda: None
    _taken: list[tuple[Need, Sequence[int]]] = field(default_factory=list, init=False)
    _freed: trio.Event = field(default_factory=trio.Event, init=False)

    @property
    def taken(self) -> Need:
        """What all running processes have asked for together."""
        needs = [need for need, _ in self._taken]
        return Need(sum(n.cpu for n in needs), sum(n.mem for n in needs), sum(n.gpus for n in needs))

    @property
    def free(self) -> Need:
        """What another process may ask for."""
        taken, there = self.taken, self.available()
        mem = max(self.mem - taken.mem, 0)
        return Need(
            max(self.cpu - taken.cpu, 0), mem if there is None else min(mem, there), len(self.gpus) - taken.gpus
        )

    def take(self, need: Need) -> Sequence[int] | None:
        """Take what a process asks for: the GPUs set aside for it, or None if something of it is not free.

        Raises BadRequest if it never can be.
        """
        if need.cpu > self.cpu or need.mem > self.mem or need.gpus > len(self.gpus):
            has = Need(self.cpu, self.mem, len(self.gpus))
            raise BadRequest(f"The process asks for {need}; the machine of this executor has {has}.")
        if not self._fits(need):
            return None
        used = {number for _, numbers in self._taken for number in numbers}
        numbers = [number for number in self.gpus if number not in used][: need.gpus]
        self._taken.append((need, numbers))
        if need != Need():
            self.changed()
        return numbers

    async def take_later(self, need: Need) -> Sequence[int]:
        """Take what a process asks for once it is free."""
        while (numbers := self.take(need)) is None:
            await self._freed.wait()
        return numbers

    def give_back(self, need: Need, gpus: Sequence[int]) -> None:
        """What a process had is free again."""
        self._taken.remove((need, gpus))
        if need != Need():
            self.changed()
        self._freed.set()
        self._freed = trio.Event()

    def _fits(self, need: Need) -> bool:
        """By what was asked for only: a process that is ours already must not wait for another program's memory."""
        taken = self.taken
        return (
            need.cpu + taken.cpu <= self.cpu
            and need.mem + taken.mem <= self.mem
            and need.gpus + taken.gpus <= len(self.gpus)
        )


def of_this_machine(machine: Machine) -> Room:
    """The processors that this process may run on, all of the memory, and the GPUs."""
    return Room(
        len(os.sched_getaffinity(0)) * 1000,
        machine.memory or 0,
        range(len(machine.gpus)),
        _available,
    )


def _available() -> int | None:
    """Bytes of memory that the kernel could give; None if it does not tell."""
    found = re.search(r"^MemAvailable: +([0-9]{1,18}) kB$", kernel.text(MEMINFO, 200) or "", re.MULTILINE)
    return int(found[1]) << 10 if found else None
