"""Executors and their functions as they are stored."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from colonies_node.core.model.executor import (
    STATE,
    Allocations,
    Capabilities,
    Executor,
    Function,
    FunctionArg,
    Software,
)
from colonies_node.core.model.times import format_time
from colonies_node.core.model.wire import encode
from colonies_node.core.states import ExecutorState
from colonies_node.core.store.transaction import Transaction


class ExecutorRow(msgspec.Struct, frozen=True):
    """A row of `executors`. Instants are Unix nanoseconds; capabilities and allocations are JSON."""

    colonyname: str
    executorname: str
    executorid: str
    executortype: str
    state: int
    requirefuncreg: int
    commissiontime: int
    lastheardfromtime: int
    locationname: str
    capabilities: str
    allocations: str
    blueprintid: str
    blueprintgen: int


FIELDS: Final = ExecutorRow.__struct_fields__
COLUMNS: Final = ", ".join(FIELDS)
_SELECT = f"select {COLUMNS} from executors"
_BY_ID = _SELECT + " where executorid = ? and colonyname = ?"
_INSERT = f"insert into executors ({COLUMNS}) values ({', '.join('?' * len(FIELDS))})"
_REPLACE = (
    "update executors set "
    + ", ".join(f"{name} = ?" for name in FIELDS[2:])
    + " where colonyname = ? and executorname = ?"
)
_STALE = f"""
    {_SELECT} as e where state <> {int(ExecutorState.UNREGISTERED)} and lastheardfromtime > 0 and lastheardfromtime <=
    :before
      and not exists (select 1 from processes as p where p.assignedexecutorid = e.executorid and p.state = 1
                      and (p.execdeadline = 0 or p.execdeadline > :now))
      and not exists (select 1 from links where direction = 'down' and links.colonyname = e.colonyname
                      and links.name = e.executorname)
"""
_OLDEST_HEARD = f"""
    select min(lastheardfromtime) from executors
    where state <> {int(ExecutorState.UNREGISTERED)} and lastheardfromtime > 0
"""
_FUNCTION_FIELDS = Function.__struct_fields__
_FUNCTION_COLUMNS = ", ".join(_FUNCTION_FIELDS)
_COUNT_RUN = """
    update functions set
        counter = counter + 1,
        minwaittime = case when minwaittime = 0 or :wait < minwaittime then :wait else minwaittime end,
        maxwaittime = case when :wait > maxwaittime then :wait else maxwaittime end,
        minexectime = case when minexectime = 0 or :exec < minexectime then :exec else minexectime end,
        maxexectime = case when :exec > maxexectime then :exec else maxexectime end,
        avgwaittime = case when avgwaittime = 0 then :wait else (avgwaittime + :wait) / 2 end,
        avgexectime = case when avgexectime = 0 then :exec else (avgexectime + :exec) / 2 end
    where colonyname = :colony and executorname = :executor and funcname = :funcname
"""


def add(tx: Transaction, row: ExecutorRow) -> None:
    """Store an executor under a new name."""
    tx.run(_INSERT, msgspec.structs.astuple(row))


def replace(tx: Transaction, row: ExecutorRow) -> None:
    """Put another executor into the place of the one with this name."""
    tx.run(_REPLACE, (*msgspec.structs.astuple(row)[2:], row.colonyname, row.executorname))


def by_name(tx: Transaction, colonyname: str, executorname: str) -> ExecutorRow | None:
    """An executor by name, in any state."""
    return _row(tx.one(_SELECT + " where colonyname = ? and executorname = ?", (colonyname, executorname)))


def by_id(tx: Transaction, colonyname: str, executorid: str) -> ExecutorRow | None:
    """An executor of a colony by id; an approved one first when several share the id."""
    rows = [ExecutorRow(*row) for row in tx.all(_BY_ID, (executorid, colonyname))]
    return min(rows, key=lambda row: (row.state != ExecutorState.APPROVED, row.executorname), default=None)


def anywhere(tx: Transaction, executorid: str) -> ExecutorRow | None:
    """An executor by id, whatever its colony."""
    return _row(tx.one(_SELECT + " where executorid = ? order by colonyname, executorname", (executorid,)))


def of_colony(tx: Transaction, colonyname: str) -> list[ExecutorRow]:
    """The colony's executors by name, the unregistered ones too."""
    rows = tx.all(_SELECT + " where colonyname = ? order by executorname", (colonyname,))
    return [ExecutorRow(*row) for row in rows]


def set_state(tx: Transaction, row: ExecutorRow, state: ExecutorState) -> None:
    """Trust the executor, or no longer."""
    tx.run(
        "update executors set state = ? where colonyname = ? and executorname = ?",
        (int(state), row.colonyname, row.executorname),
    )


def heard(tx: Transaction, executorid: str, instant: int) -> None:
    """Note that the executor gave a sign of life."""
    tx.run(
        "update executors set lastheardfromtime = ? where executorid = ? and lastheardfromtime < ?",
        (instant, executorid, instant),
    )


def set_id(tx: Transaction, colonyname: str, old: str, new: str) -> int:
    """Give the executor another key, and the processes that it runs with it; how many executors had the old one."""
    tx.run(
        "update processes set assignedexecutorid = ? where assignedexecutorid = ? and state = 1 and colonyname = ?",
        (new, old, colonyname),
    )
    return tx.run("update executors set executorid = ? where colonyname = ? and executorid = ?", (new, colonyname, old))


