"""The life of a process after it was submitted: assigned, given back, closed, cancelled, timed out."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker import flow
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.errors import BadRequest, Denied, Internal
from colonies_node.core.events import AssignmentsResumed, Waiter
from colonies_node.core.model import messages as m
from colonies_node.core.model.quantities import memory_bytes, millicores
from colonies_node.core.model.times import SECOND
from colonies_node.core.model.wire import encode
from colonies_node.core.states import PROCESS_MOVES, PROCESS_REFUSALS, ProcessState
from colonies_node.core.store import executors, graphs, members, processes
from colonies_node.core.store.executors import ExecutorRow
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction

WAITED_TOO_LONG = '["Maximum waiting time limit exceeded"]'
RAN_TOO_LONG = '["Maximum execution time limit exceeded"]'


def apply(tx: Transaction, message: m.AssignProcess, call: Call) -> Waiter:
    """Ask for work, as an executor: the answer is a process that the caller runs from now on."""
    if message.timeout == 0:
        raise BadRequest("Invalid timeout value, timeout cannot be zero")
    if call.executor is None:
        raise Internal("Failed to assign process, executor not found")
    return Waiter(
        colonyname=message.colonyname,
        executortype=call.executor.executortype,
        executorname=call.executor.executorname,
        executorid=call.executor.executorid,
        locationname=call.executor.locationname,
        cpu=millicores(message.availablecpu) if message.availablecpu else None,
        mem=memory_bytes(message.availablemem) if message.availablemem else None,
        gpu=message.availablegpu,
    )


def assign(tx: Transaction, waiter: Waiter) -> ProcessRow | None:
    """Give the executor the process that is next for it, or None. Check in the same change that it is a member."""
    while (seq := processes.next_for(tx, waiter)) is not None:
        process = processes.take(tx, seq, waiter.executorid)
        if process.processgraphid and not (process := _with_input(tx, process)).isassigned:
            continue
        if process.runsat:  # it was elsewhere before
            process = processes.set_runsat(tx, process, "")
        tx.due(process.execdeadline)
        flow.moved(tx, ProcessState.WAITING, process)
        return process
    return None


def _with_input(tx: Transaction, process: ProcessRow) -> ProcessRow:
    """The process with the outputs of its parents. It fails, assigned to nobody, if they are too large to hand out."""
    parents, size = graphs.input_size(tx, process.seq)
    if size > limits.MAX_INPUT:
        errors = encode([f"The outputs of its {parents} parents are larger than {limits.MAX_INPUT >> 20} MiB"]).decode()
        waiting = processes.give_back(tx, process)
        failed = processes.finish(tx, waiting, ProcessState.FAILED, process.out, errors)
        flow.moved(tx, ProcessState.WAITING, failed)
        return failed
    return processes.set_input(tx, process, graphs.input_of(tx, process.seq)) if parents else process


def take_back(tx: Transaction, processid: str, executorid: str) -> None:
    """Return a process to the queue whose executor never got the answer (DEVIATIONS 26)."""
    process = processes.find(tx, processid)
    if process and process.state == ProcessState.RUNNING and process.assignedexecutorid == executorid:
        flow.moved(tx, ProcessState.RUNNING, processes.give_back(tx, process))


def give_back_all(tx: Transaction, executor: ExecutorRow) -> None:
    """Return everything that this executor runs to the queue."""
    for process in processes.held_by(tx, executor.colonyname, executor.executorid):
        flow.moved(tx, ProcessState.RUNNING, processes.give_back(tx, process))


def resume(tx: Transaction, message: m.OfColony, call: Call) -> Done:
    """Hand out work in this colony again."""
    members.set_paused(tx, message.colonyname, False)
    tx.emit(AssignmentsResumed(message.colonyname))
    return DONE


def set_output(tx: Transaction, message: m.SetOutput, call: Call) -> Done:
    """Replace the output of a running process."""
    process = call.process
    if not process.isassigned or process.assignedexecutorid != call.caller:
        raise Denied("Failed to close process as successful, not allowed to close process as successful")
    if process.state != ProcessState.RUNNING:
        raise Denied("Failed to set output, process is not running")
    if message.out:
        processes.set_output(tx, process, _document(message.out))
    return DONE


def close_successful(tx: Transaction, message: m.SetOutput, call: Call) -> Done:
    """The executor says that it is done. Saying it again may replace the output, and changes nothing else."""
    process = call.process
    _require_assignee(process, call, "successful")
    _move(process, "succeed")
    out = _document(message.out) if message.out else process.out
    if process.state == ProcessState.SUCCESS:
        processes.set_output(tx, process, out)
        return DONE
    closed = processes.finish(tx, process, ProcessState.SUCCESS, out, process.errors)
    if call.executor is not None:
        executors.count_run(
            tx,
            process.colonyname,
            call.executor.executorname,
            process.funcname,
            max(process.starttime - process.submissiontime, 0) / SECOND,
            max(closed.endtime - process.starttime, 0) / SECOND,
        )
    flow.moved(tx, ProcessState.RUNNING, closed)
    return DONE


def close_failed(tx: Transaction, message: m.CloseFailed, call: Call) -> Done:
    """The executor says that it could not do it."""
    process = call.process
    _require_assignee(process, call, "failed")
    state = _move(process, "fail")
    # Never null: the Python SDK cannot read a process without a list here.
    errors = _document(message.errors or [])
    _finish(tx, process, state, errors)
    return DONE


def cancel(tx: Transaction, message: m.OfProcess, call: Call) -> Done:
    """A member no longer wants the process."""
    process = call.process
    if process.processgraphid:
        raise BadRequest(
            "Failed to cancel, cannot cancel a process part of a workflow, cancel the entire workflow instead"
        )
    _finish(tx, process, _move(process, "cancel"), process.errors)
    return DONE


def expire_waiting(tx: Transaction, process: ProcessRow) -> None:
    """Nobody took the process in time."""
    if _is_past(tx, process):
        return
    _finish(tx, process, _move(process, "expire"), WAITED_TOO_LONG)


def expire_running(tx: Transaction, process: ProcessRow) -> None:
    """The process was not closed in time: somebody else tries, as often as `maxretries` allows (negative: for ever)."""
    if _is_past(tx, process):
        return
    if 0 <= process.maxretries <= process.retries:
        _finish(tx, process, _move(process, "expire"), RAN_TOO_LONG)
    else:
        _move(process, "requeue")
        flow.moved(tx, ProcessState.RUNNING, processes.retry(tx, process))


def _is_past(tx: Transaction, process: ProcessRow) -> bool:
    """Whether the process has moved on since it was read: one that expires fails the rest of its workflow."""
    if not process.processgraphid:
        return False
    present = processes.find(tx, process.processid)
    return present is None or present.state != process.state


def _finish(tx: Transaction, process: ProcessRow, state: ProcessState, errors: str) -> None:
    flow.moved(tx, ProcessState(process.state), processes.finish(tx, process, state, process.out, errors))


def _require_assignee(process: ProcessRow, call: Call, outcome: str) -> None:
    if not process.isassigned:
        raise Denied(f"Failed to close process as {outcome}, process is not assigned")
    if process.assignedexecutorid != call.caller:
        raise Denied(f"Failed to close process as {outcome}, not allowed to close process as {outcome}")


def _move(process: ProcessRow, what: str) -> ProcessState:
    state = ProcessState(process.state)
    after = PROCESS_MOVES.get((state, what))
    if after is not None:
        return after
    refusal = PROCESS_REFUSALS.get((state, what))
    if refusal is None:
        raise Internal(f"a {state.name.lower()} process cannot {what}")
    raise BadRequest(refusal)


def _document(items: list[object] | list[str]) -> str:
    if len(items) > limits.MAX_LIST_ITEMS:
        raise BadRequest(
            f"A list of outputs or errors must have at most {limits.MAX_LIST_ITEMS} items, got {len(items)}"
        )
    return encode(items).decode()
