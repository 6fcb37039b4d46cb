"""Workflows: processes that wait for each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import trio

from colonies_node.client import records
from colonies_node.client.errors import NotFinished
from colonies_node.client.logs import Pace
from colonies_node.client.records import ProcessGraph, ProcessRecord, ProcessState
from colonies_node.client.spec import FunctionSpec, Options, fields, function_spec
from colonies_node.core.broker.drawing import COLOURS
from colonies_node.core.errors import LinkDown

if TYPE_CHECKING:
    from colonies_node.client.client import Client

_OPEN = (COLOURS[ProcessState.WAITING], COLOURS[ProcessState.RUNNING])
"""The wire tells the state of a process in a drawing by its colour."""


@dataclass(frozen=True, eq=False)
class Node:
    """A process to be, in a workflow to be."""

    name: str


class Workflow:
    """A workflow: first its nodes are added, then it is submitted, whole or not at all."""

    def __init__(self, client: Client, id: str = "") -> None:
        self._client = client
        self._nodes: dict[str, Node] = {}
        self._specs: list[FunctionSpec] = []
        self.id = id
        """Its id, once it was submitted."""

    def add(
        self,
        funcname: str,
        *args: object,
        type: str,
        name: str = "",
        after: Iterable[Node] = (),
        **options: Unpack[Options],
    ) -> Node:
        """Add a node that runs when all those of `after` have succeeded; the options are those of `Client.submit`.

        Its name is that of the function, with a number if there is one already. Raises ValueError for a `name` that is
        taken or an `after` that is not of this workflow.
        """
        if self.id:
            raise ValueError("the workflow has been submitted")
        before = list(after)
        for node in before:
            if self._nodes.get(node.name) is not node:
                raise ValueError(f"{node.name} is no node of this workflow")
        if name in self._nodes:
            raise ValueError(f"there is a node {name} already")
        node = Node(name or self._free_name(funcname))
        spec = function_spec(self._client.colony, funcname, args, type, **options)
        spec.nodename = node.name
        spec.conditions.dependencies = [each.name for each in before]
        self._nodes[node.name] = node
        self._specs.append(spec)
        return node

    async def submit(self) -> str:
        """Submit it; its id. Raises Refused if it may not be, and nothing of it was stored then."""
        if self.id:
            raise ValueError("the workflow has been submitted")
        spec = {"colonyname": self._client.colony, "functionspecs": [fields(each) for each in self._specs]}
        answer = await self._client.call("submitworkflowspecmsg", spec=spec)
        self.id = str(answer["processgraphid"])
        return self.id

    async def get(self) -> ProcessGraph:
        """What the server knows of it now."""
        return records.read(ProcessGraph, await self._client.call("getprocessgraphmsg", processgraphid=self._known()))

    async def wait(self, timeout: float | None = None) -> ProcessGraph:
        """Its record, once it has ended: all of it, or with a failure. Raises NotFinished after `timeout` seconds."""
        pace = Pace()
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            while True:
                watched = ""
                try:
                    graph = await self.get()
                    pace.up()
                    if graph.state >= ProcessState.SUCCESS:
                        return graph
                    watched = _last_open(graph)
                except LinkDown as fault:
                    pace.down(fault)
                if not watched:
                    await pace.next(False)
                    continue
                # Its end, or that of the whole workflow, is news.
                with self._client.watch.of(watched) as news:
                    await news.next(pace.pause(False))
        raise NotFinished(f"Workflow {self.id} has not finished within {timeout:g} s; it goes on.")

    async def results(self, timeout: float | None = None) -> dict[str, Any]:
        """What each node gave, by name, once the workflow has ended.

        Raises ProcessFailed for the node that failed first, ProcessCancelled, NotFinished.
        """
        graph = await self.wait(timeout)
        found = await self._client.get_some(graph.processids)
        for record in sorted(found, key=_blame):
            records.result(record)
        return {record.spec.nodename: records.result(record) for record in found}

    async def processes(self) -> dict[str, ProcessRecord]:
        """The records of its processes by name, as they are now."""
        found = await self._client.get_some((await self.get()).processids)
        return {record.spec.nodename: record for record in found}

    async def cancel(self) -> None:
        """Cancel those of its processes that have not ended."""
        await self._client.call("cancelprocessgraphmsg", processgraphid=self._known())

    def _known(self) -> str:
        if not self.id:
            raise ValueError("the workflow has not been submitted")
        return self.id

    def _free_name(self, funcname: str) -> str:
        name, n = funcname, 2
        while name in self._nodes:
            name, n = f"{funcname}-{n}", n + 1
        return name


def _last_open(graph: ProcessGraph) -> str:
    """A process that will be among the last to end: one that nobody waits for."""
    sources = {edge.source for edge in graph.edges}
    still = [node.id for node in graph.nodes if node.style.background in _OPEN]
    return next((one for one in reversed(still) if one not in sources), still[-1] if still else "")


def _blame(record: ProcessRecord) -> int:
    """Least for the process that failed by itself: the others fail because it did."""
    if record.state != ProcessState.FAILED:
        return 3 if record.state == ProcessState.SUCCESS else 2
    dragged = not record.errors or str(record.errors[0]).endswith("failed, which is part of the same workflow")
    return 1 if dragged else 0
