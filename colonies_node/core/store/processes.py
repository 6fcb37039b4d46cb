"""Processes as they are stored: the queue, the moves between states, lists, what is due."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from colonies_node.core import limits
from colonies_node.core.events import Waiter
from colonies_node.core.states import ProcessState
from colonies_node.core.store.reply import fitting
from colonies_node.core.store.transaction import Transaction


class ProcessRow(msgspec.Struct, frozen=True):
    """A row of `processes`, in the order of COLUMNS. Instants are Unix nanoseconds, cpu millicores, mem bytes.

    The columns before `state` come from the spec; `locationname` is in lower case, since places match in any case.
    `waitforparents` counts the parents that have not succeeded: nobody gets the process before it is 0. `away` is the
    link over which it was given to an upstream node, `origin` the one over which it came to us, `shared` whether any
    link is to hear of it. `camefrom` and `runsat` are paths of names (core/broker/sync/names), empty for this node.
    """

    seq: int
    processid: str
    colonyname: str
    initiatorid: str
    initiatorname: str
    executortype: str
    target: str
    executornames: str | None
    locationname: str
    cpu: int
    mem: int
    gpu: int
    parallelism: int
    funcname: str
    nodename: str
    label: str
    maxwaittime: int
    maxexectime: int
    maxretries: int
    prioritytime: int
    submissiontime: int
    state: int
    assignedexecutorid: str
    isassigned: int
    starttime: int
    endtime: int
    waitdeadline: int
    execdeadline: int
    retries: int
    waitforparents: int
    processgraphid: str
    hasattributes: int
    away: int
    origin: int
    shared: int
    camefrom: str
    runsat: str
    spec: str
    input: str
    out: str
    errors: str

    def names(self) -> list[str]:
        """The executors it is meant for; empty for any."""
        names: list[str] = json.loads(self.executornames) if self.executornames else []
        return names


FIELDS: Final = ProcessRow.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)

_INSERT = f"insert into processes ({', '.join(FIELDS[1:])}) values ({', '.join('?' * (len(FIELDS) - 1))}) returning seq"
_FIND = f"select {COLUMNS} from processes where processid = ?"

_FIRST_IN_LINE = """
    select * from (
        select prioritytime, seq from processes
        where colonyname = :colonyname and executortype = :executortype and target = {line} and state = 0
          and waitforparents = 0 and away = 0 and locationname in ('', :locationname) and cpu <= :cpu and mem <= :mem
          and gpu <= :gpu and parallelism <= :parallelism and (origin = 0 or origin <> :link) {more}
        order by prioritytime, seq limit 1
    )
"""
NEXT: Final = " union all ".join(
    (
        _FIRST_IN_LINE.format(line="''", more=""),
        _FIRST_IN_LINE.format(line=":executorname", more=""),
        _FIRST_IN_LINE.format(
            line="'*'", more="and exists (select 1 from json_each(executornames) where value = :executorname)"
        ),
    )
)
"""The first of each of three lines that an executor may take: of those meant for anyone, for it, and for several
executors of which it is one."""

WAITING_AFTER: Final = f"""
    select {COLUMNS} from processes
    where colonyname = ? and state = 0 and waitforparents = 0 and away = 0 and (prioritytime, seq) > (?, ?)
    order by prioritytime, seq limit ?
"""
_WAITS = "select 1 from processes where colonyname = ? and state = 0 and waitforparents = 0 and away = 0 limit 1"
_TAKE = f"""
    update processes
    set state = 1, isassigned = 1, assignedexecutorid = :executorid, starttime = :now,
        execdeadline = case when maxexectime > 0 then :now + maxexectime * 1000000000 else execdeadline end
    where seq = :seq returning {COLUMNS}
"""
_CLOSE = f"update processes set state = ?, endtime = ?, out = ?, errors = ? where seq = ? returning {COLUMNS}"
_SETTLE = f"""
    update processes
    set state = ?, assignedexecutorid = ?, isassigned = ?, starttime = ?, endtime = ?, retries = ?, execdeadline = 0,
        out = ?, errors = ?
    where seq = ? returning {COLUMNS}
