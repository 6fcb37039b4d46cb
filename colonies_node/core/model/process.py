"""Function specs and the processes made of them (protocol/core.md, 3.4 and 3.5)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from colonies_node.core.model.executor import Gpu
from colonies_node.core.model.wire import Int, Record, always, null


class Conditions(Record):
    """What an executor must be and have to get a process.

    Exactly the `executortype`; one of `executornames` and the place, where they are given; `cpu` (`1500m`, `1.5`) and
    `mem` (`512Mi`, `2G`) free. `dependencies` are nodenames in the same workflow. The rest, `walltime` in seconds, is
    for the executor to read.
    """

    colonyname: str = always(str)
    executornames: list[str] | None = null()
    executortype: str = always(str)
    locationname: str = ""
    dependencies: list[str] | None = always(list)
    nodes: Int = always(int)
    cpu: str = always(str)
    processes: Int = always(int)
    processespernode: Int = always(int)
    mem: str = always(str)
    storage: str = always(str)
    gpu: Gpu = always(Gpu)
    walltime: Int = always(int)


class SnapshotMount(Record):
    """A snapshot to lay into the work folder."""

    snapshotid: str = always(str)
    label: str = always(str)
    dir: str = always(str)
    keepfiles: bool = always(bool)
    keepsnapshot: bool = always(bool)


class Conflict(Record):
    """Which side wins when both changed a file."""

    keeplocal: bool = always(bool)


class OnConflicts(Record):
    """The rule at the start and at the close of a process."""

    onstart: Conflict = always(Conflict)
    onclose: Conflict = always(Conflict)


class SyncDir(Record):
    """A folder kept in step with a label."""

    label: str = always(str)
    dir: str = always(str)
    keepfiles: bool = always(bool)
    onconflicts: OnConflicts = always(OnConflicts)


class Filesystem(Record):
    """The files that a process wants to see."""

    mount: str = always(str)
    snapshots: list[SnapshotMount] | None = null()
    dirs: list[SyncDir] | None = null()


class FunctionSpec(Record):
    """What to run, where it may run, and how long it may take. Times are whole seconds; 0 and -1 are unlimited.

    It waits as long as `maxwaittime`, then it fails. It runs as long as `maxexectime`, then it goes back to the queue
    `maxretries` times (-1 for ever) and fails after that. A step of `priority` (-50,000 to 50,000) is worth a day of
    waiting. `nodename` is its name in a workflow.
    """

    nodename: str = always(str)
    funcname: str = always(str)
    args: list[object] | None = always(list)
    kwargs: dict[str, object] | None = always(dict)
    priority: Int = always(int)
    maxwaittime: Int = always(int)
    maxexectime: Int = always(int)
    maxretries: Int = always(int)
    conditions: Conditions = always(Conditions)
    label: str = always(str)
    fs: Filesystem | None = always(Filesystem)
    env: dict[str, str] | None = always(dict)
    channels: list[str] | None = msgspec.field(default_factory=list)


class Attribute(Record):
    """A key and a value on a process; `attributetype` is 0 in, 1 out, 2 error, 3 environment."""

    attributeid: str = always(str)
    targetid: str = always(str)
    targetcolonyname: str = always(str)
    targetprocessgraphid: str = always(str)
    state: Int = always(int)
    attributetype: Int = always(int)
    key: str = always(str)
    value: str = always(str)


ENV = 3
"""`attributetype` of an environment variable."""


class Process(Record):
    """A function spec on its way, as clients read it. Times are RFC 3339, `0001-01-01T00:00:00Z` for never.

    `state` is 0 waiting, 1 running, 2 successful, 3 failed, 4 cancelled. `spec` is a FunctionSpec, `in` (outputs of the
    parents in a workflow) and `out` are lists of anything, `errors` is a list of texts. The lowest `prioritytime` is
    next.
    """

    processid: str
    initiatorid: str
    initiatorname: str
    assignedexecutorid: str
    isassigned: bool
    state: int
    prioritytime: int
    submissiontime: str
    starttime: str
    endtime: str
    waitdeadline: str
    execdeadline: str
    retries: int
    attributes: list[Attribute]
    spec: Annotated[msgspec.Raw, FunctionSpec]
    waitforparents: bool
    parents: list[str]
    children: list[str]
    processgraphid: str
    input: msgspec.Raw = msgspec.field(name="in")
    out: msgspec.Raw
    errors: msgspec.Raw


class Log(Record):
    """A line that a process or an executor left; `timestamp` is Unix nanoseconds of the server's clock."""

    processid: str = always(str)
    colonyname: str = always(str)
    executorname: str = always(str)
    message: str = always(str)
    timestamp: Int = always(int)
