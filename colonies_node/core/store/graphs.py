"""Workflows as they are stored: a row per graph with its members counted by state, and the edges between processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from colonies_node.core.states import ProcessState
from colonies_node.core.store.processes import COLUMNS, ProcessRow
from colonies_node.core.store.transaction import Transaction


class GraphRow(msgspec.Struct, frozen=True):
    """A row of `processgraphs`, in the order of its columns. Instants are Unix nanoseconds, 0 for never."""

    processgraphid: str
    colonyname: str
    initiatorid: str
    initiatorname: str
    state: int
    submissiontime: int
    starttime: int
    endtime: int
    waiting: int
    running: int
    successful: int
    failed: int
    cancelled: int

    def members(self) -> int:
        """How many processes there are in it."""
        return self.waiting + self.running + self.successful + self.failed + self.cancelled


class Member(msgspec.Struct, frozen=True):
    """What a drawing shows of a process."""

    seq: int
    processid: str
    nodename: str
    state: int


GRAPH_COLUMNS: Final = ", ".join(GraphRow.__struct_fields__)
COUNTS: Final = {
    ProcessState.WAITING: "waiting",
    ProcessState.RUNNING: "running",
    ProcessState.SUCCESS: "successful",
    ProcessState.FAILED: "failed",
    ProcessState.CANCELLED: "cancelled",
}
"""State of a process → the column that counts the members in it."""

_INSERT = f"insert into processgraphs ({GRAPH_COLUMNS}) values ({', '.join('?' * len(GraphRow.__struct_fields__))})"
_FIND = f"select {GRAPH_COLUMNS} from processgraphs where processgraphid = ?"
_LIST = f"""
    select {GRAPH_COLUMNS} from processgraphs where colonyname = ? and state = ?
    order by submissiontime desc limit ?
"""
_MOVE = {
    (was, now): f"update processgraphs set {COUNTS[was]} = {COUNTS[was]} - 1, {COUNTS[now]} = {COUNTS[now]} + 1"
    f" where processgraphid = ? returning {GRAPH_COLUMNS}"
    for was in ProcessState
    for now in ProcessState
    if was != now
}
_GROW = "update processgraphs set waiting = waiting + 1 where processgraphid = ?"
_SET_STATE = "update processgraphs set state = ?, starttime = ?, endtime = ? where processgraphid = ?"
_RECOUNT = "update processgraphs set " + ", ".join(
    f"{column} = (select count(*) from processes where processgraphid = :id and processgraphid <> ''"
    f" and state = {int(state)})"
    for state, column in COUNTS.items()
)
_RECOUNT += f" where processgraphid = :id returning {GRAPH_COLUMNS}"
_ADD_EDGE = "insert into edges (child, position, parent) values (?, ?, ?)"
_PARENTS = "select processid from edges join processes on seq = parent where child = ? order by position"
_CHILDREN = "select distinct child, processid from edges join processes on seq = child where parent = ? order by child"
_HAS_CHILDREN = "select 1 from edges where parent = ? limit 1"
_READY = f"""
    update processes set waitforparents = waitforparents - 1
    where state = 0 and seq in (select child from edges where parent = ?)
    returning {COLUMNS}
"""
_INPUT_SIZE = "select count(*), sum(length(out)) from edges join processes on seq = parent where child = ?"
_INPUT = "select out from edges join processes on seq = parent where child = ? order by position"
_LEAF_OUTPUTS = """
    select out from processes
    where processgraphid = ? and processgraphid <> '' and not exists (select 1 from edges where parent = seq)
    order by seq
"""
_MEMBERS = """
    select seq, processid, nodename, state from processes
    where processgraphid = ? and processgraphid <> '' order by seq
"""
_EDGES = """
    select distinct parent, child from processes join edges on child = seq
    where processgraphid = ? and processgraphid <> '' order by parent, child
"""
_FAIL = f"""
    update processes
    set state = 3, endtime = case when state < 2 then :now else endtime end,
        errors = case when state < 2 then :errors else errors end
    where processgraphid = :id and processgraphid <> '' and state <> 3
    returning {COLUMNS}
"""
_CANCEL = f"""
    update processes set state = 4, endtime = :now
    where processgraphid = :id and processgraphid <> '' and state < 2
    returning {COLUMNS}
"""
_INHERIT = """
    insert into edges (child, position, parent)
    select child, (select max(position) + 1 from edges as own where own.child = edges.child), ?
    from edges where parent = ? and child <> ? group by child
"""
_ADOPTED = "delete from edges where parent = ? and child <> ?"
_NEXT_POSITION = "select coalesce(max(position) + 1, 0) from edges where child = ?"
_WAIT_MORE = "update processes set waitforparents = waitforparents + 1 where seq = ?"
_OF_GRAPH = "select seq from processes where processgraphid = ? and processgraphid <> ''"
_REMOVE = (
    "delete from attributes where targetid in"
    " (select processid from processes where processgraphid = ? and processgraphid <> '')",
    f"delete from edges where child in ({_OF_GRAPH})",
    "delete from processes where processgraphid = ? and processgraphid <> ''",
    "delete from processgraphs where processgraphid = ?",
)
_IN_STATE = "select processgraphid from processgraphs where colonyname = ? and state = ?"
_COUNT = "select state, count(*) from processgraphs where colonyname = ? group by state"
# Counted in the order of the index on states: no row is read.
COUNT_SERVER: Final = (
    "select state, sum(number) from"
    " (select state, count(*) as number from processgraphs group by colonyname, state) group by state"
)


def insert(tx: Transaction, row: GraphRow) -> None:
    """Store a new graph."""
    tx.run(_INSERT, msgspec.structs.astuple(row))


def find(tx: Transaction, processgraphid: str) -> GraphRow | None:
    """The graph with this id."""
    found = tx.one(_FIND, (processgraphid,))
    return GraphRow(*found) if found else None


def in_state(tx: Transaction, colonyname: str, state: int, count: int) -> list[GraphRow]:
    """At most `count` graphs of a state, the latest first."""
    return [GraphRow(*row) for row in tx.all(_LIST, (colonyname, state, count))]


def add_edge(tx: Transaction, parent: int, child: int, position: int) -> None:
    """Let one process (by `seq`) wait for another, which is at `position` among the child's parents."""
    tx.run(_ADD_EDGE, (child, position, parent))