def set_capabilities(tx: Transaction, row: ExecutorRow, capabilities: Capabilities) -> None:
    """Replace what the executor has."""
    tx.run(
        "update executors set capabilities = ? where colonyname = ? and executorname = ?",
        (encode(capabilities).decode(), row.colonyname, row.executorname),
    )


def set_closed(tx: Transaction, row: ExecutorRow, closed: str) -> None:
    """Note why an executor takes no work, as executors do that of themselves: an entry of its software. Empty takes the
    entry away; what is there already is left alone."""
    known = msgspec.json.decode(row.capabilities, type=Capabilities)
    software = known.software if isinstance(known.software, list) else [known.software] if known.software else []
    others = [entry for entry in software if entry.type != STATE]
    wanted = [*others, *([Software(name="maintenance", type=STATE, version=closed)] if closed else [])]
    if wanted != software:
        set_capabilities(tx, row, Capabilities(hardware=known.hardware, software=wanted))


def set_allocations(tx: Transaction, row: ExecutorRow, allocations: Allocations) -> None:
    """Replace what of the executor is in use."""
    tx.run(
        "update executors set allocations = ? where colonyname = ? and executorname = ?",
        (encode(allocations).decode(), row.colonyname, row.executorname),
    )


def not_heard_in_future(tx: Transaction) -> None:
    """After the clock was set back: nobody was heard later than now."""
    tx.run("update executors set lastheardfromtime = ? where lastheardfromtime > ?", (tx.now, tx.now))


def stale(tx: Transaction, before: int) -> list[ExecutorRow]:
    """Executors not heard since `before` that run nothing inside its deadline. Never-heard ones are not among them, nor
    lower nodes: those may be away for long, and come back."""
    return [ExecutorRow(*row) for row in tx.all(_STALE, {"before": before, "now": tx.now})]


def oldest_heard(tx: Transaction) -> int:
    """The oldest sign of life of a registered executor, 0 for none."""
    found = tx.one(_OLDEST_HEARD)
    return found[0] or 0 if found else 0


def state_counts(tx: Transaction, colonyname: str | None) -> dict[int, int]:
    """How many executors are in each state, in one colony or all."""
    where = "" if colonyname is None else " where colonyname = ?"
    values = () if colonyname is None else (colonyname,)
    return dict(tx.all(f"select state, count(*) from executors{where} group by state", values))


def to_wire(row: ExecutorRow, heard_at: int = 0) -> Executor:
    """The executor as clients read it; `heard_at` is a sign of life newer than the stored one."""
    return Executor(
        executorid=row.executorid,
        executortype=row.executortype,
        executorname=row.executorname,
        colonyname=row.colonyname,
        state=row.state,
        requirefuncreg=bool(row.requirefuncreg),
        commissiontime=format_time(row.commissiontime),
        lastheardfromtime=format_time(max(row.lastheardfromtime, heard_at)),
        locationname=row.locationname,
        capabilities=msgspec.json.decode(row.capabilities, type=Capabilities),
        allocations=msgspec.json.decode(row.allocations, type=Allocations),
        blueprintid=row.blueprintid,
        blueprintgen=row.blueprintgen,
    )


def add_function(tx: Transaction, function: Function) -> None:
    """Store a function."""
    values: list[Any] = [getattr(function, name) for name in _FUNCTION_FIELDS]
    values[_FUNCTION_FIELDS.index("args")] = encode(function.args).decode()
    tx.run(f"insert into functions ({_FUNCTION_COLUMNS}) values ({', '.join('?' * len(values))})", values)


def function(tx: Transaction, functionid: str) -> Function | None:
    """A function by id."""
    found = tx.one(f"select {_FUNCTION_COLUMNS} from functions where functionid = ?", (functionid,))
    return _function(found) if found else None


def functions(tx: Transaction, colonyname: str, executorname: str) -> list[Function]:
    """The functions of one executor; with an empty name, of the whole colony."""
    query = f"select {_FUNCTION_COLUMNS} from functions where colonyname = ?"
    if executorname:
        rows = tx.all(query + " and executorname = ? order by funcname", (colonyname, executorname))
    else:
        rows = tx.all(query + " order by executorname, funcname", (colonyname,))
    return [_function(row) for row in rows]


def remove_function(tx: Transaction, functionid: str) -> None:
    """Forget a function."""
    tx.run("delete from functions where functionid = ?", (functionid,))


def remove_functions_of(tx: Transaction, colonyname: str, executorname: str) -> None:
    """Forget all functions of an executor."""
    tx.run("delete from functions where colonyname = ? and executorname = ?", (colonyname, executorname))


def count_run(tx: Transaction, colonyname: str, executorname: str, funcname: str, waited: float, ran: float) -> None:
    """Add a successful run (seconds waited and run) to the statistics of the function, if it is registered."""
    tx.run(
        _COUNT_RUN,
        {"colony": colonyname, "executor": executorname, "funcname": funcname, "wait": waited, "exec": ran},
    )


def _row(found: tuple[Any, ...] | None) -> ExecutorRow | None:
    return ExecutorRow(*found) if found else None


def _function(row: tuple[Any, ...]) -> Function:
    fields = dict(zip(_FUNCTION_FIELDS, row, strict=True))
    fields["args"] = msgspec.json.decode(fields["args"], type=list[FunctionArg])
    return Function(**fields)
