"""Logs: what processes and executors say, and finding it again."""

from __future__ import annotations

from colonies_node.core import limits
from colonies_node.core.broker.access import require_member
from colonies_node.core.broker.call import DONE, Call, Done
from colonies_node.core.errors import BadRequest, Denied, Internal
from colonies_node.core.events import ShareChanged
from colonies_node.core.model import messages as m
from colonies_node.core.model.process import Log
from colonies_node.core.model.times import DAY
from colonies_node.core.states import ProcessState
from colonies_node.core.store import executors, logs, processes
from colonies_node.core.store.transaction import Transaction


def _check_message(message: str) -> None:
    if len(message) > limits.MAX_LOG_MESSAGE:
        raise BadRequest(f"A log message must have at most {limits.MAX_LOG_MESSAGE} characters: send it in pieces")


def add(tx: Transaction, message: m.AddLog, call: Call) -> Done:
    """The executor of a running process logs a message of it."""
    process = call.process
    _check_message(message.message)
    if process.state != ProcessState.RUNNING:
        raise Denied("Failed to set output, process is not running")
    if process.assignedexecutorid != call.caller or call.executor is None:
        raise Denied("Failed to add log, not allowed to add log, only the assigned Executor may att logs")
    logs.add(tx, process.colonyname, process.processid, call.executor.executorname, message.message)
    if process.shared:
        tx.emit(ShareChanged(process.processid))
    return DONE


def add_of_executor(tx: Transaction, message: m.AddExecutorLog, call: Call) -> Done:
    """An executor logs a message of its own."""
    _check_message(message.message)
    if call.executor is None:
        raise Denied("Failed to add executor log, executor not found")
    if call.executor.executorname != message.executorname:
        raise Denied("Failed to add executor log, executor name mismatch")
    logs.add(tx, message.colonyname, "", message.executorname, message.message)
    return DONE


def get(tx: Transaction, message: m.GetLogs, call: Call) -> list[Log]:
    """The log of a process, or of an executor of the caller's colony."""
    if message.executorname:
        if executors.by_name(tx, message.colonyname, message.executorname) is None:
            raise Internal("Failed to get logs, executor does not exist")
        by, value, colonyname = "executor", message.executorname, message.colonyname
    else:
        process = processes.find(tx, message.processid)
        if process is None:
            raise Internal("Failed to get logs, process does not exist")
        by, value, colonyname = "process", message.processid, process.colonyname
    require_member(tx, call, colonyname)
    if message.count > limits.MAX_LOGS:
        raise Denied(f"Count exceeds max log count ({limits.MAX_LOGS})")
    if message.count < 0:
        raise BadRequest("pq: LIMIT must not be negative")
    return logs.read(tx, colonyname, by, value, message.count, message.since, message.latest)


def search(tx: Transaction, message: m.SearchLogs, call: Call) -> list[Log]:
    """Messages of the last days that contain a text."""
    if message.count > limits.MAX_LOG_SEARCH:
        raise BadRequest(f"Count exceeds max log count ({limits.MAX_LOG_SEARCH})")
    if message.days > limits.MAX_LOG_SEARCH_DAYS:
        raise BadRequest(f"Count exceeds max day count ({limits.MAX_LOG_SEARCH_DAYS})")
    if message.count < 0:
        raise BadRequest("pq: LIMIT must not be negative")
    if len(message.text) > limits.MAX_SEARCH_TEXT:
        raise BadRequest(f"A text to search for must have at most {limits.MAX_SEARCH_TEXT} characters")
    if message.days <= 0:
        return []
    return logs.search(tx, message.colonyname, message.text, tx.now - message.days * DAY, message.count)
