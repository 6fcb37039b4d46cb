"""Processes as clients submit and see them: submit, get, lists, history, removal."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from colonies_node.core import limits
from colonies_node.core.broker import channels
from colonies_node.core.broker.call import DONE, Call, Done, Initiator
from colonies_node.core.broker.sync import names
from colonies_node.core.errors import BadRequest
from colonies_node.core.events import ProcessChanged
from colonies_node.core.identity import attribute_id
from colonies_node.core.model import messages as m
from colonies_node.core.model.executor import Gpu
from colonies_node.core.model.process import ENV, Attribute, Conditions, Filesystem, FunctionSpec, Process
from colonies_node.core.model.quantities import cpu_text, memory_bytes, memory_text, millicores
from colonies_node.core.model.times import DAY, SECOND, format_time
from colonies_node.core.model.wire import encode
from colonies_node.core.states import NOT_SET, ProcessState
from colonies_node.core.store import attributes, graphs, members, processes
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

_NO_ENV = '"env":{}'


class Came(NamedTuple):
    """Where a process comes from that was submitted elsewhere; `submissiontime` is Unix nanoseconds of our clock,
    `path` says which node it was submitted on, empty for this one."""

    link: int
    processid: str
    submissiontime: int
    path: str = ""


def check_spec(message: m.SubmitFunctionSpec) -> None:
    """The request must carry a function spec."""
    if message.spec is None:
        raise BadRequest("Failed to submit process spec, msg.FunctionSpec is nil")


def submit(tx: Transaction, message: m.SubmitFunctionSpec, call: Call) -> Process:
    """Accept a function spec: from now on it is a process that waits for an executor. Unavailable for want of room."""
    assert message.spec is not None, "checked before access"
    call.pressure.admit(message.spec.priority)
    return show(tx, launch(tx, message.spec, call.initiator()))


def launch(tx: Transaction, spec: FunctionSpec, initiator: Initiator) -> ProcessRow:
    """Store a waiting process that belongs to no workflow, and tell who may take it. Raises as `compose`."""
    row = enqueue(tx, compose(tx, spec, initiator), spec)
    tx.emit(ProcessChanged(row))
    tx.due(row.waitdeadline)
    return row


def enqueue(tx: Transaction, row: ProcessRow, spec: FunctionSpec) -> ProcessRow:
    """Store a process that `compose` made of the spec, with its channels and its environment."""
    row = processes.insert(tx, row)
    if spec.channels:
        channels.declare(tx, row, spec.channels)
    keep_env(tx, row, spec.env or {})
    return row


def compose(
    tx: Transaction,
    spec: FunctionSpec,
    initiator: Initiator,
    *,
    processgraphid: str = "",
    waitforparents: int = 0,
    input: str = "[]",
    came: Came | None = None,
) -> ProcessRow:
    """The waiting process that a spec makes, not stored yet. BadRequest for amounts and bounds that make no sense.

    The next three are for members of a workflow: how many parents it waits for, and what a root is given (JSON).
    `came` is for a process that another node knows already.
    """
    low, high = limits.PRIORITY_RANGE
    if not low <= spec.priority <= high:
        raise BadRequest(f"Failed to submit function spec, priority outside range [{low}, {high}]")
    for name, seconds in (("maxwaittime", spec.maxwaittime), ("maxexectime", spec.maxexectime)):
        if not -1 <= seconds <= limits.MAX_SECONDS:
            raise BadRequest(f"Failed to submit process spec, {name} must be -1 (unlimited) or more, got {seconds}")
    conditions = spec.conditions or Conditions()
    cpu, mem = millicores(conditions.cpu), memory_bytes(conditions.mem)
    _check_bounds(spec, conditions)
    has_env = bool(spec.env)
    spec = _normal_form(spec, cpu, mem)
    names = spec.conditions.executornames
    stamp = tx.stamp() if came is None else min(came.submissiontime, tx.now)
    return ProcessRow(
        seq=0,
        processid=tx.new_id() if came is None else came.processid,
        colonyname=conditions.colonyname,
        initiatorid=initiator.initiatorid,
        initiatorname=initiator.initiatorname,
        executortype=conditions.executortype,
        target="" if not names else names[0] if len(names) == 1 else "*",
        executornames=encode(names).decode() if names and len(names) > 1 else None,
        locationname=conditions.locationname.lower(),
        cpu=cpu,
        mem=mem,
        gpu=max(spec.conditions.gpu.count, 0),
        parallelism=max(conditions.nodes, conditions.processes, conditions.processespernode),
        funcname=spec.funcname,
        nodename=spec.nodename,
        label=spec.label,
        maxwaittime=spec.maxwaittime,
        maxexectime=spec.maxexectime,
        maxretries=spec.maxretries,
        prioritytime=stamp - spec.priority * DAY,
        submissiontime=stamp,
        state=ProcessState.WAITING,
        assignedexecutorid="",
        isassigned=0,
        starttime=0,
        endtime=0,
        waitdeadline=tx.now + spec.maxwaittime * SECOND if spec.maxwaittime > 0 else 0,
        execdeadline=0,
        retries=0,
        waitforparents=waitforparents,
        processgraphid=processgraphid,
        hasattributes=int(has_env),
        away=0,
        origin=0 if came is None else came.link,
        shared=int(came is not None),
        camefrom="" if came is None else came.path,
        runsat="",
        spec=encode(spec).decode(),
        input=input,
        out="[]",
        errors="[]",
    )


def keep_env(tx: Transaction, row: ProcessRow, env: dict[str, str]) -> None:
    """Store the environment that a process was submitted with."""
    for key, value in env.items():
        attributes.add(
            tx,
            Attribute(
                attributeid=attribute_id(row.processid, key, ENV),
                targetid=row.processid,
                targetcolonyname=row.colonyname,
                targetprocessgraphid=row.processgraphid,
                attributetype=ENV,
                key=key,
                value=value,
            ),
        )


def _check_bounds(spec: FunctionSpec, conditions: Conditions) -> None:
    names = (spec.funcname, spec.nodename, spec.label, conditions.executortype, conditions.locationname)
    for name in (*names, *(conditions.executornames or ())):
        if len(name) > limits.MAX_NAME:
            raise BadRequest(
                f"A name in a function spec must have at most {limits.MAX_NAME} characters, got {len(name)}"
            )
    for items in (spec.args, spec.kwargs, spec.env, spec.channels, conditions.executornames, conditions.dependencies):
        if items and len(items) > limits.MAX_LIST_ITEMS:
            raise BadRequest(
                f"A list in a function spec must have at most {limits.MAX_LIST_ITEMS} items, got {len(items)}"
            )


def _normal_form(spec: FunctionSpec, cpu: int, mem: int) -> FunctionSpec:
    """The spec as it is read back: amounts in one unit, lists for nulls; the environment lives in the attributes."""
    was = spec.conditions
    gpu = was.gpu or Gpu()
    conditions = Conditions(
        colonyname=was.colonyname,
        executornames=[] if was.executornames == ["*"] else was.executornames,
        executortype=was.executortype,
        locationname=was.locationname,
        dependencies=was.dependencies or [],
        nodes=was.nodes,
        cpu=cpu_text(cpu),
        processes=was.processes,
        processespernode=was.processespernode,
        mem=memory_text(mem),
        storage=memory_text(memory_bytes(was.storage)),
        gpu=Gpu(name=gpu.name, mem=memory_text(memory_bytes(gpu.mem)), count=gpu.count),
        walltime=was.walltime,
    )
    return FunctionSpec(
        nodename=spec.nodename,
        funcname=spec.funcname,
        args=spec.args or [],
        kwargs=spec.kwargs or {},
        priority=spec.priority,
        maxwaittime=spec.maxwaittime,
        maxexectime=spec.maxexectime,
        maxretries=spec.maxretries,
        conditions=conditions,
        label=spec.label,
        fs=spec.fs or Filesystem(),
        channels=spec.channels or [],
    )


def show(tx: Transaction, row: ProcessRow) -> Process:
    """The process as clients read it."""
    found = attributes.of_process(tx, row.processid) if row.hasattributes else []
    spec = row.spec
    if found:
        for attribute in found:
            attribute.state = row.state
        env = {attribute.key: attribute.value for attribute in found if attribute.attributetype == ENV}
        if env:
            # `env` is the last object of a stored spec: only a list of channel names may follow it.
            head, _, tail = spec.rpartition(_NO_ENV)
            spec = f'{head}"env":{encode(env).decode()}{tail}'
    if row.camefrom or row.runsat:
        found += names.remarks(row)
    parents, children = graphs.relatives(tx, row.seq) if row.processgraphid else ([], [])
    return Process(
        processid=row.processid,
        initiatorid=row.initiatorid,
        initiatorname=row.initiatorname,
        assignedexecutorid=row.assignedexecutorid,
        isassigned=bool(row.isassigned),
        state=row.state,
        prioritytime=row.prioritytime,
        submissiontime=format_time(row.submissiontime),
        starttime=format_time(row.starttime),
        endtime=format_time(row.endtime),
        waitdeadline=format_time(row.waitdeadline),
        execdeadline=format_time(row.execdeadline),
        retries=row.retries,
        attributes=found,
        spec=msgspec.Raw(spec),
        waitforparents=bool(row.waitforparents),
        parents=parents,
        children=children,
        processgraphid=row.processgraphid,
        input=msgspec.Raw(row.input),
        out=msgspec.Raw(row.out),
        errors=msgspec.Raw(row.errors),
    )


def get(tx: Transaction, message: m.OfProcess, call: Call) -> Process:
    """One process."""
    return show(tx, call.process)


def has_filter(message: m.GetProcesses) -> bool:
    """Whether the list may have to pass over many processes to find its own."""
    return bool(message.executortype or message.initiator or message.label)


def get_some(tx: Transaction, message: m.GetProcesses, call: Call) -> list[Process]:
    """Processes of a state in its order: waiting by priority, running by start, finished from the latest."""
    if message.count > limits.MAX_LIST:
        raise BadRequest(f"Count is larger than MaxCount limit <{limits.MAX_LIST}>")
    by, value = next(
        ((by, getattr(message, by)) for by in ("executortype", "initiator", "label") if getattr(message, by)), ("", "")
    )
    if message.initiator and members.user(tx, message.colonyname, message.initiator) is None:
        raise BadRequest(f"User <{message.initiator}> does not exist")
    if message.state not in processes.LIST:
        raise BadRequest("Failed to get processes, invalid msg.State")
    if message.count < 0:
        raise BadRequest("pq: LIMIT must not be negative")
    rows = processes.in_state(tx, message.colonyname, ProcessState(message.state), by, value, message.count)
    return [show(tx, row) for row in rows]


def get_history(tx: Transaction, message: m.GetProcessHistory, call: Call) -> list[Process]:
    """What was submitted in the last seconds and is in the state now, oldest first."""
    since = max(tx.now - max(message.seconds, 0) * SECOND, 0)
    return [
        show(tx, row) for row in processes.history(tx, message.colonyname, message.executorid, since, message.state)
    ]


def remove(tx: Transaction, message: m.OfProcess, call: Call) -> Done:
    """Forget a process that does not run; its log stays."""
    process = call.process
    if process.processgraphid:
        raise BadRequest(
            "Failed to remove, cannot remove a process part of a workflow, delete the entire workflow instead"
        )
    if process.state == ProcessState.RUNNING:
        raise BadRequest("Failed to remove process, cannot remove a running process")
    attributes.remove_of(tx, process.processid)
    processes.remove(tx, process)
    return DONE


def remove_all(tx: Transaction, message: m.RemoveAllProcesses, call: Call) -> Done:
    """Forget all processes of a state, or of every state, that belong to no workflow."""
    if message.state == ProcessState.RUNNING:
        raise BadRequest("Not possible to remove running processes")
    if message.state == NOT_SET:
        states: list[ProcessState] = list(ProcessState)
    elif message.state in set(ProcessState):
        states = [ProcessState(message.state)]
    else:
        raise BadRequest("Invalid state when deleting all processes")
    for state in states:
        processes.remove_all(tx, message.colonyname, state)
    return DONE