"""
_SET_ORIGIN = f"update processes set origin = ? where seq = ? returning {COLUMNS}"
_SET_RUNSAT = f"update processes set runsat = ? where seq = ? returning {COLUMNS}"
_GIVE_AWAY = f"update processes set away = ? where seq = ? returning {COLUMNS}"
_SET_INPUT = f"update processes set input = ? where seq = ? returning {COLUMNS}"
_SET_OUTPUT = "update processes set out = ? where seq = ?"
_MARK_ATTRIBUTES = "update processes set hasattributes = 1 where processid = ? and hasattributes = 0"
_RETRY = f"""
    update processes
    set state = 0, isassigned = 0, assignedexecutorid = '', retries = retries + 1, endtime = :now,
        waitdeadline = case when maxwaittime > 0 then :now + maxwaittime * 1000000000 else waitdeadline end
    where seq = :seq returning {COLUMNS}
"""
_GIVE_BACK = f"""
    update processes set state = 0, isassigned = 0, assignedexecutorid = '', starttime = 0, endtime = 0
    where seq = ? returning {COLUMNS}
"""
_HELD = f"select {COLUMNS} from processes where assignedexecutorid = ? and state = 1"
_HELD_IN_COLONY = _HELD + " and colonyname = ?"

_LISTED = f"""
    {COLUMNS}, case when processgraphid = '' then 0 else
        (select count(*) from edges where child = seq) + (select count(*) from edges where parent = seq)
    end
"""

LIST: Final = {
    ProcessState.WAITING: f"select {_LISTED} from processes where colonyname = :colony and state = 0 {{}}"
    " order by prioritytime limit :count",
    ProcessState.RUNNING: f"select {_LISTED} from processes where colonyname = :colony and state = 1 {{}}"
    " order by starttime limit :count",
    **{
        state: f"select {_LISTED} from processes where colonyname = :colony and state = {int(state)} and state > 1 {{}}"
        " order by endtime desc limit :count"
        for state in (ProcessState.SUCCESS, ProcessState.FAILED, ProcessState.CANCELLED)
    },
}
"""Lists by state; the filter goes into the braces."""

FILTERS: Final = {
    "": "",
    "executortype": "and executortype = :value",
    "initiator": "and initiatorname = :value",
    "label": "and label = :value",
}

_HISTORY = f"""
    select {_LISTED} from processes
    where colonyname = :colony and submissiontime >= :since and state = :state
      and (:executorid = '' or assignedexecutorid = :executorid)
    order by submissiontime desc limit {limits.MAX_HISTORY}
"""
_REMOVE = "delete from processes where seq = ?"
# The number in the text and the order lead to the index on the state: another one has all processes of the colony.
_ORDER = {ProcessState.WAITING: "prioritytime", ProcessState.RUNNING: "starttime"}
_OF_STATE = {
    state: f"from processes where colonyname = ? and state = {int(state)} {'and state > 1' if state > 1 else ''}"
    f" and processgraphid = '' {{}} order by {_ORDER.get(state, 'endtime')}"
    for state in ProcessState
}
_REMOVE_ALL_ATTRIBUTES = "delete from attributes where targetid in (select processid {})"
_REMOVE_ALL = "delete from processes where seq in (select seq {})"
_WAIT_DUE = f"""
    select {COLUMNS} from processes where state = 0 and waitdeadline > 0 and away = 0 and waitdeadline <= ?
    order by waitdeadline limit ?
"""
_EXEC_DUE = f"""
    select {COLUMNS} from processes where state = 1 and execdeadline > 0 and execdeadline <= ?
    order by execdeadline limit ?
"""
_MOVE_WAIT = """
    update processes set waitdeadline = waitdeadline + :step
    where state = 0 and waitdeadline > 0 and away = 0 and submissiontime {before}
"""
_MOVE_EXEC = """
    update processes set execdeadline = execdeadline + :step
    where state = 1 and execdeadline > 0 and starttime {before}
"""
_NEXT_DUE = """
    select min(due) from (
        select min(waitdeadline) as due from processes where state = 0 and waitdeadline > 0 and away = 0
        union all
        select min(execdeadline) from processes where state = 1 and execdeadline > 0
    )
