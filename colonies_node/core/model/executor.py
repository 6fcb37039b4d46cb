"""Executors and what they offer: capabilities, allocations, functions (protocol/core.md, 3.2 and 3.3)."""

from __future__ import annotations

from typing import Final

import msgspec

from colonies_node.core.model.wire import Int, Record, always, null


class Gpu(Record):
    """A kind of GPU, offered or asked for."""

    name: str = always(str)
    mem: str = always(str)
    count: Int = always(int)
    nodecount: Int = always(int)


class Hardware(Record):
    """One kind of machine behind an executor."""

    model: str = always(str)
    nodes: Int = always(int)
    cpu: str = always(str)
    cores: Int = always(int)
    mem: str = always(str)
    storage: str = always(str)
    gpu: Gpu = always(Gpu)
    platform: str = always(str)
    architecture: str = always(str)
    network: list[str] | None = null()


class Software(Record):
    """One program or image that an executor has."""

    name: str = always(str)
    type: str = always(str)
    version: str = always(str)


STATE: Final = "state"
"""`type` of the software entry that says why an executor takes no work: the protocol has no other place for it, and
every client shows that one."""


class Capabilities(Record):
    """What an executor has. Clients of version 1.8 send the one entry of each list bare, without the list."""

    hardware: list[Hardware] | Hardware | None = null()
    software: list[Software] | Software | None = null()


class Project(Record):
    """What a project may use, and uses, of an executor."""

    allocatedcpu: Int = always(int)
    usedcpu: Int = always(int)
    allocatedgpu: Int = always(int)
    usedgpu: Int = always(int)
    allocatedstorage: Int = always(int)
    usedstorage: Int = always(int)


class Allocations(Record):
    """Projects by name."""

    projects: dict[str, Project] | None = null()


class Executor(Record):
    """A member of a colony that takes work. Times are RFC 3339; the server sets `commissiontime`, and `state`: 0
    pending, 1 approved, 2 rejected, 3 unregistered."""

    executorid: str = always(str)
    executortype: str = always(str)
    executorname: str = always(str)
    colonyname: str = always(str)
    state: Int = always(int)
    requirefuncreg: bool = always(bool)
    commissiontime: str = always(str)
    lastheardfromtime: str = always(str)
    locationname: str = ""
    capabilities: Capabilities = always(Capabilities)
    allocations: Allocations = always(Allocations)
    blueprintid: str = ""
    blueprintgen: Int = 0


class FunctionArg(Record):
    """One argument of a registered function."""

    name: str = always(str)
    type: str = always(str)
    description: str = ""
    required: bool = False
    enum: list[str] = msgspec.field(default_factory=list)


class Function(Record):
    """A function that an executor says it can run, with statistics of its successful runs in seconds."""

    functionid: str = always(str)
    executorname: str = always(str)
    executortype: str = always(str)
    colonyname: str = always(str)
    funcname: str = always(str)
    description: str = ""
    args: list[FunctionArg] = msgspec.field(default_factory=list)
    counter: Int = always(int)
    minwaittime: float = always(float)
    maxwaittime: float = always(float)
    minexectime: float = always(float)
    maxexectime: float = always(float)
    avgwaittime: float = always(float)
    avgexectime: float = always(float)
    locationname: str = ""
