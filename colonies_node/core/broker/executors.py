"""Executors: joining a colony, being trusted, leaving; what they have and which functions they offer."""

from __future__ import annotations

import msgspec

from colonies_node.core.broker import work
from colonies_node.core.broker.access import require_member
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.broker.members import check_name
from colonies_node.core.errors import BadRequest, Denied, NotFound
from colonies_node.core.events import MembersChanged, OffersChanged
from colonies_node.core.model import messages as m
from colonies_node.core.model.executor import Executor, Function
from colonies_node.core.model.times import SECOND, parse_time
from colonies_node.core.model.wire import encode
from colonies_node.core.states import EXECUTOR_MOVES
from colonies_node.core.store import executors
from colonies_node.core.store.executors import ExecutorRow
from colonies_node.core.store.transaction import Transaction


def check_executor(message: m.AddExecutor) -> None:
    """The request must carry an executor whose name can be read back and whose times are times."""
    executor = message.executor
    if executor is None:
        raise BadRequest("Failed to add executor, executor is nil")
    check_name("an executor", executor.executorname)
    check_name("an executor type", executor.executortype)
    if executor.executorname == "*":
        raise BadRequest("An executor must not be named *: in executornames that means any executor")
    for time in (executor.commissiontime, executor.lastheardfromtime):
        try:
            parse_time(time or "0001-01-01T00:00:00Z")
        except ValueError:
            raise BadRequest("Failed to add executor, invalid JSON") from None


def add(tx: Transaction, message: m.AddExecutor, call: Call) -> Executor:
    """Let an executor apply; it works only once approved."""
    executor = message.executor
    assert executor is not None, "checked before access"
    row = _row(tx, executor)
    if row.lastheardfromtime:
        tx.due(row.lastheardfromtime + call.rules.stale_executor_duration * SECOND)
    before = executors.by_name(tx, row.colonyname, row.executorname)
    if before is None:
        executors.add(tx, row)
        return executors.to_wire(row)
    if not call.rules.allow_executor_reregister:
        raise BadRequest(f"Executor with name <{row.executorname}> in Colony <{row.colonyname}> already exists")
    unregister(tx, before)
    executors.replace(tx, msgspec.structs.replace(row, requirefuncreg=before.requirefuncreg))
    return executors.to_wire(row)


def _row(tx: Transaction, executor: Executor) -> ExecutorRow:
    return ExecutorRow(
        colonyname=executor.colonyname,
        executorname=executor.executorname,
        executorid=executor.executorid,
        executortype=executor.executortype,
        state=EXECUTOR_MOVES["register"],
        requirefuncreg=int(executor.requirefuncreg),
        commissiontime=tx.now,
        lastheardfromtime=min(parse_time(executor.lastheardfromtime), tx.now) if executor.lastheardfromtime else 0,
        locationname=executor.locationname,
        capabilities=encode(executor.capabilities).decode(),
        allocations=encode(executor.allocations).decode(),
        blueprintid=executor.blueprintid,
        blueprintgen=executor.blueprintgen,
    )


def get_all(tx: Transaction, message: m.OfColony, call: Call) -> list[Executor]:
    """The executors of a colony in any state; clients hide the unregistered ones."""
    rows = executors.of_colony(tx, message.colonyname)
    return [executors.to_wire(row, call.heard.get(row.executorid, 0)) for row in rows]


def get(tx: Transaction, message: m.Message, call: Call) -> Executor:
    """The executor that the request names, by name or id."""
    return executors.to_wire(call.named, call.heard.get(call.named.executorid, 0))


def approve(tx: Transaction, message: m.OfExecutor, call: Call) -> Done:
    """Trust the executor with work."""
    executors.set_state(tx, call.named, EXECUTOR_MOVES["approve"])
    tx.emit(OffersChanged(call.named.colonyname))
    return DONE


def reject(tx: Transaction, message: m.OfExecutor, call: Call) -> Done:
    """Refuse the executor."""
    executors.set_state(tx, call.named, EXECUTOR_MOVES["reject"])
    tx.emit(MembersChanged(call.named.colonyname))
    tx.emit(OffersChanged(call.named.colonyname))
    return DONE


def remove(tx: Transaction, message: m.OfExecutor, call: Call) -> Done:
    """Let the executor go; what it ran goes to others."""
    unregister(tx, call.named)
    return DONE


def unregister(tx: Transaction, executor: ExecutorRow) -> None:
    """Take the executor out of the colony: its name stays taken, its functions go, its work returns to the queue."""
    executors.set_state(tx, executor, EXECUTOR_MOVES["remove"])
    executors.remove_functions_of(tx, executor.colonyname, executor.executorname)
    work.give_back_all(tx, executor)
    tx.emit(MembersChanged(executor.colonyname))
    tx.emit(OffersChanged(executor.colonyname))


def report_allocation(tx: Transaction, message: m.ReportAllocation, call: Call) -> Done:
    """An executor says what of it is in use."""
    executor = _self(tx, message, call, "Only an executor can report allocations to itself")
    executors.set_allocations(tx, executor, message.allocations)
    return DONE


def update(tx: Transaction, message: m.UpdateExecutor, call: Call) -> Done:
    """An executor says what it has."""
    executor = _self(tx, message, call, "Only an executor can update its own capabilities")
    executors.set_capabilities(tx, executor, message.capabilities)
    tx.emit(OffersChanged(executor.colonyname))
    return DONE


def _self(tx: Transaction, message: m.OfExecutor, call: Call, otherwise: str) -> ExecutorRow:
    executor = executors.by_name(tx, message.colonyname, message.executorname)
    if executor is None:
        raise BadRequest(f"Executor with name <{message.executorname}> does not exist")
    if executor.executorid != call.caller:
        raise BadRequest(otherwise)
    return executor


def check_function(message: m.AddFunction) -> None:
    """The request must carry a function."""
    if message.fun is None:
        raise BadRequest("Failed to add function, msg.Function is nil")


def add_function(tx: Transaction, message: m.AddFunction, call: Call) -> Function:
    """An executor says that it offers a function."""
    function = message.fun
    assert function is not None, "checked before access"
    executor = executors.by_name(tx, function.colonyname, function.executorname)
    if executor is None:
        raise BadRequest(f"Failed to add function, Executor with name <{function.executorname}> does not exist")
    if executor.executorid != call.caller:
        raise Denied("Not allowed to add a function to another executor")
    function = msgspec.structs.replace(
        function, functionid=function.functionid or tx.new_id(), locationname=executor.locationname
    )
    if executors.function(tx, function.functionid) is not None:
        raise BadRequest(f"A function with id <{function.functionid}> already exists", status=500)
    executors.add_function(tx, function)
    return function


def get_functions(tx: Transaction, message: m.OfExecutor, call: Call) -> list[Function]:
    """The functions of one executor, or of all with an empty name."""
    return executors.functions(tx, message.colonyname, message.executorname)


def check_function_id(message: m.OfFunction) -> None:
    """The request must name a function."""
    if not message.functionid:
        raise BadRequest("Failed to remove function, msg.FunctionID is empty")


def remove_function(tx: Transaction, message: m.OfFunction, call: Call) -> Done:
    """An executor withdraws a function."""
    function = executors.function(tx, message.functionid)
    if function is None:
        raise NotFound("Failed to remove function, function does not exist")
    require_member(tx, call, function.colonyname)
    executor = executors.by_name(tx, function.colonyname, function.executorname)
    if executor is None or executor.executorid != call.caller:
        raise Denied("Not allowed to remove a function from another executor")
    executors.remove_function(tx, function.functionid)
    return DONE
