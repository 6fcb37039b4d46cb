"""What a server says of itself and of its colonies."""

from __future__ import annotations

from typing import NamedTuple

from colonies_node.core.broker.access import require_member
from colonies_node.core.broker.call import Call
from colonies_node.core.errors import BadRequest
from colonies_node.core.model import messages as m
from colonies_node.core.model.server import Backend, Cluster, ClusterNode, PauseStatus, ServerInfo, Statistics, Version
from colonies_node.core.model.times import SECOND
from colonies_node.core.states import ExecutorState, ProcessState
from colonies_node.core.store import executors, graphs, members, processes
from colonies_node.core.store.transaction import Transaction


def version(tx: Transaction, message: m.Message, call: Call) -> Version:
    """The version."""
    return Version(buildversion=call.rules.buildversion, buildtime=call.rules.buildtime, msgtype="versionmsg")


def info(tx: Transaction, message: m.Message, call: Call) -> ServerInfo:
    """The version, where the server listens, and whether its disk has room."""
    rules = call.rules
    backend = Backend(type="http", port=rules.port, host=rules.host, tls=rules.tls)
    level = call.pressure.level.name.lower() if rules.disk_reserve else ""
    return ServerInfo(
        buildversion=rules.buildversion, buildtime=rules.buildtime, backends=[backend], diskpressure=level
    )


def statistics(tx: Transaction, message: m.Message, call: Call) -> Statistics:
    """Counts over all colonies."""
    return _count(tx, None, len(members.colonies(tx)))


class Stock(NamedTuple):
    """What is there: counts, and of the processes that wait for nothing but an executor the number and the age of the
    oldest in seconds, since it was submitted."""

    statistics: Statistics
    ready: int
    age: float


def take_stock(tx: Transaction) -> Stock:
    """What is there now; a long look."""
    ready, oldest = processes.queue(tx)
    return Stock(
        _count(tx, None, len(members.colonies(tx))), ready, max(tx.now - oldest, 0) / SECOND if oldest else 0.0
    )


def colony_statistics(tx: Transaction, message: m.OfColony, call: Call) -> Statistics:
    """Counts of one colony."""
    if members.colony_id(tx, message.colonyname) is None:
        raise BadRequest(f"Colony with name <{message.colonyname}> not found")
    require_member(tx, call, message.colonyname)
    return _count(tx, message.colonyname, 1)


def _count(tx: Transaction, colonyname: str | None, colonies: int) -> Statistics:
    work = processes.counts(tx, colonyname)
    workflows = graphs.counts(tx, colonyname)
    staff = executors.state_counts(tx, colonyname)
    unregistered = staff.get(ExecutorState.UNREGISTERED, 0)
    everybody = sum(staff.values())
    return Statistics(
        colonies=colonies,
        # The reference counts unregistered executors in a colony, but not on the server.
        executors=everybody if colonyname is not None else everybody - unregistered,
        activeexecutors=staff.get(ExecutorState.APPROVED, 0),
        unregisteredexecutors=unregistered,
        waitingprocesses=work.get(ProcessState.WAITING, 0),
        runningprocesses=work.get(ProcessState.RUNNING, 0),
        successfulprocesses=work.get(ProcessState.SUCCESS, 0),
        failedprocesses=work.get(ProcessState.FAILED, 0),
        cancelledprocesses=work.get(ProcessState.CANCELLED, 0),
        waitingworkflows=workflows.get(ProcessState.WAITING, 0),
        runningworkflows=workflows.get(ProcessState.RUNNING, 0),
        successfulworkflows=workflows.get(ProcessState.SUCCESS, 0),
        failedworkflows=workflows.get(ProcessState.FAILED, 0),
        cancelledworkflows=workflows.get(ProcessState.CANCELLED, 0),
    )


def cluster(tx: Transaction, message: m.Message, call: Call) -> Cluster:
    """The servers that work together: this one alone."""
    node = ClusterNode(name="colonies-node", host=call.rules.host, apiport=call.rules.port)
    return Cluster(nodes=[node], leader=node)


def pause_status(tx: Transaction, message: m.OfColony, call: Call) -> PauseStatus:
    """Whether the colony hands out work."""
    paused = members.paused(tx, message.colonyname)
    return PauseStatus(msgtype="pausestatusreplymsg", colonyname=message.colonyname, ispaused=paused)
