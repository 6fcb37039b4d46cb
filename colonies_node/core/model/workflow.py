"""Workflows: function specs that depend on each other, and the graph of processes made of them."""

from __future__ import annotations

from colonies_node.core.model.process import FunctionSpec
from colonies_node.core.model.wire import Record, always


class WorkflowSpec(Record):
    """What to run in which order; `conditions.dependencies` of a spec names the `nodename`s that come before it."""

    colonyname: str = always(str)
    functionspecs: list[FunctionSpec] | None = always(list)


class Position(Record):
    """Where to draw a node, in pixels."""

    x: int
    y: int


class Label(Record):
    """What to write on a node."""

    label: str


class Style(Record):
    """How to paint a node."""

    color: str
    background: str


class GraphNode(Record):
    """A process as a drawing shows it; `type` is input, output or empty."""

    id: str
    data: Label
    position: Position
    type: str
    style: Style


class Edge(Record):
    """A dependency as a drawing shows it: the `target` waits for the `source`."""

    id: str
    source: str
    target: str
    animated: bool


class ProcessGraph(Record):
    """A workflow on its way, as clients read it. Times are RFC 3339; processes are listed depth first. `state` is as
    that of a process: running once something was taken, successful with the last success."""

    processgraphid: str
    initiatorid: str
    initiatorname: str
    colonyname: str
    rootprocessids: list[str]
    state: int
    submissiontime: str
    starttime: str
    endtime: str
    processids: list[str]
    nodes: list[GraphNode] = always(list)
    edges: list[Edge] = always(list)