"""
_COUNT = (
    "select 0, count(*) from processes where colonyname = :colony and state = 0 union all"
    " select 1, count(*) from processes where colonyname = :colony and state = 1 union all"
    " select state, count(*) from processes where colonyname = :colony and state > 1 group by state"
)
# Each part reads one partial index from end to end and no row; the finished are grouped in the order of theirs.
COUNT_SERVER: Final = (
    "select 0, count(*) from processes where state = 0 union all"
    " select 1, count(*) from processes where state = 1 union all"
    " select state, sum(number) from"
    " (select state, count(*) as number from processes where state > 1 group by colonyname, state) group by state"
)
QUEUE: Final = "select count(*), min(submissiontime) from processes where state = 0 and waitforparents = 0 and away = 0"

_UNLIMITED: Final = (1 << 63) - 1


def insert(tx: Transaction, row: ProcessRow) -> ProcessRow:
    """Store a new process; the row with the `seq` that the store gave it."""
    given = tx.one(_INSERT, msgspec.structs.astuple(row)[1:])
    assert given is not None, "an insert returns its row"
    return msgspec.structs.replace(row, seq=given[0])


def find(tx: Transaction, processid: str) -> ProcessRow | None:
    """The process with this id."""
    return _row(tx.one(_FIND, (processid,)))


def newest(tx: Transaction) -> int:
    """The highest `seq`; 0 for none."""
    found = tx.one("select max(seq) from processes")
    return found[0] or 0 if found else 0


def next_for(tx: Transaction, waiter: Waiter) -> int | None:
    """The `seq` of the process that this executor should get now, or None: the first of three lines."""
    able = {
        "colonyname": waiter.colonyname,
        "executortype": waiter.executortype,
        "executorname": waiter.executorname,
        "locationname": waiter.locationname.lower(),
        "cpu": _UNLIMITED if waiter.cpu is None else waiter.cpu,
        "mem": _UNLIMITED if waiter.mem is None else waiter.mem,
        "gpu": _UNLIMITED if waiter.gpu is None else waiter.gpu,
        "parallelism": limits.MAX_PARALLELISM,
        "link": waiter.link,
    }
    first = min(tx.all(NEXT, able), default=None)
    return first[1] if first else None


def waiting_after(tx: Transaction, colonyname: str, place: tuple[int, int], count: int) -> list[ProcessRow]:
    """Processes that wait for an executor here, behind (`prioritytime`, `seq`) in the order of their priority."""
    return _rows(tx.all(WAITING_AFTER, (colonyname, *place, count)))


def waits(tx: Transaction, colonyname: str) -> bool:
    """Whether anything waits for an executor here."""
    return tx.one(_WAITS, (colonyname,)) is not None


def take(tx: Transaction, seq: int, executorid: str) -> ProcessRow:
    """Assign the process: it runs from now on, and its execution deadline counts."""
    return _must(tx.one(_TAKE, {"seq": seq, "executorid": executorid, "now": tx.now}))


def finish(
    tx: Transaction, process: ProcessRow, state: ProcessState, out: str, errors: str, *, endtime: int = 0
) -> ProcessRow:
    """Bring the process to its end, which is now if nothing else is said."""
    return _must(tx.one(_CLOSE, (int(state), endtime or tx.now, out, errors, process.seq)))


def settle(tx: Transaction, process: ProcessRow) -> ProcessRow:
    """Store the process as it is on the node which runs it: its state, executor, times, retries, output and errors.
    No deadline of ours counts meanwhile."""
    values = (
        int(process.state),
        process.assignedexecutorid,
        process.isassigned,
        process.starttime,
        process.endtime,
        process.retries,
        process.out,
        process.errors,
        process.seq,
    )
    return _must(tx.one(_SETTLE, values))


def set_origin(tx: Transaction, process: ProcessRow, link: int) -> ProcessRow:
    """The process came over this link; 0 for one of our own."""
    return _must(tx.one(_SET_ORIGIN, (link, process.seq)))


def set_runsat(tx: Transaction, process: ProcessRow, path: str) -> ProcessRow:
    """Another node says who runs the process."""
    return _must(tx.one(_SET_RUNSAT, (path, process.seq)))


def give_away(tx: Transaction, process: ProcessRow, link: int) -> ProcessRow:
    """The process is for another node to run from now on, over this link."""
    return _must(tx.one(_GIVE_AWAY, (link, process.seq)))


def set_input(tx: Transaction, process: ProcessRow, document: str) -> ProcessRow:
    """What the process gets from its parents."""
    return _must(tx.one(_SET_INPUT, (document, process.seq)))


def set_output(tx: Transaction, process: ProcessRow, out: str) -> None:
    """Replace the output, nothing else."""
    tx.run(_SET_OUTPUT, (out, process.seq))


def mark_attributes(tx: Transaction, processid: str) -> None:
    """Remember that there are attributes to look for."""
    tx.run(_MARK_ATTRIBUTES, (processid,))


def retry(tx: Transaction, process: ProcessRow) -> ProcessRow:
    """Back to the queue after its time ran out: one more try is counted."""
    return _must(tx.one(_RETRY, {"seq": process.seq, "now": tx.now}))


def give_back(tx: Transaction, process: ProcessRow) -> ProcessRow:
    """Back to the queue because its executor is gone or never got it: no try is counted."""
    return _must(tx.one(_GIVE_BACK, (process.seq,)))


def held_by(tx: Transaction, colonyname: str, executorid: str) -> list[ProcessRow]:
    """What this executor runs in this colony."""
    return _rows(tx.all(_HELD_IN_COLONY, (executorid, colonyname)))


def in_state(
    tx: Transaction, colonyname: str, state: ProcessState, by: str, value: str, count: int
) -> list[ProcessRow]:
    """At most `count` processes of a state in its order; `by` is a key of FILTERS."""
    query = LIST[state].format(FILTERS[by])
    values: dict[str, Any] = {"colony": colonyname, "count": count}
    if by:
        values["value"] = value
    return _few(tx.each(query, values))


def history(tx: Transaction, colonyname: str, executorid: str, since: int, state: int) -> list[ProcessRow]:
    """Processes submitted at or after `since`, oldest first; the newest ones if there are more than limits allow."""
    values = {"colony": colonyname, "since": since, "state": state, "executorid": executorid}
    return _few(tx.each(_HISTORY, values))[::-1]


def remove(tx: Transaction, process: ProcessRow) -> None:
    """Forget a process (its attributes go by attributes.remove_of)."""
    tx.run(_REMOVE, (process.seq,))


def remove_all(tx: Transaction, colonyname: str, state: ProcessState) -> int:
    """Forget all processes of a state that belong to no workflow, with their attributes; how many they were."""
    tx.run(_REMOVE_ALL_ATTRIBUTES.format(_OF_STATE[state].format("and hasattributes = 1")), (colonyname,))
    return tx.run(_REMOVE_ALL.format(_OF_STATE[state].format("")), (colonyname,))


def due_to_run(tx: Transaction, count: int) -> list[ProcessRow]:
    """Waiting processes whose waiting time is over."""
    return _rows(tx.all(_WAIT_DUE, (tx.now, count)))


def due_to_finish(tx: Transaction, count: int) -> list[ProcessRow]:
    """Running processes whose execution time is over."""
    return _rows(tx.all(_EXEC_DUE, (tx.now, count)))


def next_due(tx: Transaction) -> int:
    """The next deadline of any process, 0 for none."""
    found = tx.one(_NEXT_DUE)
    return found[0] or 0 if found else 0


def move_deadlines(tx: Transaction, step: int) -> None:
    """Move the deadlines that were set before the clock stepped by `step` nanoseconds, just before `tx.now`."""
    values = {"step": step, "now": tx.now}
    # Before a step forward, the clock showed at most now - step; before a step back, more than now.
    before = "<= :now - :step" if step > 0 else "> :now"
    tx.run(_MOVE_WAIT.format(before=before), values)
    tx.run(_MOVE_EXEC.format(before=before), values)


def counts(tx: Transaction, colonyname: str | None) -> dict[int, int]:
    """How many processes are in each state, in one colony or all."""
    rows = tx.all(COUNT_SERVER) if colonyname is None else tx.all(_COUNT, {"colony": colonyname})
    return dict(rows)


def queue(tx: Transaction) -> tuple[int, int]:
    """How many processes wait for nothing but an executor, and when the oldest was submitted (0 for none)."""
    found = tx.one(QUEUE)
    return (found[0], found[1] or 0) if found else (0, 0)


def _row(found: tuple[Any, ...] | None) -> ProcessRow | None:
    return ProcessRow(*found) if found else None


def _must(found: tuple[Any, ...] | None) -> ProcessRow:
    assert found is not None, "the row was read in the same transaction"
    return ProcessRow(*found)


def _rows(found: list[tuple[Any, ...]]) -> list[ProcessRow]:
    return [ProcessRow(*row) for row in found]


def _few(found: Iterable[tuple[Any, ...]]) -> list[ProcessRow]:
    """The rows (_LISTED) that one reply can hold with their documents and the ids of their relatives."""

    def size(values: tuple[Any, ...]) -> int:
        *documents, relatives = values[-5:]
        return sum(map(len, documents)) + int(relatives) * limits.ID_LENGTH

    return [ProcessRow(*values[:-1]) for values in fitting(found, size)]
