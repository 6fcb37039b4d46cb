"""Subscriptions to processes: who may be told what. Channels are in channels.py."""

from __future__ import annotations

from dataclasses import dataclass

from colonies_node.core.broker.access import require_member
from colonies_node.core.broker.call import Call
from colonies_node.core.errors import BadRequest, Denied
from colonies_node.core.events import Topic
from colonies_node.core.model import messages as m
from colonies_node.core.states import ProcessState
from colonies_node.core.store import members, processes
from colonies_node.core.store.processes import ProcessRow
from colonies_node.core.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Watch:
    """What a subscriber is told of: topics of events, each in one of these colonies.

    `present` is a process that is already in the state it is watched for.
    """

    topics: list[Topic]
    colonynames: list[str]
    present: ProcessRow | None = None


def to_processes(tx: Transaction, message: m.SubscribeProcesses, call: Call) -> Watch:
    """All processes of an executor type that come into a state; without a colony, in each of the caller's."""
    if message.colonyname:
        require_member(tx, call, message.colonyname)
        colonynames = [message.colonyname]
    else:
        colonynames = members.colonies_of(tx, call.caller)
        if not colonynames:
            raise Denied("executor not found")
    state = _state(message.state)
    return Watch([(colonyname, message.executortype, state) for colonyname in colonynames], colonynames)


def to_process(tx: Transaction, message: m.SubscribeProcess, call: Call) -> Watch:
    """One process that comes into a state, or is in it."""
    process = processes.find(tx, message.processid)
    if process is None:
        raise Denied(f"Invalid process with Id {message.processid}")
    require_member(tx, call, process.colonyname)
    state = _state(message.state)
    return Watch(
        [(process.processid, state)],
        [process.colonyname],
        present=process if process.state == state else None,
    )


def _state(number: int) -> int:
    if number not in set(ProcessState):
        raise BadRequest(f"Failed to subscribe, state must be 0 to {max(ProcessState)}, got {number}")
    return number
