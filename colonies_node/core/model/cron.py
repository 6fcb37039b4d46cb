"""Crons and generators: what starts workflows by itself. `workflowspec` is a workflow spec as JSON text."""

from __future__ import annotations

from colonies_node.core.model.wire import Int, Record, always


class Cron(Record):
    """Starts a workflow by the clock; `interval` in seconds, -1 for "by the expression". `checkerperiod` in ms."""

    cronid: str = always(str)
    initiatorid: str = always(str)
    initiatorname: str = always(str)
    colonyname: str = always(str)
    name: str = always(str)
    cronexpression: str = always(str)
    interval: Int = always(int)
    random: bool = always(bool)
    nextrun: str = always(str)
    lastrun: str = always(str)
    workflowspec: str = always(str)
    prevprocessgraphid: str = always(str)
    waitforprevprocessgraph: bool = always(bool)
    checkerperiod: Int = always(int)


class Generator(Record):
    """Starts a workflow when enough arguments were packed; `timeout` in seconds. `checkerperiod` in ms."""

    generatorid: str = always(str)
    initiatorid: str = always(str)
    initiatorname: str = always(str)
    colonyname: str = always(str)
    name: str = always(str)
    workflowspec: str = always(str)
    trigger: Int = always(int)
    timeout: Int = always(int)
    firstpack: str = always(str)
    lastrun: str = always(str)
    queuesize: Int = always(int)
    checkerperiod: Int = always(int)
