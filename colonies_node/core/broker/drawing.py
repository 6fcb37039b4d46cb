"""A workflow as clients draw it: its processes depth first, each with a place on a grid, and the edges between them."""

from __future__ import annotations

from collections import defaultdict

from colonies_node.core.model.times import format_time
from colonies_node.core.model.workflow import Edge, GraphNode, Label, Position, ProcessGraph, Style
from colonies_node.core.states import ProcessState
from colonies_node.core.store import graphs
from colonies_node.core.store.graphs import GraphRow, Member
from colonies_node.core.store.transaction import Transaction

WIDTH, GAP, STEP_X, STEP_Y = 150, 50, 200, 80
"""Pixels: a node, the space between two, and from one node to the next across and down."""

COLOURS = {
    ProcessState.WAITING: "#eee8d8",
    ProcessState.RUNNING: "#4689cd",
    ProcessState.SUCCESS: "#92d050",
    ProcessState.FAILED: "#cb4239",
    ProcessState.CANCELLED: "#f5a623",
}


class Shape:
    """The members of a workflow and how they hang together; everything by `seq`."""

    def __init__(self, tx: Transaction, processgraphid: str) -> None:
        self.members: dict[int, Member] = {member.seq: member for member in graphs.members(tx, processgraphid)}
        self.children: defaultdict[int, list[int]] = defaultdict(list)
        self.parents: defaultdict[int, list[int]] = defaultdict(list)
        for parent, child in graphs.edges(tx, processgraphid):
            if parent in self.members:
                self.children[parent].append(child)
                self.parents[child].append(parent)
        self.roots = [seq for seq in self.members if not self.parents[seq]]

    def depth_first(self) -> list[tuple[int, int]]:
        """(process, depth at its first visit) in the order of the visits."""
        order: list[tuple[int, int]] = []
        seen: set[int] = set()
        ahead = [(root, 0) for root in reversed(self.roots)]
        while ahead:
            seq, depth = ahead.pop()
            if seq not in seen:
                seen.add(seq)
                order.append((seq, depth))
                ahead.extend((child, depth + 1) for child in reversed(self.children[seq]))
        return order

    def ids(self, seqs: list[int]) -> list[str]:
        return [self.members[seq].processid for seq in seqs]


def outline(tx: Transaction, graph: GraphRow) -> ProcessGraph:
    """The workflow without the drawing."""
    return _outline(graph, Shape(tx, graph.processgraphid))


def _outline(graph: GraphRow, shape: Shape) -> ProcessGraph:
    return ProcessGraph(
        processgraphid=graph.processgraphid,
        initiatorid=graph.initiatorid,
        initiatorname=graph.initiatorname,
        colonyname=graph.colonyname,
        rootprocessids=shape.ids(shape.roots),
        state=graph.state,
        submissiontime=format_time(graph.submissiontime),
        starttime=format_time(graph.starttime),
        endtime=format_time(graph.endtime),
        processids=shape.ids([seq for seq, _ in shape.depth_first()]),
    )


def draw(tx: Transaction, graph: GraphRow) -> ProcessGraph:
    """The workflow with nodes and edges."""
    shape = Shape(tx, graph.processgraphid)
    drawn = _outline(graph, shape)
    order = shape.depth_first()
    levels: defaultdict[int, list[int]] = defaultdict(list)
    for seq, depth in order:
        levels[depth].append(seq)
    widest = max((_width(len(level)) for level in levels.values()), default=0)
    places = {seq: place for level in levels.values() for place, seq in enumerate(level)}
    for seq, depth in order:
        shift = widest // 2 - _width(len(levels[depth])) // 2
        drawn.nodes.append(_node(shape, seq, places[seq] * STEP_X + shift, depth * STEP_Y))
    for seq, _ in order:
        source = shape.members[seq]
        for child in shape.children[seq]:
            target = shape.members[child].processid
            drawn.edges.append(
                Edge(
                    id=f"{source.processid}-{target}",
                    source=source.processid,
                    target=target,
                    animated=source.state == ProcessState.RUNNING,
                )
            )
    return drawn


def _width(count: int) -> int:
    return WIDTH * count + GAP * (count - 1)


def _node(shape: Shape, seq: int, x: int, y: int) -> GraphNode:
    member = shape.members[seq]
    kind = "input" if not shape.parents[seq] else "" if shape.children[seq] else "output"
    return GraphNode(
        id=member.processid,
        data=Label(label=member.nodename),
        position=Position(x=x, y=y),
        type=kind,
        style=Style(color="", background=COLOURS[ProcessState(member.state)]),
    )
