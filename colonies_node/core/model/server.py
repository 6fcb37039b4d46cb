"""What a server says of itself."""

from __future__ import annotations

from colonies_node.core.model.wire import Record, always, null


class Statistics(Record):
    """How many there are of everything, in a colony or on the server."""

    colonies: int = always(int)
    executors: int = always(int)
    activeexecutors: int = always(int)
    unregisteredexecutors: int = always(int)
    waitingprocesses: int = always(int)
    runningprocesses: int = always(int)
    successfulprocesses: int = always(int)
    failedprocesses: int = always(int)
    cancelledprocesses: int = always(int)
    waitingworkflows: int = always(int)
    runningworkflows: int = always(int)
    successfulworkflows: int = always(int)
    failedworkflows: int = always(int)
    cancelledworkflows: int = always(int)


class Backend(Record):
    """One way to reach the server."""

    type: str = always(str)
    port: int = always(int)
    host: str = ""
    tls: bool = False
    insecure: bool = False


class ServerInfo(Record):
    """Version and addresses."""

    buildversion: str = always(str)
    buildtime: str = always(str)
    backends: list[Backend] = always(list)
    diskpressure: str = ""
    """What of new work is refused for want of room: `none`, `low` (priorities) or `critical` (all); empty without a
    policy for that."""


class Version(Record):
    """Version alone."""

    buildversion: str = always(str)
    buildtime: str = always(str)
    msgtype: str = always(str)


class ClusterNode(Record):
    """One server of a cluster."""

    name: str = always(str)
    host: str = always(str)
    port: int = always(int)
    peerport: int = always(int)
    relayport: int = always(int)
    apiport: int = always(int)


class Cluster(Record):
    """All servers of a cluster, and the one with the leader's duties."""

    nodes: list[ClusterNode] | None = null()
    leader: ClusterNode = always(ClusterNode)


class PauseStatus(Record):
    """Whether a colony hands out work at the moment."""

    msgtype: str = always(str)
    colonyname: str = always(str)
    ispaused: bool = always(bool)