def relatives(tx: Transaction, seq: int) -> tuple[list[str], list[str]]:
    """The ids of the parents of a process, in the order of its dependencies, and of its children."""
    parents = [processid for (processid,) in tx.all(_PARENTS, (seq,))]
    return parents, [processid for _, processid in tx.all(_CHILDREN, (seq,))]


def has_children(tx: Transaction, seq: int) -> bool:
    """Whether anything waits for this process."""
    return tx.one(_HAS_CHILDREN, (seq,)) is not None


def ready_children(tx: Transaction, seq: int) -> list[ProcessRow]:
    """Tell the children of a process that it has succeeded; those that wait for no other one now."""
    children = [ProcessRow(*row) for row in tx.all(_READY, (seq,))]
    return [child for child in children if not child.waitforparents]


def input_size(tx: Transaction, seq: int) -> tuple[int, int]:
    """(parents of a process, characters of their outputs)."""
    found = tx.one(_INPUT_SIZE, (seq,))
    return (found[0], found[1] or 0) if found else (0, 0)


def input_of(tx: Transaction, seq: int) -> str:
    """The outputs of the parents of a process, one after the other in one JSON list."""
    return joined(out for (out,) in tx.each(_INPUT, (seq,)))


def leaf_outputs(tx: Transaction, processgraphid: str) -> str:
    """The outputs of the processes of a graph that nothing waits for, in one JSON list."""
    return joined(out for (out,) in tx.each(_LEAF_OUTPUTS, (processgraphid,)))


def joined(documents: Iterable[str]) -> str:
    """JSON lists, made into one."""
    return "[" + ",".join(inner for inner in (document[1:-1] for document in documents) if inner) + "]"


def move(tx: Transaction, processgraphid: str, was: ProcessState, now: ProcessState) -> GraphRow:
    """Count a member in its new state; the graph after it."""
    return _must(tx.one(_MOVE[was, now], (processgraphid,)))


def grow(tx: Transaction, processgraphid: str) -> None:
    """Count a new member, which waits."""
    tx.run(_GROW, (processgraphid,))


def set_state(tx: Transaction, graph: GraphRow, state: ProcessState, starttime: int, endtime: int) -> None:
    """Bring the graph into a state."""
    tx.run(_SET_STATE, (int(state), starttime, endtime, graph.processgraphid))


def fail_members(tx: Transaction, processgraphid: str, errors: str) -> tuple[list[ProcessRow], GraphRow]:
    """Fail every member that has not failed; they, and the graph counted anew. `errors` is for those not at an end."""
    rows = tx.all(_FAIL, {"id": processgraphid, "now": tx.now, "errors": errors})
    return [ProcessRow(*row) for row in rows], _must(tx.one(_RECOUNT, {"id": processgraphid}))


def cancel_members(tx: Transaction, processgraphid: str) -> tuple[list[ProcessRow], GraphRow]:
    """Cancel every member that is not at its end; they, and the graph counted anew."""
    rows = tx.all(_CANCEL, {"id": processgraphid, "now": tx.now})
    return [ProcessRow(*row) for row in rows], _must(tx.one(_RECOUNT, {"id": processgraphid}))


def append_edge(tx: Transaction, parent: int, child: int) -> None:
    """Let a process (by `seq`) wait for one more parent, the last in its order."""
    found = tx.one(_NEXT_POSITION, (child,))
    add_edge(tx, parent, child, found[0] if found else 0)


def wait_more(tx: Transaction, seq: int) -> None:
    """Count one more parent that has not succeeded."""
    tx.run(_WAIT_MORE, (seq,))


def hand_over_children(tx: Transaction, old: int, new: int) -> None:
    """Let what waits for `old` wait for `new` instead (both by `seq`); `new` itself goes on waiting."""
    tx.run(_INHERIT, (new, old, new))
    tx.run(_ADOPTED, (old, new))


def members(tx: Transaction, processgraphid: str) -> list[Member]:
    """The processes of a graph in the order in which they were stored."""
    return [Member(*row) for row in tx.all(_MEMBERS, (processgraphid,))]


def edges(tx: Transaction, processgraphid: str) -> list[tuple[int, int]]:
    """(parent, child) by `seq`, in that order, each pair once."""
    return [(parent, child) for parent, child in tx.all(_EDGES, (processgraphid,))]


def remove(tx: Transaction, processgraphid: str) -> None:
    """Forget a graph with its processes, their edges and attributes."""
    for query in _REMOVE:
        tx.run(query, (processgraphid,))


def ids_in_state(tx: Transaction, colonyname: str, state: int) -> list[str]:
    """The ids of all graphs of a state."""
    return [processgraphid for (processgraphid,) in tx.all(_IN_STATE, (colonyname, state))]


def counts(tx: Transaction, colonyname: str | None) -> dict[int, int]:
    """How many graphs are in each state, in one colony or all."""
    return dict(tx.all(COUNT_SERVER) if colonyname is None else tx.all(_COUNT, (colonyname,)))


def _must(found: tuple[Any, ...] | None) -> GraphRow:
    assert found is not None, "a member's graph is stored with it"
    return GraphRow(*found)
