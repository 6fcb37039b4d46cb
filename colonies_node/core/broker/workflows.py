"""Workflows: many processes that wait for each other, stored as one, whole or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from colonies_node.core import limits
from colonies_node.core.broker import drawing, flow, processes
from colonies_node.core.broker.call import DONE, Call, Done, Initiator
from colonies_node.core.errors import BadRequest, Internal
from colonies_node.core.model import messages as m
from colonies_node.core.model.process import FunctionSpec, Process
from colonies_node.core.model.times import format_time
from colonies_node.core.model.wire import Malformed, decode
from colonies_node.core.model.workflow import ProcessGraph, WorkflowSpec
from colonies_node.core.states import NOT_SET, ProcessState
from colonies_node.core.store import graphs
from colonies_node.core.store import processes as stored
from colonies_node.core.store.graphs import GraphRow
from colonies_node.core.store.reply import fitting
from colonies_node.core.store.transaction import Transaction

LARGE = 200
"""Processes in a workflow above which storing it is left to a thread: it would hold up others for 20 ms."""

_NO_SUCH_NODE = "Failed to submit workflow, invalid dependencies, are you depending on a nodename that does not exits?"


def check_request(message: m.SubmitWorkflowSpec) -> None:
    """The request must carry a workflow spec."""
    if message.spec is None:
        raise BadRequest("Failed to submit workflow, msg.WorkflowSpec is nil")


def is_large(message: m.SubmitWorkflowSpec) -> bool:
    """Whether storing it takes long."""
    return message.spec is not None and len(message.spec.functionspecs or ()) > LARGE


def check(spec: WorkflowSpec) -> None:
    """Raise for names that are missing, double or unknown, and for nodes that wait for each other in a circle."""
    specs = spec.functionspecs or []
    if len(specs) > limits.MAX_WORKFLOW:
        raise BadRequest(f"A workflow must have at most {limits.MAX_WORKFLOW} processes, got {len(specs)}")
    parents: dict[str, Sequence[str]] = {}
    for node in specs:
        if not node.nodename:
            raise Internal("Nodename is missing, check function spec for errors")
        if node.nodename in parents:
            raise Internal(f"Duplicate nodename: {node.nodename}")
        parents[node.nodename] = node.conditions.dependencies or ()
    check_dependencies(spec)
    dependencies = sum(map(len, parents.values()))
    if dependencies > limits.MAX_DEPENDENCIES:
        raise BadRequest(
            f"A workflow must have at most {limits.MAX_DEPENDENCIES} dependencies, got {dependencies}: let a node"
            " stand between many that wait for the same many"
        )
    circle = find_circle(parents)
    if circle:
        shown = " -> ".join(circle[:20]) + (" -> ..." if len(circle) > 20 else "")
        raise BadRequest(f"Failed to submit workflow, these nodes wait for each other: {shown}")


def check_dependencies(spec: WorkflowSpec) -> None:
    """Raise Internal, as clients know it, for a dependency on a node that is not in the workflow."""
    specs = spec.functionspecs or []
    names = {node.nodename for node in specs}
    if any(name not in names for node in specs for name in node.conditions.dependencies or ()):
        raise Internal(_NO_SUCH_NODE)


def find_circle(parents: dict[str, Sequence[str]]) -> list[str]:
    """A circle in "name → names it waits for", its first name repeated at the end; empty if there is none."""
    open_parents = {name: len(set(of)) for name, of in parents.items()}
    children = defaultdict(list)
    for name, of in parents.items():
        for parent in set(of):
            children[parent].append(name)
    free = [name for name, count in open_parents.items() if not count]
    while free:
        for child in children[free.pop()]:
            open_parents[child] -= 1
            if not open_parents[child]:
                free.append(child)
    stuck = {name for name, count in open_parents.items() if count}
    if not stuck:
        return []
    # Everything stuck waits for something stuck: going from parent to parent comes back to where it was.
    path, seen = [min(stuck)], set[str]()
    while path[-1] not in seen:
        seen.add(path[-1])
        path.append(min(parent for parent in parents[path[-1]] if parent in stuck))
    return path[path.index(path[-1]) :][::-1]


def read_spec(text: str, colonyname: str) -> WorkflowSpec:
    """The workflow spec in a cron or a generator, for the colony that it belongs to. Raises BadRequest."""
    if text.strip() == "null":
        raise BadRequest("The workflow spec is not valid: it is null")
    try:
        spec = decode(WorkflowSpec, text.encode())
    except Malformed as fault:
        raise BadRequest(f"The workflow spec is not valid: {fault}") from None
    spec.colonyname = colonyname
    try:
        check(spec)
    except Internal as fault:
        raise BadRequest(fault.message) from None
    return spec


def priority_of(spec: WorkflowSpec) -> int:
    """What a workflow counts as, where only important work is taken: as its least important process."""
    return min((node.priority for node in spec.functionspecs or ()), default=0)


def submit(tx: Transaction, message: m.SubmitWorkflowSpec, call: Call) -> ProcessGraph:
    """Accept a workflow: all of its processes, or none. Unavailable for want of room."""
    assert message.spec is not None, "checked before access"
    call.pressure.admit(priority_of(message.spec))
    graph, processids, roots = _store(tx, message.spec, call.initiator(), "[]")
    return ProcessGraph(
        processgraphid=graph.processgraphid,
        initiatorid=graph.initiatorid,
        initiatorname=graph.initiatorname,
        colonyname=graph.colonyname,
        rootprocessids=roots,
        state=graph.state,
        # The instants are zero in this one answer, as clients know it.
        submissiontime=format_time(0),
        starttime=format_time(0),
        endtime=format_time(0),
        processids=processids,
    )


def start(tx: Transaction, spec: WorkflowSpec, initiator: Initiator, *, input: str = "[]") -> GraphRow:
    """Store a workflow whole; `input` is the JSON list that its roots are given. Raises Rejected, storing nothing."""
    return _store(tx, spec, initiator, input)[0]


def _store(
    tx: Transaction, spec: WorkflowSpec, initiator: Initiator, input: str
) -> tuple[GraphRow, list[str], list[str]]:
    """(the graph, the ids of its processes, those of its roots), in the order of the specs."""
    check(spec)
    specs = spec.functionspecs or []
    graph = GraphRow(
        processgraphid=tx.new_id(),
        colonyname=spec.colonyname,
        initiatorid=initiator.initiatorid,
        initiatorname=initiator.initiatorname,
        state=ProcessState.WAITING,
        submissiontime=tx.now,
        starttime=0,
        endtime=0,
        waiting=len(specs),
        running=0,
        successful=0,
        failed=0,
        cancelled=0,
    )
    graphs.insert(tx, graph)
    rows = {}
    for node in specs:
        dependencies = node.conditions.dependencies or ()
        node.conditions.colonyname = spec.colonyname
        node.maxexectime = node.maxexectime or -1
        row = processes.compose(
            tx,
            node,
            initiator,
            processgraphid=graph.processgraphid,
            waitforparents=len(set(dependencies)),
            input="[]" if dependencies else input,
        )
        rows[node.nodename] = processes.enqueue(tx, row, node)
        tx.due(row.waitdeadline)
    for node in specs:
        for position, name in enumerate(node.conditions.dependencies or ()):
            graphs.add_edge(tx, rows[name].seq, rows[node.nodename].seq, position)
    roots = [row for row in rows.values() if not row.waitforparents]
    for root in roots:
        flow.told(tx, root)
    return graph, [row.processid for row in rows.values()], [row.processid for row in roots]


def get(tx: Transaction, message: m.OfProcessGraph, call: Call) -> ProcessGraph:
    """A workflow, with nodes and edges to draw it."""
    return drawing.draw(tx, call.graph)


def get_some(tx: Transaction, message: m.GetProcessGraphs, call: Call) -> list[ProcessGraph]:
    """Workflows of a state, the latest first, as many as one reply can hold."""
    if message.count > limits.MAX_LIST:
        raise BadRequest(f"Count is larger than MaxCount limit <{limits.MAX_LIST}>")
    if message.state not in set(ProcessState):
        raise BadRequest("invalid msg.State")
    if message.count < 0:
        raise BadRequest("pq: LIMIT must not be negative")
    found = graphs.in_state(tx, message.colonyname, message.state, message.count)
    return [drawing.outline(tx, graph) for graph in fitting(found, lambda graph: graph.members() * limits.ID_LENGTH)]


def cancel(tx: Transaction, message: m.OfProcessGraph, call: Call) -> Done:
    """Nobody wants the workflow any more: what is not at its end is cancelled."""
    cancelled, graph = graphs.cancel_members(tx, call.graph.processgraphid)
    for process in cancelled:
        flow.told(tx, process)
    flow.resolve(tx, graph, ProcessState.CANCELLED)
    return DONE


def remove(tx: Transaction, message: m.OfProcessGraph, call: Call) -> Done:
    """Forget a workflow that does not run, with its processes; their logs stay."""
    if call.graph.state == ProcessState.RUNNING:
        raise BadRequest("Failed to remove processgraph, cannot remove a running processgraph")
    flow.forget(tx, call.graph.processgraphid)
    return DONE


def remove_all(tx: Transaction, message: m.RemoveAllProcessGraphs, call: Call) -> Done:
    """Forget the workflows of a state, or of every state, with all of their processes, and nothing else."""
    if message.state == ProcessState.RUNNING:
        raise BadRequest("not possible to remove running processgraphs")
    if message.state != NOT_SET and message.state not in set(ProcessState):
        raise BadRequest("invalid state when deleting all processgraphs")
    for state in ProcessState if message.state == NOT_SET else (message.state,):
        for processgraphid in graphs.ids_in_state(tx, message.colonyname, state):
            flow.forget(tx, processgraphid)
    return DONE


def check_child(message: m.AddChild) -> None:
    """The request must carry a function spec."""
    if message.spec is None:
        raise BadRequest("Failed to add child to processgraph, msg.FunctionSpec is nil")


def add_child(tx: Transaction, message: m.AddChild, call: Call) -> Process:
    """Add a process below one that the caller runs: between it and its children, or beside them."""
    assert message.spec is not None, "checked before access"
    spec: FunctionSpec = message.spec
    parent = stored.find(tx, message.parentprocessid)
    if parent is None or parent.colonyname != spec.conditions.colonyname:
        raise BadRequest(f"Failed to add child to processgraph, process with Id {message.parentprocessid} not found")
    if parent.state != ProcessState.RUNNING:
        raise BadRequest(f"Process with Id {parent.processid} is not running")
    if parent.assignedexecutorid != call.caller:
        raise BadRequest(f"Process with Id {parent.processid} is not assigned to executor with Id {call.caller}")
    if not parent.processgraphid:
        raise BadRequest(f"Process with Id {parent.processid} does not belong to a processgraph")
    if parent.processgraphid != message.processgraphid:
        raise BadRequest(
            f"Failed to add child to processgraph, process with Id {parent.processid} belongs to another processgraph"
        )
    graph = graphs.find(tx, parent.processgraphid)
    assert graph is not None, "a member's graph is stored with it"
    # It belongs to what was accepted: as long as anything is, it is too.
    call.pressure.admit(call.pressure.priority)
    if graph.members() >= limits.MAX_WORKFLOW:
        raise BadRequest(f"A workflow must have at most {limits.MAX_WORKFLOW} processes, this one has them")
    spec.conditions.dependencies = []
    row = processes.compose(tx, spec, Initiator("", ""), processgraphid=parent.processgraphid, waitforparents=1)
    row = processes.enqueue(tx, row, spec)
    graphs.grow(tx, parent.processgraphid)
    graphs.add_edge(tx, parent.seq, row.seq, 0)
    tx.due(row.waitdeadline)
    if message.insert:
        graphs.hand_over_children(tx, parent.seq, row.seq)
    elif message.childprocessid:
        child = stored.find(tx, message.childprocessid)
        if child is None or child.processgraphid != parent.processgraphid or child.state != ProcessState.WAITING:
            raise BadRequest(
                f"Failed to add child to processgraph, no process with Id {message.childprocessid} waits in it"
            )
        graphs.append_edge(tx, row.seq, child.seq)
        graphs.wait_more(tx, child.seq)
    return processes.show(tx, row)
