"""What follows when a process comes into another state: the one place through which every such change goes.

Whoever waits is told. In a workflow, the close of the last parent readies a child in the same change; the failure of a
process that others wait for fails the whole graph; and the graph's own state follows from how many of its members are
in which state. Each step looks at the process, its children and the counts, never at the rest of the graph; only a
failure touches every member, once.
"""

from __future__ import annotations

from colonies_node.core.events import ProcessChanged
from colonies_node.core.model.wire import encode
from colonies_node.core.states import ProcessState, graph_state
from colonies_node.core.store import crons, graphs
from colonies_node.core.store.graphs import GraphRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

ENDED = (ProcessState.SUCCESS, ProcessState.FAILED, ProcessState.CANCELLED)


def moved(tx: Transaction, was: ProcessState, process: ProcessRow) -> None:
    """`process` was in the state `was` until now."""
    told(tx, process)
    if not process.processgraphid:
        return
    state = ProcessState(process.state)
    graph = graphs.move(tx, process.processgraphid, was, state)
    if state == ProcessState.SUCCESS:
        for child in graphs.ready_children(tx, process.seq):
            told(tx, child)
    elif state == ProcessState.FAILED and graphs.has_children(tx, process.seq):
        name = process.nodename or process.processid
        reason = encode([f"{name} failed, which is part of the same workflow"]).decode()
        others, graph = graphs.fail_members(tx, process.processgraphid, reason)
        for other in others:
            told(tx, other)
    # Back in the queue, a process is tried again: its graph goes on as it was.
    if state != ProcessState.WAITING:
        resolve(tx, graph)


def told(tx: Transaction, process: ProcessRow) -> None:
    """Tell those who wait for it that the process is in a new state, or free to be taken."""
    if process.state == ProcessState.WAITING:
        tx.due(process.waitdeadline)
    tx.emit(ProcessChanged(process))


def forget(tx: Transaction, processgraphid: str) -> None:
    """Remove a workflow with all that belongs to it."""
    graphs.remove(tx, processgraphid)
    _release_crons(tx, processgraphid)


def resolve(tx: Transaction, graph: GraphRow, state: ProcessState | None = None) -> None:
    """Bring the graph into the state that its members call for (or into `state`), and keep the instants of it."""
    if state is None:
        state = graph_state(graph.waiting, graph.running, graph.successful, graph.failed, graph.cancelled)
    ended = state in ENDED
    if state == graph.state and not ended:
        return
    starts = graph.state == ProcessState.WAITING and state == ProcessState.RUNNING
    graphs.set_state(tx, graph, state, tx.now if starts else graph.starttime, tx.now if ended else graph.endtime)
    if ended:
        _release_crons(tx, graph.processgraphid)


def _release_crons(tx: Transaction, processgraphid: str) -> None:
    """Crons that waited for the end of this workflow run now."""
    if crons.release(tx, processgraphid):
        tx.due(tx.now)
